"""The last hours as lines: a question with a bounded answer, laid on one row of times; asked once for all who look."""

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from services._influxdb import Client, RefusedError, UnavailableError, literal

#: How far back people may look.
HOURS = (3, 12, 48)

#: Of each line.
POINTS = 180

#: An answer is good for so long, and so is that there was none.
FRESH_MS, FAILED_MS = 20_000, 5_000

#: How long one who looks waits for another's question.
WAIT_SECONDS = 1.0


@dataclass(frozen=True)
class Span:
    """From when to when, epoch ms, and how far apart the points are."""

    begin: int
    end: int
    step_ms: int

    @classmethod
    def of(cls, hours: int, now: int) -> "Span":
        """The last hours; whole steps, so that a minute's mean is the same whenever it is asked for."""
        step = hours * 3_600_000 // POINTS
        end = now // step * step + step
        return cls(end - POINTS * step, end, step)

    @property
    def times(self) -> list[int]:
        """When each point's step begins."""
        return list(range(self.begin, self.end, self.step_ms))


def readings(pen: str, span: Span) -> str:
    """Ask a site's own database for a pen's readings."""
    return (
        "SELECT mean(value) AS mean, min(value) AS min, max(value) AS max FROM reading "  # noqa: S608
        f"WHERE pen = {literal(pen)} AND {_within(span)} GROUP BY {_each(span)}, sensor, quantity fill(none)"
    )


def summaries(_: str, span: Span) -> str:
    """Ask a site's database at headquarters for its summaries."""
    return (
        'SELECT mean("mean") AS mean, min("min") AS min, max("max") AS max FROM summary '  # noqa: S608
        f'WHERE {_within(span)} GROUP BY {_each(span)}, "group", quantity fill(none)'
    )


def _within(span: Span) -> str:
    return f"time >= {span.begin}ms AND time < {span.end}ms"


def _each(span: Span) -> str:
    return f"time({span.step_ms // 1000}s)"


def laid_out(rows: Iterable[Mapping[str, Any]], line: str, span: Span) -> dict[str, Any]:
    """Lay what the database answered on the span's times.

    Args:
        rows: `time`, `mean`, `min` and `max` of each step of each line, with its tags.
        line: the tag that tells the lines of a quantity apart.
        span: what was asked for.

    Returns:
        `times`, and `charts`: a quantity's `lines`, each with a name and three rows as long as the times, in which None
        is where there was nothing.
    """
    places = {time: place for place, time in enumerate(span.times)}
    found: dict[str, dict[str, dict[str, list[float | None]]]] = {}
    for row in rows:
        place = places.get(row["time"])
        if place is None:
            continue
        of_quantity = found.setdefault(row["quantity"], {})
        values = of_quantity.setdefault(row[line], {name: [None] * POINTS for name in ("mean", "min", "max")})
        for name, of_line in values.items():
            of_line[place] = row[name]
    return {
        "times": span.times,
        "charts": [
            {"quantity": quantity, "lines": [{"name": name, **values} for name, values in sorted(lines.items())]}
            for quantity, lines in sorted(found.items())
        ],
    }


class Charts:
    """A farm's charts by pen, or headquarters' by site."""

    def __init__(self, clients: Mapping[str, Client], statement: Callable[[str, Span], str], line: str) -> None:
        self._clients = clients
        self._statement = statement
        self._line = line
        self._one_at_a_time = threading.Lock()
        self._answers: dict[tuple[str, int], tuple[int, dict[str, Any]]] = {}
        self._failed: dict[str, int] = {}

    def of(self, part: str, hours: int, now: int) -> dict[str, Any]:
        """The charts of a part.

        Raises:
            KeyError: there is no such part, or nobody may look back so far.
            UnavailableError: the database does not answer, or others have asked it too much.
        """
        if part not in self._clients or hours not in HOURS:
            raise KeyError(part)
        if not self._one_at_a_time.acquire(timeout=WAIT_SECONDS):
            raise UnavailableError("another question is not answered yet")
        try:
            asked, answer = self._answers.get((part, hours), (0, {}))
            if 0 <= now - asked < FRESH_MS:
                return answer
            if 0 <= now - self._failed.get(part, 0) < FAILED_MS:
                raise UnavailableError("it did not answer a moment ago")
            answer = self._ask(part, hours, now)
            self._answers[part, hours] = (now, answer)
            return answer
        finally:
            self._one_at_a_time.release()

    def _ask(self, part: str, hours: int, now: int) -> dict[str, Any]:
        span = Span.of(hours, now)
        try:
            return laid_out(self._clients[part].query(self._statement(part, span)), self._line, span)
        except (UnavailableError, RefusedError) as error:
            self._failed[part] = now
            raise UnavailableError(str(error)) from None
