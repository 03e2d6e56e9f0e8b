"""The last hours: bounded questions, laid on one row of times, asked once for all."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services._influxdb import Client, RefusedError, UnavailableError
from services._settings import Database
from services.page.charts import FAILED_MS, FRESH_MS, HOURS, POINTS, Charts, Span, laid_out, readings, summaries

NOW = 1_800_000_000_000
SPAN = Span.of(3, NOW)


@given(st.sampled_from(HOURS), st.integers(0, 10**14))
def test_a_span_is_whole_steps_and_ends_with_the_one_that_is_now(hours: int, now: int) -> None:
    span = Span.of(hours, now)
    assert len(span.times) == POINTS
    assert span.end - span.step_ms <= now < span.end
    assert span.begin % span.step_ms == 0
    assert span.end - span.begin == hours * 3_600_000


def test_a_sites_own_database_is_asked_for_a_pens_readings() -> None:
    assert readings("pen-1", Span(0, 180_000, 60_000)) == (
        "SELECT mean(value) AS mean, min(value) AS min, max(value) AS max FROM reading WHERE pen = 'pen-1' "
        "AND time >= 0ms AND time < 180000ms GROUP BY time(60s), sensor, quantity fill(none)"
    )


def test_headquarters_store_is_asked_for_summaries() -> None:
    assert summaries("oslo", Span(0, 180_000, 60_000)) == (
        'SELECT mean("mean") AS mean, min("min") AS min, max("max") AS max FROM summary '
        'WHERE time >= 0ms AND time < 180000ms GROUP BY time(60s), "group", quantity fill(none)'
    )


def row(place: int, value: float, sensor: str = "a", quantity: str = "oxygen") -> dict[str, Any]:
    time = SPAN.begin + place * SPAN.step_ms
    return {"time": time, "mean": value, "min": value - 1, "max": None, "sensor": sensor, "quantity": quantity}


def test_a_line_has_a_gap_where_there_was_nothing() -> None:
    [chart] = laid_out([row(0, 5), row(2, 6)], "sensor", SPAN)["charts"]
    [line] = chart["lines"]
    assert line["mean"][:4] == [5, None, 6, None]
    assert line["min"][:4] == [4, None, 5, None]
    assert line["max"] == [None] * POINTS


def test_quantities_and_lines_are_in_one_order() -> None:
    rows = [row(0, 1, "b"), row(0, 1, "a"), row(0, 1, "a", "humidity")]
    charts = laid_out(rows, "sensor", SPAN)["charts"]
    assert [(chart["quantity"], [line["name"] for line in chart["lines"]]) for chart in charts] == [
        ("humidity", ["a"]),
        ("oxygen", ["a", "b"]),
    ]


def test_a_point_outside_the_span_is_left_out() -> None:
    assert laid_out([row(-1, 1), row(POINTS, 1)], "sensor", SPAN)["charts"] == []


class Asked(Client):
    """A database that answers one row, or not at all."""

    def __init__(self) -> None:
        super().__init__(Database(url="http://influxdb", name="n", user="u", password="p"))
        self.asked = 0
        self.error: Exception | None = None

    def query(self, statement: str) -> list[dict[str, Any]]:
        assert "reading" in statement
        self.asked += 1
        if self.error:
            raise self.error
        return [row(0, 5)]


@pytest.fixture
def database() -> Asked:
    return Asked()


@pytest.fixture
def charts(database: Asked) -> Charts:
    return Charts({"pen-1": database}, readings, "sensor")


def test_many_who_look_ask_the_database_once(charts: Charts, database: Asked) -> None:
    answers = [charts.of("pen-1", 3, NOW + ago) for ago in range(0, FRESH_MS, 1000)]
    assert database.asked == 1
    assert all(answer == answers[0] for answer in answers)
    charts.of("pen-1", 3, NOW + FRESH_MS)
    assert database.asked == 2


def test_a_clock_that_was_ahead_keeps_no_old_picture(charts: Charts, database: Asked) -> None:
    charts.of("pen-1", 3, NOW + 3_600_000)
    charts.of("pen-1", 3, NOW)
    assert database.asked == 2


@pytest.mark.parametrize("error", [UnavailableError("away"), RefusedError("no")])
def test_a_database_that_does_not_answer_is_left_alone_for_a_while(
    charts: Charts, database: Asked, error: Exception
) -> None:
    database.error = error
    for ago in (0, FAILED_MS - 1):
        with pytest.raises(UnavailableError):
            charts.of("pen-1", 3, NOW + ago)
    assert database.asked == 1
    database.error = None
    assert charts.of("pen-1", 3, NOW + FAILED_MS)["charts"]


@pytest.mark.parametrize(("part", "hours"), [("pen-2", 3), ("pen-1", 1), ("pen-1", 10_000), ("", 3)])
def test_a_part_or_span_that_is_not_offered_asks_nothing(
    charts: Charts, database: Asked, part: str, hours: int
) -> None:
    with pytest.raises(KeyError):
        charts.of(part, hours, NOW)
    assert database.asked == 0
