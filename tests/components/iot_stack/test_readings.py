"""The collector's program, as its own kind of Python runs it; Telegraf itself runs it in the lab's tests."""

import json
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.iot_stack.telegraf import FUTURE_SECONDS, KEPT_BYTES, KEPT_REJECTED, readings_star
from config.iot import Iot
from services.alarms.readings import parse
from tests.sites import section

IOT = Iot.parse(section("oslo")["iot"], file="")
NOW_MS = 1_700_000_000_123
DAY_MS = 86_400_000
OLDEST_MS = IOT.storage.retention_days * DAY_MS - 3_600_000


class Metric(SimpleNamespace):
    def __init__(self, name: str, tags: dict[str, Any]) -> None:
        super().__init__(name=name, tags=dict(tags), fields={}, time=0)


def decode(text: str, default: object) -> object:
    try:
        return json.loads(text, parse_constant=lambda _: 1 / 0)
    except (ValueError, ZeroDivisionError):
        return default


class Collector:
    """What Telegraf does with messages: one program, whose `state` lasts."""

    def __init__(self) -> None:
        self.program: dict[str, Any] = {
            "load": lambda *_: None,
            "json": SimpleNamespace(decode=decode),
            "Metric": Metric,
            "type": lambda value: type(value).__name__,
        }
        exec(readings_star(IOT), self.program)  # noqa: S102  our own text

    def receive(self, payload: str, sensor: str = "pen1-temp", quantity: str = "temperature", at: int = NOW_MS) -> Any:
        metric = Metric("reading", {"sensor": sensor, "quantity": quantity})
        metric.fields["value"], metric.time = payload, at * 1_000_000
        return self.program["apply"](metric)


def test_a_reading_has_its_own_time_and_its_pen() -> None:
    found = Collector().receive('{"value": 7.5, "time": 1699999999000}')
    assert (found.name, found.fields, found.time) == ("reading", {"value": 7.5}, 1_699_999_999_000_000_000)
    assert found.tags == {"sensor": "pen1-temp", "quantity": "temperature", "pen": "pen-1"}


def test_a_reading_without_a_time_has_that_of_its_arrival() -> None:
    found = Collector().receive('{"value": 7}')
    assert (found.fields, found.time) == ({"value": 7.0}, NOW_MS * 1_000_000)
    assert isinstance(found.fields["value"], float)


def test_no_other_field_is_kept() -> None:
    assert Collector().receive('{"value": 7.5, "operator": "Kari"}').fields == {"value": 7.5}


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        ("", "no JSON object"),
        ("garbage", "no JSON object"),
        ("7.5", "no JSON object"),
        ("[7.5]", "no JSON object"),
        ('{"value": NaN}', "no JSON object"),
        ("{}", "value is no number"),
        ('{"value": "7.5"}', "value is no number"),
        ('{"value": true}', "value is no number"),
        ('{"value": null}', "value is no number"),
        ('{"value": 1e301}', "value is no number"),
        ('{"value": 7.5, "time": "now"}', "time is no number"),
        ('{"value": 7.5, "time": 1.5}', "time is no number"),
        (json.dumps({"value": 1, "time": NOW_MS + FUTURE_SECONDS * 1000 + 1}), "time is in the future"),
        (json.dumps({"value": 1, "time": NOW_MS - OLDEST_MS - 1}), "time is past"),
    ],
)
def test_what_is_no_reading_is_kept_with_its_reason(payload: str, reason: str) -> None:
    found = Collector().receive(payload)
    assert (found.name, found.tags) == ("rejected", {"sensor": "pen1-temp", "reason": reason})
    assert found.fields == {"count": 1, "payload": payload}


def test_times_at_the_bounds_are_readings() -> None:
    for time in (NOW_MS + FUTURE_SECONDS * 1000, NOW_MS - OLDEST_MS):
        assert Collector().receive(json.dumps({"value": 1, "time": time})).time == time * 1_000_000


def test_what_nobody_declared_is_rejected() -> None:
    assert Collector().receive('{"value": 1}', quantity="salinity").tags["reason"] == "unknown quantity"
    assert Collector().receive('{"value": 1}', sensor="pen9-temp").tags["reason"] == "unknown sensor"


@given(st.integers(1, 200))
def test_a_flood_of_garbage_takes_eleven_points_a_minute_and_every_one_is_counted(number: int) -> None:
    collector = Collector()
    minute = NOW_MS // 60_000 * 60_000
    points: dict[int, int] = {}
    for at in range(number):
        found = collector.receive("garbage", at=minute + at)
        points[found.time] = found.fields["count"]
    assert len(points) == min(number, KEPT_REJECTED + 1)
    assert max(points.values()) == number
    assert collector.receive("garbage", at=minute + 60_000).fields["count"] == 1


VALUES: st.SearchStrategy[Any] = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | st.just([])
)
TIMES = VALUES | st.integers(NOW_MS - 401 * DAY_MS, NOW_MS + 1_000_000)


@given(
    st.text(max_size=5) | st.builds(json.dumps, st.fixed_dictionaries({}, optional={"value": VALUES, "time": TIMES}))
)
def test_alarms_and_collector_take_the_same_for_a_reading(payload: str) -> None:
    stored = Collector().receive(payload)
    seen = parse(payload.encode(), NOW_MS, OLDEST_MS)
    assert (stored.name == "reading") == (seen is not None)
    if seen:
        assert (stored.fields["value"], stored.time) == (seen.value, seen.time * 1_000_000)


@pytest.mark.parametrize(
    "payload",
    [
        b'{"value": 7.5}\0',
        b' {"value": 7.5}\r\n\0\0',
        b'{"value": 7.5, "unit": "\xb0C"}',
        b'{"value": 7.5, "note": "a\tb"}',
        b'{"value": 1, "value": 7.5}',
    ],
)
def test_what_telegraf_takes_though_it_is_no_strict_json_is_a_reading_for_the_alarms_too(payload: bytes) -> None:
    """Of the first and the last but one the lab's tests show that Telegraf does (tests/e2e/test_readings.py)."""
    found = parse(payload, NOW_MS, OLDEST_MS)
    assert found
    assert found.value == 7.5


@pytest.mark.parametrize("payload", [b'\xef\xbb\xbf{"value": 7.5}', b'{"value": 7.5, "x": NaN}', b"\0", b"\xff"])
def test_what_starlarks_json_refuses_is_none_for_the_alarms(payload: bytes) -> None:
    assert parse(payload, NOW_MS, OLDEST_MS) is None


def test_a_huge_payload_is_cut() -> None:
    assert len(Collector().receive("x" * 5000).fields["payload"]) == KEPT_BYTES
