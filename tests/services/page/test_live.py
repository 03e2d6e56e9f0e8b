"""What a farm's page shows of what the broker told."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services._settings import Broker, Database
from services.alarms.alarm import Alarm
from services.page.live import CONTACT_LATE_MS, SERVICE_LATE_MS, SETTLE_MS, WEBHOOK_LATE_MS, Live
from services.page.settings import Farm, Pen, Quantity, Sensor

NOW = 1_800_000_000_000
DAY = 86_400_000
LOW = "alerts/oslo/pen-1/o2-oxygen-low"

OXYGEN = Quantity(name="oxygen", unit="mg/l", low=6.5, high=None)
FARM = Farm(
    broker=Broker(host="mosquitto", port=1883, user="page", password="p"),
    database=Database(url="http://influxdb", name="iot_data", user="page", password="p"),
    pens=(Pen(name="pen-1", sensors=(Sensor(id="o2", silent_seconds=60, quantities=(OXYGEN,)),)),),
    retention_days=30,
    outage_budget_days=7,
    pin="012345",
)


@pytest.fixture
def live() -> Live:
    live = Live("oslo", FARM, NOW)
    live.connected(NOW)
    return live


def reading(value: float, time: int) -> bytes:
    return json.dumps({"value": value, "time": time}).encode()


def alarm(**changed: Any) -> bytes:
    asked: dict[str, Any] = {"rule": "low", "sensor": "o2", "quantity": "oxygen", "since": NOW, "raised": NOW}
    return Alarm(**(asked | changed)).payload()


def only_quantity(live: Live, now: int = NOW) -> Any:
    [pen] = live.state(now)["pens"]
    [sensor] = pen["sensors"]
    [quantity] = sensor["quantities"]
    return quantity


def test_every_pen_is_there_before_anything_is_heard(live: Live) -> None:
    asked = {"name": "oxygen", "unit": "mg/l", "low": 6.5, "high": None}
    assert only_quantity(live) == asked | {"value": None, "time": None, "heard": None, "silent": False}


@given(st.permutations([(7.0, NOW - 3000), (7.5, NOW - 2000), (8.0, NOW - 1000)]))
def test_the_newest_reading_is_shown_in_whatever_order_they_come(readings: list[tuple[float, int]]) -> None:
    live = Live("oslo", FARM, NOW)
    for value, time in readings:
        live.told("sensors/o2/oxygen", reading(value, time), NOW)
    assert only_quantity(live)["value"] == 8.0


@pytest.mark.parametrize("payload", [b"", b"x", b"{}", b'{"value": "7"}', b'{"value": NaN}', b"[1]", b"\xff"])
def test_what_is_no_reading_changes_nothing(live: Live, payload: bytes) -> None:
    before = live.state(NOW)
    live.told("sensors/o2/oxygen", payload, NOW)
    assert live.state(NOW) == before


def test_a_sensor_or_quantity_that_is_not_the_sites_is_not_shown(live: Live) -> None:
    before = live.state(NOW)
    live.told("sensors/other/oxygen", reading(7, NOW), NOW)
    live.told("sensors/o2/salinity", reading(7, NOW), NOW)
    assert live.state(NOW) == before


def test_what_the_database_has_is_shown_until_something_newer_is_heard(live: Live) -> None:
    live.stored([{"sensor": "o2", "quantity": "oxygen", "value": 7.0, "time": NOW - 5000}])
    assert only_quantity(live)["value"] == 7.0
    live.told("sensors/o2/oxygen", reading(8, NOW), NOW)
    live.stored([{"sensor": "o2", "quantity": "oxygen", "value": 7.0, "time": NOW - 5000}])
    assert only_quantity(live)["value"] == 8.0


def test_a_sensor_is_silent_when_it_has_said_nothing_for_long_enough(live: Live) -> None:
    live.told("sensors/o2/oxygen", reading(8, NOW), NOW)
    assert not only_quantity(live, NOW + 60_000)["silent"]
    assert only_quantity(live, NOW + 60_001)["silent"]


def test_a_sensor_whose_clock_went_back_is_silent_though_it_sends(live: Live) -> None:
    live.told("sensors/o2/oxygen", reading(8, NOW), NOW)
    for seconds in range(10, 70, 10):
        live.told("sensors/o2/oxygen", reading(2, NOW + seconds * 1000 - DAY), NOW + seconds * 1000)
    shown = only_quantity(live, NOW + 60_001)
    assert (shown["value"], shown["time"], shown["silent"]) == (8.0, NOW, True)


def test_of_a_sensor_that_sends_one_quantity_the_other_is_silent() -> None:
    both = Sensor(id="both", silent_seconds=60, quantities=(OXYGEN, replace(OXYGEN, name="temperature")))
    live = Live("oslo", replace(FARM, pens=(Pen(name="pen-1", sensors=(both,)),)), NOW)
    live.told("sensors/both/temperature", reading(8, NOW + 60_000), NOW + 60_000)
    [shown] = live.state(NOW + 60_001)["pens"][0]["sensors"]
    assert [(each["name"], each["silent"]) for each in shown["quantities"]] == [
        ("oxygen", True),
        ("temperature", False),
    ]


def test_a_reading_ahead_of_the_clock_counts_by_its_arrival_and_hides_none(live: Live) -> None:
    live.told("sensors/o2/oxygen", reading(8, NOW + 299_000), NOW)
    assert only_quantity(live)["time"] == NOW
    live.told("sensors/o2/oxygen", reading(7, NOW + 299_001), NOW)
    assert only_quantity(live)["value"] == 7.0
    live.told("sensors/o2/oxygen", reading(6, NOW + 1000), NOW + 1000)
    shown = only_quantity(live, NOW + 1000)
    assert (shown["heard"], shown["value"]) == (NOW + 1000, 6.0)


def test_after_the_clock_was_set_back_a_sensor_is_shown_and_found_silent_as_before(live: Live) -> None:
    live.told("sensors/o2/oxygen", reading(8, NOW), NOW)
    now = NOW - DAY
    shown = only_quantity(live, now)
    assert (shown["heard"], shown["time"], shown["silent"]) == (now, now, False)
    assert only_quantity(live, now + 60_001)["silent"]
    live.told("sensors/o2/oxygen", reading(7, now + 70_000), now + 70_000)
    shown = only_quantity(live, now + 70_000)
    assert (shown["heard"], shown["value"], shown["silent"]) == (now + 70_000, 7.0, False)


def test_a_message_may_be_the_first_to_tell_that_the_clock_was_set_back(live: Live) -> None:
    live.told("sensors/o2/oxygen", reading(8, NOW), NOW)
    live.told("sensors/o2/oxygen", b'{"value": 7}', NOW - DAY)
    assert only_quantity(live, NOW - DAY)["value"] == 7.0


def test_a_sensor_that_was_never_heard_is_silent_also_after_the_clock_was_set_back(live: Live) -> None:
    assert not only_quantity(live, NOW - DAY)["silent"]
    assert only_quantity(live, NOW - DAY + 60_001)["silent"]


def test_an_alarm_is_shown_until_it_is_cleared(live: Live) -> None:
    live.told(LOW, alarm(), NOW)
    [shown] = live.state(NOW)["alarms"]
    assert (shown["topic"], shown["pen"], shown["rule"]) == (LOW, "pen-1", "low")
    assert live.alarm(LOW)
    live.told(LOW, b"", NOW)
    assert live.state(NOW)["alarms"] == []
    assert live.alarm(LOW) is None


def test_what_nobody_has_acknowledged_comes_first_and_of_it_the_newest(live: Live) -> None:
    for number, (raised, acknowledged) in enumerate([(NOW - 3, None), (NOW - 2, NOW), (NOW - 1, None)]):
        live.told(f"alerts/oslo/pen-1/a{number}", alarm(raised=raised, acknowledged=acknowledged), NOW)
    assert [shown["topic"][-2:] for shown in live.state(NOW)["alarms"]] == ["a2", "a0", "a1"]


def test_what_is_no_alarm_takes_the_one_before_away(live: Live) -> None:
    live.told(LOW, alarm(), NOW)
    live.told(LOW, b"garbage", NOW)
    assert live.state(NOW)["alarms"] == []


def test_an_alarm_that_was_cleared_while_the_broker_was_away_goes_once_the_rest_has_come(live: Live) -> None:
    live.told(LOW, alarm(), NOW)
    live.told("alerts/oslo/node/disk", alarm(rule="disk", sensor=None, quantity=None), NOW)
    live.disconnected(NOW + 10)
    assert live.state(NOW + 10)["broker"] == {"state": "away", "since": NOW + 10}
    assert len(live.state(NOW + 10)["alarms"]) == 2, "what it told stays"
    live.connected(NOW + 20)
    live.told(LOW, alarm(), NOW + 21)
    assert len(live.state(NOW + 20 + SETTLE_MS - 1)["alarms"]) == 2
    assert [shown["topic"] for shown in live.state(NOW + 20 + SETTLE_MS)["alarms"]] == [LOW]


def test_what_the_broker_retains_is_waited_for_no_longer_where_the_clock_is_set_back(live: Live) -> None:
    live.told(LOW, alarm(), NOW)
    live.connected(NOW + 20)
    now = NOW - DAY
    assert live.state(now)["broker"] == {"state": "up", "since": now}
    assert live.state(now + SETTLE_MS - 1)["alarms"]
    assert live.state(now + SETTLE_MS)["alarms"] == []


@pytest.fixture
def says(live: Live) -> Callable[..., Any]:
    def says(now: int = NOW, **said: Any) -> Any:
        live.told("status/oslo/uplink", json.dumps(said).encode(), now)
        return live.state(now)["uplink"]

    return says


def test_of_an_uplink_that_says_nothing_nothing_is_known(live: Live) -> None:
    assert live.state(NOW)["uplink"]["state"] == "unknown"
    assert live.state(NOW)["alarmService"]["state"] == "unknown"


def test_an_uplink_that_reaches_headquarters_is_up_and_tells_what_waits(says: Callable[..., Any]) -> None:
    found = says(up=True, time=NOW, lastContact=NOW - 1000, waiting=2, withheld=1, since=NOW - 60_000, refused=None)
    assert found == {"state": "up", "since": NOW, "waiting": 2, "withheld": 1, "kept": True}


def test_headquarters_that_accepts_nothing_is_away_since_it_did(says: Callable[..., Any]) -> None:
    contact = NOW - CONTACT_LATE_MS - 1
    found = says(up=True, time=NOW, lastContact=contact, waiting=900, withheld=0, since=contact)
    assert (found["state"], found["since"], found["waiting"], found["kept"]) == ("away", contact, 900, True)
    assert says(up=True, time=NOW, lastContact=None, waiting=3, withheld=0)["state"] == "away"


def test_a_cut_that_is_longer_than_the_site_was_made_for_is_told(says: Callable[..., Any]) -> None:
    assert says(up=True, time=NOW, lastContact=NOW - 7 * DAY, waiting=1, withheld=0)["kept"]
    assert not says(up=True, time=NOW, lastContact=NOW - 7 * DAY - 1, waiting=1, withheld=0)["kept"]


def test_a_will_says_that_the_uplink_is_gone_and_leaves_what_it_said(says: Callable[..., Any]) -> None:
    says(up=True, time=NOW, lastContact=NOW, waiting=5, withheld=0)
    found = says(up=False)
    assert (found["state"], found["waiting"]) == ("stopped", 5)


def test_a_service_that_has_said_nothing_for_too_long_does_not_run(live: Live) -> None:
    live.told("status/oslo/alarms", json.dumps({"up": True, "time": NOW}).encode(), NOW)
    assert live.state(NOW + SERVICE_LATE_MS)["alarmService"] == {"state": "up", "since": NOW}
    assert live.state(NOW + SERVICE_LATE_MS + 1)["alarmService"]["state"] == "stopped"


def test_what_has_waited_for_the_webhook_for_too_long_is_told_until_it_is_accepted(live: Live) -> None:
    def says(**said: Any) -> None:
        live.told("status/oslo/alarms", json.dumps({"up": True, "time": NOW, **said}).encode(), NOW)

    assert live.state(NOW)["webhook"] is None
    says(outbox=3, outboxSince=NOW, outboxDropped=1)
    assert live.state(NOW + WEBHOOK_LATE_MS)["webhook"] is None
    late = {"since": NOW, "waiting": 3, "dropped": 1}
    assert live.state(NOW + WEBHOOK_LATE_MS + 1)["webhook"] == late
    says(outbox=0, outboxSince=None, outboxDropped=0)
    assert live.state(NOW + WEBHOOK_LATE_MS + 1)["webhook"] is None


def test_what_a_service_said_ahead_of_a_clock_that_was_set_back_does_not_make_it_run(live: Live) -> None:
    live.told("status/oslo/alarms", json.dumps({"up": True, "time": NOW}).encode(), NOW)
    assert live.state(NOW - DAY)["alarmService"]["state"] == "stopped"
    live.told("status/oslo/alarms", json.dumps({"up": True, "time": NOW - DAY}).encode(), NOW - DAY)
    assert live.state(NOW - DAY)["alarmService"]["state"] == "up"


def test_a_contact_ahead_of_a_clock_that_was_set_back_is_unknown_until_another_is_told(
    says: Callable[..., Any],
) -> None:
    now = NOW - DAY
    found = says(now, up=True, time=now, lastContact=NOW, waiting=1, withheld=0)
    assert (found["state"], found["since"], found["kept"]) == ("away", None, True)
    assert says(now, up=True, time=now, lastContact=now, waiting=0, withheld=0)["state"] == "up"


@pytest.mark.parametrize("payload", [b"", b"x", b"[]", b'{"up": 1}', b'{"waiting": "5", "up": true, "time": "now"}'])
def test_a_status_that_is_none_is_no_harm(live: Live, payload: bytes) -> None:
    live.told("status/oslo/uplink", payload, NOW)
    assert live.state(NOW)["uplink"]["state"] in {"unknown", "stopped"}
    assert live.state(NOW)["uplink"]["waiting"] is None
