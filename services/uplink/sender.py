"""Brings summaries to headquarters: the alarms' state first, then the oldest window, each until it is accepted.

The local database is the buffer; one small file tells how far headquarters has it. What is not personal is computed
anew for each attempt, and again while readings may come late: headquarters overwrites it. A window of a personal
quantity is computed once, when no reading may come any more, and written down before it is sent: whoever sees the wire
sees one version of it, and no two whose difference is a device (ADR 16).
"""

import sys
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from services import _snapshot
from services._influxdb import Client, RefusedError, UnavailableError, literal
from services.uplink import alarms
from services.uplink.points import Point, line
from services.uplink.settings import Group, Settings
from services.uplink.windows import WINDOW_MS, question, shares, summary, window

#: Windows that are asked for and sent together.
PIECE_MS = 60 * WINDOW_MS

#: How often headquarters is told of alarms and backlog when nothing changes.
REPORT_SECONDS = 30

#: How often one more piece of the horizon is looked at again; the newest is each time.
LOOK_SECONDS = 10

#: How long it waits at most for what comes next.
IDLE_SECONDS = 1.0

#: After an attempt that failed; the first doubles.
FIRST_RETRY_SECONDS, LAST_RETRY_SECONDS, REFUSED_SECONDS, LOCAL_SECONDS = 1.0, 15.0, 60.0, 5.0


@dataclass(frozen=True, kw_only=True)
class State:
    """What is remembered over a restart; windows by their first ms."""

    live: int | None = None
    """The first window, not personal, that headquarters has not; None before the first start is over."""
    settled: int = 0
    """The first window of personal quantities that is not decided."""
    digests: Sequence[int] = ()
    """Of what was sent last of each window up to `live`, of those that may still change or were not looked at since."""
    written: Sequence[str] = ()
    """Decided, and perhaps already sent; sent again exactly so until it is accepted."""
    withheld: int = 0
    """Windows of groups so far in which too few devices reported."""
    told: Sequence[Sequence[Sequence[str]]] = ()
    """Series of alarms that headquarters may believe to be raised."""


class _LocalError(Exception):
    """The local database was not read; later."""


class Sender:
    """All of the uplink but its place at the broker."""

    def __init__(self, settings: Settings, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._clock = clock
        self._readings, self._headquarters = Client(settings.readings), Client(settings.headquarters)
        self._open = [group for group in settings.groups if group.step is None]
        self._personal = [group for group in settings.groups if group.step is not None]
        self._data = Path(settings.data)
        self._state = State(
            **_snapshot.load(self._data, vars(State()), lost="what headquarters may not have is sent again")
        )
        self._newest_there: Mapping[str, int] | None = None
        self._told_before: frozenset[alarms.Series] | None = None
        self._counts: Mapping[alarms.Series, alarms.Count] | None = None
        self._reported: tuple[float, Mapping[alarms.Series, alarms.Count] | None] | None = None
        self._contact: int | None = None
        self._refused: str | None = None
        self._retry = FIRST_RETRY_SECONDS
        self._send_at = self._pace_at = self._read_at = self._look_at = self._settle_at = -float("inf")
        self._older = 0

    def count(self, counts: Mapping[alarms.Series, alarms.Count] | None) -> None:
        """The alarms as they are now; None while that is not known."""
        self._counts = counts

    def status(self, now: int) -> dict[str, Any]:
        """How it does: windows that wait and the oldest, groups' windows withheld, the last contact; times epoch ms."""
        waiting = self._waiting(now)
        return {
            "lastContact": self._contact,
            "waiting": sum(map(len, waiting)),
            "since": min((windows[0] for windows in waiting if windows), default=None),
            "withheld": self._state.withheld,
            "refused": self._refused,
        }

    def step(self, now: int) -> float:
        """Do one piece of work; returns for how many seconds there is none, one at most."""
        if (wait := self._send_at - self._clock()) > 0:
            return min(wait, IDLE_SECONDS)
        try:
            return self._work(now)
        except RefusedError as error:
            # InfluxDB's answer begins with the status; what follows may quote what was sent.
            self._refused = str(error).partition(" ")[0]
            print(f"headquarters refuses what is sent: {self._refused}", file=sys.stderr)
            self._send_at = self._clock() + REFUSED_SECONDS
        except UnavailableError:
            self._send_at = self._clock() + self._retry
            self._retry = min(2 * self._retry, LAST_RETRY_SECONDS)
        return 0.0

    def _work(self, now: int) -> float:
        if self._is_report_due():
            self._report(now)
            return 0.0
        if (wait := max(self._pace_at, self._read_at) - self._clock()) > 0:
            return min(wait, IDLE_SECONDS)
        try:
            return 0.0 if self._windows(now) else IDLE_SECONDS
        except _LocalError as error:
            print(error, file=sys.stderr)
            self._read_at = self._clock() + LOCAL_SECONDS
            return 0.0

    # Alarms, and a sign of life

    def _is_report_due(self) -> bool:
        if self._reported is None:
            return True
        at, counts = self._reported
        return self._clock() - at >= REPORT_SECONDS or (self._counts is not None and self._counts != counts)

    def _report(self, now: int) -> None:
        counts = self._counts
        own = {"waiting": self.status(now)["waiting"], "withheld": self._state.withheld}
        points = [Point(measurement="site", tags={}, fields=own, time=now)]
        if counts is not None:
            told = {_series(each) for each in self._state.told} | self._raised_at_headquarters()
            if counts.keys() - told:
                self._keep(replace(self._state, told=sorted(told | counts.keys())))
            points = [*alarms.points(counts, told, now), *points]
        self._send([line(point) for point in points], now)
        if counts is not None:
            self._told_before = frozenset()
            if counts.keys() != {_series(each) for each in self._state.told}:
                self._keep(replace(self._state, told=sorted(counts)))
        self._reported = self._clock(), counts

    def _raised_at_headquarters(self) -> frozenset[alarms.Series]:
        """The series that headquarters shows as raised at a start: this node's memory may be an older one, or none."""
        if self._told_before is None:
            rows = self._headquarters.query("SELECT last(raised) AS raised FROM alarm GROUP BY *")
            self._told_before = frozenset(
                tuple(
                    sorted((tag, str(value)) for tag, value in row.items() if value and tag not in {"time", "raised"})
                )
                for row in rows
                if row["raised"]
            )
        return self._told_before

    # Windows

    def _frontiers(self, now: int) -> tuple[int, int]:
        """The first window that is not over, and the first whose readings may still come late."""
        asked = self._settings
        return window(now - asked.allowed_lateness_seconds * 1000), window(now - asked.late_horizon_hours * 3_600_000)

    def _waiting(self, now: int) -> list[Sequence[int]]:
        """The windows that are due and that headquarters has not; what is personal apart."""
        state, (complete, final) = self._state, self._frontiers(now)
        if state.live is None:
            return []
        return [
            range(state.live, complete, WINDOW_MS),
            range(state.settled, final, WINDOW_MS) if self._personal else (),
            sorted({int(each.rpartition(" ")[2]) for each in state.written}),
        ]

    def _windows(self, now: int) -> bool:
        complete, final = self._frontiers(now)
        self._follow(complete, final)
        state = self._state
        if state.live is None:
            self._begin(now, final)
        elif state.written:
            self._send(state.written, now)
            self._keep(replace(state, written=()))
        elif (
            state.settled < final
            and (state.settled <= state.live or state.live >= complete)
            and self._clock() >= self._settle_at
        ):
            self._settle(state.settled, min(state.settled + PIECE_MS, final))
        elif state.digests and self._first_digest() < (final if state.live < final else final - PIECE_MS):
            self._look_last(self._first_digest(), now)
        elif state.live < complete:
            self._advance(state.live, min(state.live + PIECE_MS, complete), final, now)
        elif self._clock() >= self._look_at:
            self._look_again(state.live, final, now)
            self._look_at = self._clock() + LOOK_SECONDS
        else:
            return False
        return True

    def _follow(self, complete: int, final: int) -> None:
        """Where the clock went back, nothing is later than it: what is left of the horizon is sent again."""
        state = self._state
        if state.settled > final:
            # What headquarters has of them stays as it is.
            self._newest_there = None
            state = replace(state, settled=final)
        if state.live is not None and self._first_digest() > complete:
            state = replace(state, live=final, digests=())
        if state != self._state:
            print("the clock went back: windows from then on are looked at anew", file=sys.stderr)
            self._keep(state)

    def _begin(self, now: int, final: int) -> None:
        """Nothing is remembered: begin with the oldest reading that an outage may have left, or that may still come."""
        earliest = window(now - self._settings.outage_budget_days * 86_400_000)
        rows = self._ask(f"SELECT first(value) AS value FROM reading WHERE time >= {earliest}ms")  # noqa: S608
        first = min([final, *(window(row["time"]) for row in rows)])
        self._keep(State(live=first, settled=first, told=self._state.told))

    def _settle(self, start: int, end: int) -> None:
        """Decide on windows of personal quantities, for good."""
        newest = self._newest_at_headquarters()
        found, withheld = self._summaries(self._personal, start, end, after=newest)
        state = replace(self._state, settled=end, written=_in_order(found), withheld=self._state.withheld + withheld)
        # What goes out is remembered before; a full disk stops nothing else.
        if self._saved(state) or not found:
            self._state = state
        else:
            self._settle_at = self._clock() + LOCAL_SECONDS

    def _newest_at_headquarters(self) -> Mapping[str, int]:
        """The last window of each personal quantity that headquarters has: this node's memory may be an older one."""
        if self._newest_there is None:
            newest = {}
            for quantity in sorted({group.quantity for group in self._personal}):
                asked = f"SELECT last(mean) AS mean FROM summary WHERE quantity = {literal(quantity)}"  # noqa: S608
                newest[quantity] = max((row["time"] for row in self._headquarters.query(asked)), default=-1)
            self._newest_there = newest
        return self._newest_there

    def _advance(self, start: int, end: int, final: int, now: int) -> None:
        """Send the next windows of what is not personal."""
        found, withheld = self._summaries(self._open, start, end)
        self._send(_in_order(found), now)
        may_change = range(max(start, min(final, end)), end, WINDOW_MS)
        digests = [*self._state.digests, *(_digest(found.get(each, ())) for each in may_change)]
        self._keep(replace(self._state, live=end, digests=digests, withheld=self._state.withheld + withheld))

    def _first_digest(self) -> int:
        """The oldest window of which it is known what was sent; `live` where there is none."""
        return (self._state.live or 0) - len(self._state.digests) * WINDOW_MS

    def _look_last(self, start: int, now: int) -> None:
        """Send what came late for the oldest windows, in a long outage perhaps, and know no more of them."""
        end = min(start + PIECE_MS, self._state.live or 0)
        self._compare(start, end, now)
        self._keep(replace(self._state, digests=self._state.digests[(end - start) // WINDOW_MS :]))

    def _look_again(self, live: int, final: int, now: int) -> None:
        """Send what late readings have changed: in the newest piece of the horizon, and in one more of it in turn."""
        first = max(final, self._first_digest())
        newest = max(first, live - PIECE_MS)
        if not first <= self._older < newest:
            self._older = first
        for start in sorted({self._older, newest}):
            self._compare(start, min(start + PIECE_MS, live), now)
        self._older += PIECE_MS

    def _compare(self, start: int, end: int, now: int) -> None:
        found, _ = self._summaries(self._open, start, end)
        digests = list(self._state.digests)
        last = self._state.live or 0
        changed = {}
        for each in range(start, end, WINDOW_MS):
            place, lines = (each - last) // WINDOW_MS, found.get(each, [])
            if digests[place] != _digest(lines):
                digests[place] = _digest(lines)
                changed[each] = lines
        if changed:
            self._send(_in_order(changed), now)
            self._keep(replace(self._state, digests=digests))

    def _summaries(
        self, groups: Sequence[Group], start: int, end: int, after: Mapping[str, int] | None = None
    ) -> tuple[dict[int, list[str]], int]:
        """The lines of each window, and how many are withheld; only later ones than `after` says of a quantity."""
        found: dict[int, list[str]] = {}
        withheld = 0
        for group in groups:
            for time_, reported in shares(self._ask(question(group, start, end))).items():
                if time_ <= (after or {}).get(group.quantity, -1):
                    continue
                point = summary(group, time_, reported)
                if point is None:
                    withheld += 1
                else:
                    found.setdefault(time_, []).append(line(point))
        return found, withheld

    # Out and in

    def _ask(self, statement: str) -> list[dict[str, Any]]:
        try:
            return self._readings.query(statement)
        except (UnavailableError, RefusedError) as error:
            raise _LocalError(f"the readings cannot be read: {error}") from None

    def _send(self, lines: Sequence[str], now: int) -> None:
        if not lines:
            return
        sent = self._headquarters.write(lines)
        self._contact, self._refused, self._retry = now, None, FIRST_RETRY_SECONDS
        self._pace_at = self._clock() + sent / (self._settings.kib_per_second * 1024)

    def _keep(self, state: State) -> None:
        """Remember, at least until the next restart: a full disk stops nothing that would only be sent again."""
        self._state = state
        self._saved(state)

    def _saved(self, state: State) -> bool:
        """Write it down; whether that could be done."""
        try:
            _snapshot.save(self._data, vars(state))
        except OSError as error:
            print(f"the state was not written: {error}", file=sys.stderr)
            return False
        return True


def _in_order(found: Mapping[int, Sequence[str]]) -> list[str]:
    return [each for time_ in sorted(found) for each in found[time_]]


def _digest(lines: Sequence[str]) -> int:
    """One that is the same by chance hides one late reading in four thousand million."""
    return zlib.crc32("\n".join(lines).encode())


def _series(kept: Sequence[Sequence[str]]) -> alarms.Series:
    return tuple((str(name), str(value)) for name, value in kept)
