"""When an alarm is raised, and when it is over."""

import json
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services._settings import Broker
from services.alarms.alarm import Alarm
from services.alarms.engine import BEFORE, LATE_MS, Change, Engine
from services.alarms.settings import Rule, Sensor, Settings

NOW = 1_700_000_000_000
SECOND = 1000
LOW = "alerts/oslo/pen-1/o2-oxygen-low"
SILENT = "alerts/oslo/pen-1/o2-silent"


def settings(*, for_seconds: int = 20, high: float | None = None, sensors: Sequence[str] = ("o2",)) -> Settings:
    rules = [
        Rule(
            sensor=name,
            pen="pen-1",
            quantity="oxygen",
            unit="mg/l",
            low=6.0,
            high=high,
            hysteresis=0.5,
            for_seconds=for_seconds,
        )
        for name in sensors
    ]
    return Settings(
        site="oslo",
        broker=Broker(host="", port=0, user="", password=""),
        sensors=tuple(Sensor(id=name, pen="pen-1", silent_seconds=120, quantities=("oxygen",)) for name in sensors),
        rules=tuple(rules),
        retention_days=30,
        repeat_seconds=300,
        disk_percent=85,
        queue_messages=1000,
        uplink_seconds=1800,
        certificates=(),
        certificate_days=60,
        webhook=None,
        webhook_key="",
    )


def told(changes: Sequence[Change]) -> list[tuple[str, str]]:
    return [(change.event, change.topic) for change in changes]


class Site:
    """An engine whose clock the test turns."""

    def __init__(self, **asked: object) -> None:
        self.now = NOW
        self.engine = Engine(settings(**asked), NOW)  # type: ignore[arg-type]

    def reads(self, value: object, *, after: float = 0, time: int | None = None) -> list[tuple[str, str]]:
        self.now += round(after * SECOND)
        payload = json.dumps({"value": value, "time": self.now if time is None else time})
        return told(self.engine.message("o2", "oxygen", payload.encode(), self.now))

    def waits(self, seconds: float) -> list[tuple[str, str]]:
        self.now += round(seconds * SECOND)
        return told(self.engine.tick(self.now))


def test_a_value_beyond_its_limit_for_its_time_raises_an_alarm_without_a_further_reading() -> None:
    site = Site()
    assert site.reads(5.9) == []
    assert site.waits(19.9) == []
    assert site.waits(0.1) == [("raised", LOW)]
    assert site.waits(1) == []


def test_the_alarm_keeps_rule_limit_value_and_the_readings_before_it() -> None:
    site = Site()
    for number in range(30):
        site.reads(8 + number / 100, after=1)
    begun = site.now + SECOND
    site.reads(5.5, after=1)
    site.reads(5.25, after=10)
    site.waits(10)
    alarm = site.engine.raised[LOW]
    assert (alarm.rule, alarm.limit, alarm.value, alarm.unit) == ("low", 6.0, 5.25, "mg/l")
    assert (alarm.since, alarm.raised) == (begun, begun + 20 * SECOND)
    assert len(alarm.before) == BEFORE
    assert [value for _, value in alarm.before[-3:]] == [8.29, 5.5, 5.25]


def test_it_is_raised_at_once_where_no_time_is_asked() -> None:
    assert Site(for_seconds=0).reads(5.9) == [("raised", LOW)]


def test_a_value_that_comes_back_in_time_raises_nothing() -> None:
    site = Site()
    site.reads(5.9)
    site.reads(6.0, after=10)
    assert site.waits(60) == []


def test_it_is_over_when_a_value_is_back_inside_by_the_hysteresis() -> None:
    site = Site(for_seconds=0)
    site.reads(5.9)
    assert site.reads(6.49, after=5) == []
    assert site.reads(6.5, after=5) == [("cleared", LOW)]
    assert site.engine.raised == {}


def test_low_and_high_are_alarms_of_their_own() -> None:
    site = Site(for_seconds=0, high=9.0)
    assert site.reads(5.9) == [("raised", LOW)]
    assert site.reads(9.1, after=1) == [("cleared", LOW), ("raised", LOW.replace("low", "high"))]


def test_a_reading_that_is_older_than_the_newest_changes_nothing() -> None:
    site = Site(for_seconds=0)
    site.reads(8.0)
    assert site.reads(5.0, after=5, time=NOW) == []
    assert site.reads(5.0, after=5, time=NOW - SECOND) == []
    assert site.engine.raised == {}


def test_an_excursion_in_the_queue_that_has_ended_is_told_whole() -> None:
    site = Site()
    hour_ago = NOW - 3600 * SECOND
    assert site.reads(5.0, time=hour_ago) == []
    assert site.waits(0.01) == [], "the queue may go on"
    assert site.reads(8.0, time=hour_ago + 25 * SECOND) == [("raised", LOW), ("cleared", LOW)]


def test_a_short_excursion_in_the_queue_is_none() -> None:
    site = Site()
    hour_ago = NOW - 3600 * SECOND
    site.reads(5.0, time=hour_ago)
    assert site.reads(8.0, time=hour_ago + 5 * SECOND) == []
    assert site.waits(60) == []


def test_a_queue_that_ends_with_a_value_beyond_raises_within_two_seconds() -> None:
    site = Site()
    site.reads(5.0, time=NOW - 3600 * SECOND)
    assert site.waits(1.5) == [("raised", LOW)]


@pytest.mark.parametrize(
    "payload",
    [
        b"garbage",
        b"\xff\xfe",
        b"[]",
        b"{}",
        b'{"value": "5"}',
        b'{"value": true}',
        b'{"value": NaN}',
        b'{"value": -Infinity}',
        b'{"value": 1e300}',
        b'{"value": 1%s}' % (b"0" * 400),
        b'{"value": 1%s}' % (b"0" * 8000),
        b"[" * 8000,
        b'{"value": 5, "time": "now"}',
        json.dumps({"value": 5, "time": NOW + 301 * SECOND}).encode(),
        json.dumps({"value": 5, "time": NOW - 31 * 86_400 * SECOND}).encode(),
    ],
)
def test_what_is_no_reading_is_counted_and_says_nothing(payload: bytes) -> None:
    engine = Engine(settings(for_seconds=0), NOW)
    assert engine.message("o2", "oxygen", payload, NOW) == []
    assert engine.rejected == 1
    assert told(engine.tick(NOW + 120 * SECOND)) == [("raised", SILENT)]


def test_what_nobody_declared_is_counted() -> None:
    engine = Engine(settings(), NOW)
    engine.message("o2", "salinity", b'{"value": 1}', NOW)
    engine.message("nobody", "oxygen", b'{"value": 1}', NOW)
    assert engine.rejected == 2


def test_a_sensor_whose_clock_went_back_is_silent_though_it_sends() -> None:
    """Its readings are not newer than what it sent before, so no limit is watched by them."""
    site = Site()
    site.reads(8.0)
    found = [change for _ in range(12) for change in site.reads(2.0, after=10, time=NOW - 3_600_000) + site.waits(0)]
    assert found == [("raised", SILENT)]
    assert site.reads(8.0, after=1) == [("cleared", SILENT)]


class TwoQuantities:
    """A device that sends oxygen and temperature."""

    def __init__(self) -> None:
        self.now = NOW
        self.asked = replace(
            settings(),
            sensors=(Sensor(id="o2", pen="pen-1", silent_seconds=120, quantities=("oxygen", "temperature")),),
        )
        self.engine = Engine(self.asked, NOW)

    def sends(self, *quantities: str, after: int = 10) -> list[tuple[str, str]]:
        self.now += after * SECOND
        payload = json.dumps({"value": 8.0, "time": self.now}).encode()
        found = [self.engine.message("o2", each, payload, self.now) for each in quantities]
        return told([change for changes in (*found, self.engine.tick(self.now)) for change in changes])

    def restarted(self) -> None:
        kept, raised = self.engine.snapshot(), self.engine.raised
        self.engine = Engine(self.asked, self.now)
        self.engine.resume(json.loads(json.dumps(kept)))
        for topic, alarm in raised.items():
            self.engine.restore(topic, alarm)


def test_a_device_that_goes_on_with_one_quantity_is_told_for_the_other() -> None:
    device = TwoQuantities()
    device.sends("oxygen", "temperature", after=0)
    found = [change for _ in range(12) for change in device.sends("temperature")]
    assert found == [("raised", SILENT)]
    alarm = device.engine.raised[SILENT]
    assert (alarm.rule, alarm.sensor, alarm.quantity, alarm.since) == ("silent", "o2", "oxygen", NOW)
    assert device.sends("temperature") == []
    device.restarted()
    assert device.sends("temperature") == []
    assert device.sends("oxygen") == [("cleared", SILENT)]


def test_a_device_of_which_nothing_comes_is_told_as_a_whole_and_is_back_with_all_that_it_sends() -> None:
    device = TwoQuantities()
    assert device.sends(after=120) == [("raised", SILENT)]
    assert device.engine.raised[SILENT].quantity is None
    assert device.sends("temperature") == []
    device.restarted()
    assert device.sends("oxygen", "temperature", after=1) == [("cleared", SILENT)]


def test_a_restart_counts_a_quantitys_silence_on() -> None:
    device = TwoQuantities()
    for _ in range(11):
        assert device.sends("temperature") == []
    device.restarted()
    assert device.sends("temperature") == [("raised", SILENT)]


def test_a_sensor_that_never_spoke_is_silent_and_its_first_reading_ends_it() -> None:
    site = Site()
    assert site.waits(119.9) == []
    assert site.waits(0.1) == [("raised", SILENT)]
    assert site.reads(8.0, after=1) == [("cleared", SILENT)]
    assert site.waits(119) == []
    assert site.waits(1) == [("raised", SILENT)]


def test_an_alarm_is_repeated_until_it_is_acknowledged() -> None:
    site = Site(for_seconds=0)
    site.reads(5.0)
    site.reads(5.0, after=100)
    site.reads(5.0, after=100)
    assert ("repeated", LOW) not in site.waits(99)
    assert ("repeated", LOW) in site.waits(1)
    assert told(site.engine.acknowledge(LOW, site.now)) == [("acknowledged", LOW)]
    assert site.engine.acknowledge(LOW, site.now + 1) == []
    assert site.engine.raised[LOW].acknowledged == site.now
    assert ("repeated", LOW) not in site.waits(600)


def test_what_is_not_raised_cannot_be_acknowledged() -> None:
    assert Site().engine.acknowledge(LOW, NOW) == []
    assert Site().engine.acknowledge("alerts/oslo/pen-1/nothing", NOW) == []


def restarted(site: Site) -> Site:
    """The same site after a restart: retained alarms and the snapshot are all that is left."""
    after = Site()
    after.now = site.now
    after.engine = Engine(settings(), site.now)
    after.engine.resume(json.loads(json.dumps(site.engine.snapshot())))
    for topic, alarm in site.engine.raised.items():
        assert after.engine.restore(topic, Alarm.parse(alarm.payload()))
    return after


def test_a_restart_forgets_no_alarm_and_raises_none_again() -> None:
    site = Site()
    site.reads(5.0)
    site.waits(20)
    after = restarted(site)
    assert after.engine.raised == site.engine.raised
    assert after.waits(1) == []
    assert after.reads(7.0, after=1) == [("cleared", LOW)]


def test_what_a_restart_must_not_forget_is_another_revision() -> None:
    site = Site()
    revisions = [site.engine.revision]
    for value, seconds in ((5.0, 0), (5.0, 20), (9.0, 0)):
        site.reads(value, after=1)
        site.waits(seconds)
        revisions.append(site.engine.revision)
    assert revisions == sorted(set(revisions)), "it grew each time"
    site.reads(9.0, after=1)
    site.waits(1)
    assert site.engine.revision == revisions[-1]


def test_a_restart_begins_no_time_anew() -> None:
    site = Site()
    site.reads(5.0)
    site.waits(15)
    after = restarted(site)
    assert after.waits(5) == [("raised", LOW)]
    assert after.engine.raised[LOW].value == 5.0
    assert after.engine.raised[LOW].before == ((NOW, 5.0),)
    assert restarted(Site()).waits(120) == [("raised", SILENT)]


def test_a_snapshot_of_an_older_release_is_no_obstacle() -> None:
    engine = Engine(settings(), NOW)
    engine.resume({})
    engine.resume({"since": {SILENT: NOW - 60 * SECOND, "alerts/oslo/pen-1/gone-silent": 1}, "newest": []})
    assert told(engine.tick(NOW + 60 * SECOND)) == [("raised", SILENT)]


def test_an_alarm_of_what_is_watched_no_more_is_not_taken_up() -> None:
    assert Engine(settings(sensors=["o3"]), NOW).restore(LOW, Alarm(rule="low", since=1, raised=2)) is False


DAY = 86_400 * SECOND


def test_a_reading_ahead_of_the_clock_hides_none_that_come_after_it() -> None:
    site = Site()
    site.reads(8.0, time=NOW + 299 * SECOND)
    site.reads(5.0, after=1)
    assert site.waits(20) == [("raised", LOW)]
    assert site.reads(8.0, after=1) == [("cleared", LOW)]


def test_the_readings_of_a_sensor_whose_clock_is_ahead_count_by_their_arrival() -> None:
    site = Site()
    ahead = 299 * SECOND
    for _ in range(20):
        assert site.reads(5.0, after=1, time=site.now + SECOND + ahead) == []
    assert site.waits(1) == [("raised", LOW)]
    assert site.engine.raised[LOW].since == NOW + SECOND
    assert site.reads(8.0, time=site.now + ahead) == [("cleared", LOW)]


def test_what_is_older_than_the_arrival_of_a_reading_ahead_changes_nothing() -> None:
    site = Site(for_seconds=0)
    site.reads(8.0, after=10, time=NOW + 299 * SECOND)
    assert site.reads(5.0, after=5, time=NOW + 9 * SECOND) == []
    assert site.engine.raised == {}


def test_a_reading_ahead_that_is_sent_again_changes_nothing() -> None:
    site = Site(for_seconds=0)
    sent = [(5.0, NOW + 200 * SECOND), (8.0, NOW + 201 * SECOND)]
    assert [site.reads(value, after=1, time=time) for value, time in sent] == [[("raised", LOW)], [("cleared", LOW)]]
    assert [site.reads(value, after=1, time=time) for value, time in sent] == [[], []]


def test_a_clock_that_is_set_back_makes_no_limit_deaf() -> None:
    site = Site()
    site.reads(8.0, after=86_400)
    site.now -= DAY
    site.reads(5.0)
    assert site.waits(20) == [("raised", LOW)]
    assert site.reads(8.0, after=1) == [("cleared", LOW)]


def test_a_clock_that_is_set_back_delays_nothing_that_has_begun() -> None:
    site = Site()
    site.reads(5.0, after=86_400)
    site.now -= DAY
    assert site.waits(0) == []
    assert site.engine.next_due == NOW + 20 * SECOND
    assert site.waits(20) == [("raised", LOW)]
    assert site.engine.raised[LOW].since == NOW
    assert site.waits(100) == [("raised", SILENT)]


def test_a_clock_that_is_set_back_does_not_hold_up_a_queue() -> None:
    site = Site()
    site.now += DAY
    site.reads(5.0, time=NOW)
    site.now -= DAY
    assert site.waits(0) == []
    assert site.waits(20) == [("raised", LOW)]


def test_a_clock_that_is_set_back_delays_no_repetition() -> None:
    site = Site(for_seconds=0)
    site.reads(5.0, after=86_400)
    site.now -= DAY
    assert site.waits(0) == []
    assert ("repeated", LOW) in site.waits(300)


def test_what_is_older_than_the_moment_a_clock_was_set_back_changes_nothing() -> None:
    site = Site(for_seconds=0)
    site.reads(8.0, after=86_400)
    site.now -= DAY
    site.waits(0)
    assert site.reads(5.0, after=1, time=NOW - SECOND) == []
    assert site.reads(5.0, time=NOW) == [("raised", LOW)]


def test_a_snapshot_and_an_alarm_of_the_future_delay_nothing() -> None:
    before = Site()
    before.reads(5.0, after=86_400)
    before.waits(20)
    before.reads(5.0, after=60)
    before.now = NOW
    site = restarted(before)
    assert site.engine.next_due == NOW + 120 * SECOND
    assert site.waits(120) == [("raised", SILENT)]
    assert ("repeated", LOW) in site.waits(180)
    assert site.reads(8.0) == [("cleared", SILENT), ("cleared", LOW)]


def test_the_node_has_alarms_of_its_own() -> None:
    engine = Engine(settings(), NOW)

    def disk(value: float, *, beyond: bool = False, over: bool = False) -> list[tuple[str, str]]:
        return told(engine.node("disk", beyond=beyond, over=over, value=value, limit=85, now=NOW))

    assert disk(90, beyond=True) == [("raised", "alerts/oslo/node/disk")]
    assert disk(91, beyond=True) == []
    assert disk(84) == []
    assert disk(80, over=True) == [("cleared", "alerts/oslo/node/disk")]


STEPS = st.lists(st.tuples(st.integers(1, 40), st.sampled_from([5.0, 6.0, 6.4, 6.5, 8.0])), min_size=1, max_size=40)


@given(STEPS)
def test_with_live_readings_the_alarm_is_that_of_a_model_second_by_second(steps: list[tuple[int, float]]) -> None:
    site = Site()
    beyond_since: int | None = None
    raised = False
    for seconds, value in steps:
        for _ in range(seconds):
            site.waits(1)
            raised = raised or (beyond_since is not None and site.now - beyond_since >= 20 * SECOND)
            assert (LOW in site.engine.raised) == raised
        site.reads(value)
        if value >= 6.5:
            raised, beyond_since = False, None
        elif value < 6.0:
            beyond_since = site.now if beyond_since is None else beyond_since
        elif not raised:
            beyond_since = None
        assert (LOW in site.engine.raised) == raised


@given(st.lists(st.tuples(st.integers(0, 600), st.floats(4, 9)), min_size=1, max_size=40), st.data())
def test_repeated_readings_change_nothing(readings: list[tuple[int, float]], data: st.DataObject) -> None:
    plain, twice = Site(), Site()
    plain.now = twice.now = NOW + 700 * SECOND
    for offset, value in sorted(readings):
        plain.reads(value, time=NOW + offset * SECOND)
        for _ in range(data.draw(st.integers(1, 3))):
            twice.reads(value, time=NOW + offset * SECOND)
    assert plain.engine.raised == twice.engine.raised


def test_a_late_reading_counts_as_one_that_was_queued() -> None:
    assert LATE_MS < 20 * SECOND
