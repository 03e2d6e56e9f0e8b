"""What a group's readings of a minute come to, and what of it is told."""

import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.uplink.points import Point, line
from services.uplink.windows import WINDOW_MS, Share, question, rounded, shares, summary, window
from tests.services.uplink.world import BARGE, PENS

VALUES = st.floats(-1e6, 1e6)
STEPS = st.sampled_from([0.01, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0])


def alike(*values: float) -> list[Share]:
    """Devices, each with readings of one value."""
    return [Share(mean=value, low=value, high=value) for value in values]


@given(st.integers(0, 10**13))
def test_a_moment_lies_in_one_window(time: int) -> None:
    start = window(time)
    assert start % WINDOW_MS == 0
    assert start <= time < start + WINDOW_MS


def test_the_answer_is_sorted_into_windows() -> None:
    rows = [
        {"time": 0, "mean": 2, "low": 1, "high": 3, "sensor": "pen1"},
        {"time": 60_000, "mean": 5, "low": 5, "high": 5, "sensor": "pen1"},
        {"time": 0, "mean": 4, "low": 4, "high": 4, "sensor": "pen2"},
    ]
    assert shares(rows) == {
        0: [Share(mean=2, low=1, high=3), Share(mean=4, low=4, high=4)],
        60_000: [Share(mean=5, low=5, high=5)],
    }


def test_only_the_groups_devices_and_windows_are_asked_for() -> None:
    assert question(PENS, 0, 120_000) == (
        "SELECT mean(value) AS mean, min(value) AS low, max(value) AS high FROM reading "
        "WHERE quantity = 'temperature' AND (sensor = 'pen1' OR sensor = 'pen2') AND time >= 0ms AND time < 120000ms "
        "GROUP BY time(1m), sensor fill(none)"
    )


@given(st.lists(VALUES, min_size=2, max_size=9))
def test_what_is_not_personal_is_told_as_it_is(values: list[float]) -> None:
    point = summary(PENS, 0, [Share(mean=each, low=each - 1, high=each + 1) for each in values])
    assert point
    assert point.fields == {
        "count": len(values),
        "mean": pytest.approx(statistics.fmean(values)),
        "stddev": pytest.approx(statistics.stdev(values)),
        "min": min(values) - 1,
        "max": max(values) + 1,
    }


@given(st.lists(VALUES, max_size=12))
def test_of_what_is_personal_only_rounded_figures_of_enough_devices_are_told(values: list[float]) -> None:
    point = summary(BARGE, 0, alike(*values))
    assert (point is None) == (len(values) < BARGE.min_sensors)
    if point:
        assert set(point.fields) == {"count", "mean", "stddev"}
        assert point.fields["count"] % BARGE.min_sensors == 0
        assert 0 < point.fields["count"] <= len(values)
        assert point.fields["mean"] % BARGE.step == point.fields["stddev"] % BARGE.step == 0  # type: ignore[operator]


@given(VALUES, STEPS)
def test_rounding_moves_a_value_by_half_a_step_at_most_and_stays(value: float, step: float) -> None:
    once = rounded(value, step)
    assert abs(once - value) <= step / 2 * (1 + 1e-9)
    assert rounded(once, step) == once
    assert len(repr(abs(once)).partition(".")[2]) <= 2, "no digits but the step's"


@given(st.lists(VALUES, min_size=4, max_size=11), VALUES)
def test_the_mean_tells_no_device_closer_than_its_group_times_the_step(others: list[float], own: float) -> None:
    """Even to somebody who knows all the others exactly: a device that joins could as well have measured that."""
    size, step = len(others) + 1, 2.0
    apart = size * step / 2 * 0.999
    told = _mean(others, own)
    assert told in (_mean(others, own + apart), _mean(others, own - apart))


def _mean(others: list[float], own: float) -> float:
    point = summary(BARGE, 0, alike(*others, own))
    assert point
    return point.fields["mean"]


@pytest.mark.parametrize(
    ("point", "named"),
    [
        (Point(measurement="reading", tags={}, fields={"value": 1.0}, time=0), "reading"),
        (Point(measurement="summary", tags={"sensor": "pen1"}, fields={"mean": 1.0}, time=0), "sensor"),
        (Point(measurement="summary", tags={"group": "pens"}, fields={"median": 1.0}, time=0), "median"),
        (Point(measurement="summary", tags={"group": "Kari's cabin"}, fields={"mean": 1.0}, time=0), "group"),
        (Point(measurement="alarm", tags={"rule": "low,x=1"}, fields={"raised": 1}, time=0), "rule"),
    ],
)
def test_what_is_not_on_the_allow_list_is_never_rendered(point: Point, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        line(point)


def test_a_point_is_rendered_in_fixed_order() -> None:
    point = Point(
        measurement="summary",
        tags={"quantity": "temperature", "group": "pens"},
        fields={"mean": 8.5, "count": 2},
        time=60_000,
    )
    assert line(point) == "summary,group=pens,quantity=temperature count=2i,mean=8.5 60000"


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_no_number_is_never_rendered(value: float) -> None:
    with pytest.raises(ValueError, match="no number"):
        line(Point(measurement="summary", tags={}, fields={"mean": value}, time=0))
