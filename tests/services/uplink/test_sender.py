"""Summaries come to headquarters, whatever is down meanwhile."""

import json
import zlib
from collections.abc import Sequence
from itertools import pairwise

import pytest

from services.uplink import alarms
from services.uplink import sender as module
from services.uplink.sender import Sender
from services.uplink.settings import Settings
from tests.services.uplink.world import MINUTE, PENS, ROOMS, World

#: A full hour, epoch ms.
HOUR = 3_600_000
NOON = 1_700_000_000_000 // HOUR * HOUR

BUSY = "HTTP/1.0 503 Busy\r\n\r\nbusy"
STRANGER = "HTTP/1.0 401 Unauthorized\r\n\r\nauthorization failed for uplink and its secret"


def run(world: World, sender: Sender, now: int) -> None:
    """Until there is nothing to do, as far as time stands still."""
    for _ in range(10_000):
        wait = sender.step(now)
        if wait >= module.IDLE_SECONDS:
            return
        world.ticks += wait
    raise AssertionError("it never rests")


def start(world: World, settings: Settings | None = None) -> Sender:
    return Sender(settings or world.settings(), clock=world.clock)


def temperatures(world: World, first: int, minutes: int, value: float = 8.0) -> None:
    for minute in range(minutes):
        for sensor, offset in (("pen1", 0.0), ("pen2", 1.0)):
            world.site.put(sensor, "temperature", first + minute * MINUTE + 5_000, value + offset)


def humidities(world: World, time: int, rooms: Sequence[str] = ROOMS, value: float = 50.0) -> None:
    for number, room in enumerate(rooms):
        world.site.put(room, "humidity", time, value + number)


def windows(world: World, group: str) -> dict[int, str]:
    return {time: fields for (series, time), fields in world.hq.stored.items() if f"group={group}" in series}


def fields(text: str) -> dict[str, float]:
    return {name: float(value.rstrip("i")) for name, _, value in (each.partition("=") for each in text.split(","))}


# When all is well


def test_a_window_is_sent_once_lateness_has_passed(world: World) -> None:
    temperatures(world, NOON, 2)
    sender = start(world, world.settings(PENS))
    run(world, sender, NOON + MINUTE + 29_999)
    assert windows(world, "pens") == {}
    run(world, sender, NOON + MINUTE + 30_000)
    [(time, told)] = windows(world, "pens").items()
    assert time == NOON
    assert fields(told) == {"count": 2, "mean": 8.5, "stddev": pytest.approx(0.5**0.5), "min": 8, "max": 9}


def test_nothing_is_sent_twice_while_nothing_changes(world: World) -> None:
    temperatures(world, NOON, 90)
    sender = start(world, world.settings(PENS))
    run(world, sender, NOON + 2 * HOUR)
    sent = len(world.hq.captured)
    for _ in range(20):
        world.ticks += module.LOOK_SECONDS
        sender._reported = (world.ticks, None)  # the sign of life is not meant here
        run(world, sender, NOON + 2 * HOUR)
    assert len(world.hq.captured) == sent
    assert len(windows(world, "pens")) == 90


@pytest.mark.parametrize("minutes_ago", [3, 70, 115])
def test_a_late_reading_changes_a_window_that_was_sent(world: World, minutes_ago: int) -> None:
    temperatures(world, NOON, 120)
    sender, now = start(world, world.settings(PENS)), NOON + 2 * HOUR + MINUTE
    run(world, sender, now)
    time = NOON + 2 * HOUR - minutes_ago * MINUTE
    before, captured = dict(windows(world, "pens")), len(world.hq.captured)
    world.site.put("pen1", "temperature", time + 6_000, 10.0)
    for _ in range(5):
        world.ticks += module.LOOK_SECONDS
        run(world, sender, now)
    after = windows(world, "pens")
    assert {each for each in after if after[each] != before[each]} == {time}
    assert fields(after[time])["mean"] == (9.0 + 9.0) / 2
    resent = [line for lines in world.hq.captured[captured:] for line in lines if line.startswith("summary")]
    assert len(resent) == 1


@pytest.mark.parametrize("minutes_later", [0, 30])
def test_a_late_reading_from_before_the_first_one_is_in_a_summary(world: World, minutes_later: int) -> None:
    temperatures(world, NOON, 10)
    sender, now = start(world), NOON + (10 + minutes_later) * MINUTE
    run(world, sender, now)
    temperatures(world, NOON - HOUR, 1)
    humidities(world, NOON - HOUR)
    for hour in range(4):
        world.ticks += module.LOOK_SECONDS
        run(world, sender, now + hour * HOUR)
    assert NOON - HOUR in windows(world, "pens")
    assert NOON - HOUR in windows(world, "barge")


def test_a_reading_that_comes_after_the_horizon_changes_nothing(world: World) -> None:
    temperatures(world, NOON, 180)
    sender = start(world, world.settings(PENS))
    for now in range(NOON + MINUTE, NOON + 4 * HOUR, 10 * MINUTE):
        run(world, sender, now)
    before = dict(windows(world, "pens"))
    assert NOON in before
    world.site.put("pen1", "temperature", NOON + 6_000, 10.0)
    for _ in range(10):
        world.ticks += module.LOOK_SECONDS
        run(world, sender, now)
    assert windows(world, "pens") == before


def test_a_window_in_which_too_few_report_is_withheld_and_counted(world: World) -> None:
    world.site.put("pen1", "temperature", NOON, 8.0)
    temperatures(world, NOON + MINUTE, 1)
    sender, now = start(world, world.settings(PENS)), NOON + 3 * MINUTE
    run(world, sender, now)
    assert set(windows(world, "pens")) == {NOON + MINUTE}
    assert sender.status(now)["withheld"] == 1
    world.ticks += module.REPORT_SECONDS
    run(world, sender, now)
    assert fields(world.hq.stored["site", now]) == {"waiting": 0, "withheld": 1}


def test_a_withheld_window_is_sent_when_a_late_device_completes_it(world: World) -> None:
    world.site.put("pen1", "temperature", NOON, 8.0)
    sender, now = start(world, world.settings(PENS)), NOON + 3 * MINUTE
    run(world, sender, now)
    world.site.put("pen2", "temperature", NOON, 10.0)
    world.ticks += module.LOOK_SECONDS
    run(world, sender, now)
    assert fields(windows(world, "pens")[NOON])["mean"] == 9.0


def test_a_personal_window_is_sent_once_no_reading_may_come_any_more(world: World) -> None:
    humidities(world, NOON)
    sender = start(world)
    run(world, sender, NOON + 2 * HOUR + MINUTE - 1)
    assert windows(world, "barge") == {}
    humidities(world, NOON + 30_000, rooms=["room0"], value=80)
    run(world, sender, NOON + 2 * HOUR + MINUTE)
    told = windows(world, "barge")[NOON]
    assert fields(told) == {"count": 5, "mean": 56.0, "stddev": 4.0}


# When something is down


def test_what_an_outage_left_comes_afterwards_oldest_first_and_none_is_missing(world: World) -> None:
    temperatures(world, NOON, 150)
    for minute in range(0, 150, 10):
        humidities(world, NOON + minute * MINUTE)
    sender = start(world)
    run(world, sender, NOON + MINUTE)
    world.hq.answer = BUSY
    now = NOON + 5 * HOUR
    for _ in range(20):
        world.ticks += module.LAST_RETRY_SECONDS
        run(world, sender, now)
    status = sender.status(now)
    begun = NOON + MINUTE - 2 * HOUR
    assert (status["waiting"], status["since"]) == (299 + 180 + 119, begun), "from the horizon of the first start"
    world.hq.answer, world.hq.captured, world.hq.lines = None, [], []
    world.ticks += module.LAST_RETRY_SECONDS
    run(world, sender, now)
    assert set(windows(world, "pens")) == set(range(NOON, NOON + 150 * MINUTE, MINUTE))
    assert set(windows(world, "barge")) == set(range(NOON, NOON + 150 * MINUTE, 10 * MINUTE))
    bodies = [[int(line.split()[-1]) for line in body if line.startswith("summary")] for body in world.hq.captured]
    firsts = [times[0] for times in bodies if times]
    assert len(firsts) == 7
    assert firsts == sorted(firsts)
    assert all(times == sorted(times) for times in bodies)
    assert world.hq.lines[0].startswith("site "), "the sign of life comes before any window"
    assert sender.status(now)["waiting"] == 0


@pytest.mark.parametrize("hours", [1, 3, 30])
def test_readings_that_came_late_in_an_outage_change_what_was_sent_before_it(world: World, hours: int) -> None:
    temperatures(world, NOON, 120)
    sender = start(world, world.settings(PENS))
    run(world, sender, NOON + 2 * HOUR)
    before = dict(windows(world, "pens"))
    late = [NOON + minute * MINUTE for minute in (1, 59, 60, 90, 118)]
    world.hq.answer = BUSY
    for time in late:
        world.site.put("pen1", "temperature", time + 6_000, 10.0)
    temperatures(world, NOON + 2 * HOUR, hours * 60)
    now = NOON + (2 + hours) * HOUR + MINUTE
    run(world, sender, now)
    world.hq.answer = None
    for later in (0, 0, 0, HOUR):
        world.ticks += module.LAST_RETRY_SECONDS
        run(world, sender, now + later)
    after = windows(world, "pens")
    assert sorted(time for time in before if after[time] != before[time]) == late
    assert len(after) == (2 + hours) * 60
    sent = [line for line in world.hq.lines if line.startswith("summary")]
    assert len(sent) == len(after) + len(late), "no window is sent once more than it changed"


def test_readings_that_came_late_in_an_outage_are_in_the_first_summary_of_their_window(world: World) -> None:
    temperatures(world, NOON, 1)
    sender = start(world, world.settings(PENS))
    world.hq.answer = BUSY
    run(world, sender, NOON + 2 * MINUTE)
    world.site.put("pen1", "temperature", NOON + 6_000, 10.0)
    world.hq.answer = None
    world.ticks += module.LAST_RETRY_SECONDS
    run(world, sender, NOON + 5 * HOUR)
    assert fields(windows(world, "pens")[NOON])["mean"] == 9.0


def test_attempts_are_spaced_and_an_accepted_one_begins_anew(world: World) -> None:
    sender = start(world)
    world.hq.answer = BUSY
    attempts = []
    while world.ticks < 100:
        before = len(world.hq.captured)
        sender.step(NOON)
        if len(world.hq.captured) > before:
            attempts.append(world.ticks)
        world.ticks += 0.5
    assert attempts[:5] == [0, 1, 3, 7, 15]
    assert {later - earlier for earlier, later in pairwise(attempts[4:])} == {15}
    world.hq.answer = None
    world.ticks += 15
    run(world, sender, NOON)
    assert sender.status(NOON)["lastContact"] == NOON
    world.hq.answer, world.hq.captured = BUSY, []
    for _ in range(4):
        world.ticks += module.REPORT_SECONDS
        sender.step(NOON)
    assert len(world.hq.captured) >= 3


def test_a_refusal_is_told_without_what_was_refused_and_tried_again(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    temperatures(world, NOON, 1)
    sender, now = start(world, world.settings(PENS)), NOON + 5 * MINUTE
    world.hq.answer = STRANGER
    run(world, sender, now)
    assert (sender.status(now)["refused"], sender.status(now)["lastContact"]) == ("401", None)
    assert "secret" not in capsys.readouterr().err
    world.hq.answer = None
    world.ticks += module.REFUSED_SECONDS - 1
    run(world, sender, now)
    assert world.hq.lines == []
    world.ticks += 1
    run(world, sender, now)
    assert set(windows(world, "pens")) == {NOON}
    assert sender.status(now)["refused"] is None


@pytest.mark.parametrize("answer", [BUSY, STRANGER, "no HTTP\r\n\r\n", ""])
def test_while_the_local_database_is_stopped_headquarters_still_hears_of_the_site(world: World, answer: str) -> None:
    temperatures(world, NOON, 1)
    sender, now = start(world, world.settings(PENS)), NOON + 5 * MINUTE
    world.site.answer = answer
    run(world, sender, now)
    assert [line.split()[0] for line in world.hq.lines] == ["site"]
    world.site.answer = None
    world.ticks += module.LOCAL_SECONDS
    run(world, sender, now)
    assert set(windows(world, "pens")) == {NOON}


def test_what_is_sent_is_bounded(world: World) -> None:
    temperatures(world, NOON, 1000)
    sender, now = start(world, world.settings(PENS, kib_per_second=1)), NOON + 1000 * MINUTE + MINUTE
    while sender.status(now)["waiting"] or sender.step(now) == 0:
        sender.step(now)
        world.ticks += 0.1
        assert world.ticks < 600
    sent = sum(len(zlib.compress("\n".join(lines).encode())) for lines in world.hq.captured)
    assert len([each for each in world.hq.captured if len(each) > 50]) > 10
    assert world.ticks >= sent / 1024 - 2


# Over a restart


def test_a_restart_goes_on_where_headquarters_has_it(world: World) -> None:
    temperatures(world, NOON, 10)
    run(world, start(world, world.settings(PENS)), NOON + 5 * MINUTE + 30_000)
    world.hq.captured = []
    again = start(world, world.settings(PENS))
    run(world, again, NOON + 11 * MINUTE)
    sent = [int(line.split()[-1]) for lines in world.hq.captured for line in lines if line.startswith("summary")]
    assert sent == [NOON + minute * MINUTE for minute in range(5, 10)]


@pytest.mark.parametrize("steps", range(1, 12))
def test_killed_after_any_step_of_a_backlog_nothing_is_missing(world: World, steps: int) -> None:
    temperatures(world, NOON, 150)
    humidities(world, NOON)
    humidities(world, NOON + 100 * MINUTE)
    now = NOON + 6 * HOUR
    killed = start(world)
    for _ in range(steps):
        killed.step(now)
    run(world, start(world), now)
    assert set(windows(world, "pens")) == set(range(NOON, NOON + 150 * MINUTE, MINUTE))
    assert set(windows(world, "barge")) == {NOON, NOON + 100 * MINUTE}


def test_an_uplink_that_remembers_nothing_sends_what_an_outage_may_have_left(world: World) -> None:
    world.site.put("pen1", "temperature", NOON - 3 * 24 * HOUR, 8.0)
    temperatures(world, NOON - 24 * HOUR, 1)
    run(world, start(world), NOON)
    assert set(windows(world, "pens")) == {NOON - 24 * HOUR}


def test_a_state_that_cannot_be_written_stops_what_must_be_written_first_and_nothing_else(world: World) -> None:
    temperatures(world, NOON, 1)
    humidities(world, NOON)
    sender, now = start(world), NOON + 5 * HOUR
    world.folder.rename(world.folder.with_name("away"))
    run(world, sender, now)
    assert windows(world, "barge") == {}
    assert set(windows(world, "pens")) == {NOON}
    world.folder.with_name("away").rename(world.folder)
    world.ticks += module.LOCAL_SECONDS
    run(world, sender, now)
    assert set(windows(world, "barge")) == {NOON}


@pytest.mark.parametrize("ahead", [1, 5, 72])
def test_after_the_clock_was_ahead_every_window_comes(world: World, ahead: int) -> None:
    """A real-time clock that was wrong, for a moment; within the horizon and beyond it."""
    sender = start(world)
    for hour in range(12):
        temperatures(world, NOON + hour * HOUR, 60)
        humidities(world, NOON + hour * HOUR)
        if hour == 3:
            run(world, sender, NOON + (hour + 1 + ahead) * HOUR)
        world.ticks += module.LOOK_SECONDS
        run(world, sender, NOON + (hour + 1) * HOUR + MINUTE)
    assert set(windows(world, "pens")) == {NOON + minute * MINUTE for minute in range(12 * 60)}
    assert set(windows(world, "barge")) >= {NOON + hour * HOUR for hour in range(10)}


def test_what_is_remembered_is_small(world: World) -> None:
    temperatures(world, NOON, 1)
    sender = start(world, world.settings(PENS, late_horizon_hours=168, outage_budget_days=8))
    run(world, sender, NOON + 7 * 24 * HOUR + 10 * MINUTE)
    state = world.folder / "state.json"
    assert len(json.loads(state.read_text())["digests"]) == 168 * 60 - 1
    assert state.stat().st_size < 200_000


# Alarms

LOW = (("pen", "pen-1"), ("quantity", "temperature"), ("rule", "low"))
DISK = (("pen", "node"), ("rule", "disk"))


def alarm_lines(world: World) -> list[str]:
    return [" ".join(line.split()[:2]) for line in world.hq.lines if line.startswith("alarm")]


def test_alarms_go_first_and_at_once(world: World) -> None:
    temperatures(world, NOON, 60)
    sender = start(world, world.settings(PENS))
    sender.count({LOW: (1, 0)})
    run(world, sender, NOON + 2 * HOUR)
    assert world.hq.lines[0].startswith("alarm,pen=pen-1,quantity=temperature,rule=low acknowledged=0i,raised=1i ")
    world.hq.lines.clear()
    sender.count({LOW: (1, 1)})
    run(world, sender, NOON + 2 * HOUR)
    assert alarm_lines(world) == ["alarm,pen=pen-1,quantity=temperature,rule=low acknowledged=1i,raised=1i"]


def test_one_that_is_over_is_told_as_none_also_after_a_restart(world: World) -> None:
    sender = start(world)
    sender.count({LOW: (1, 0), DISK: (1, 0)})
    run(world, sender, NOON)
    world.hq.lines.clear()
    again = start(world)
    again.count({DISK: (1, 0)})
    run(world, again, NOON + 1)
    assert alarm_lines(world) == [
        "alarm,pen=node,rule=disk acknowledged=0i,raised=1i",
        "alarm,pen=pen-1,quantity=temperature,rule=low acknowledged=0i,raised=0i",
    ]
    world.hq.lines.clear()
    world.ticks += module.REPORT_SECONDS
    run(world, again, NOON + 2)
    assert alarm_lines(world) == ["alarm,pen=node,rule=disk acknowledged=0i,raised=1i"]


@pytest.mark.parametrize("now", [{}, {DISK: (1, 0)}])
def test_an_uplink_that_remembers_nothing_ends_what_headquarters_believes_to_be_raised(
    world: World, now: dict[alarms.Series, alarms.Count]
) -> None:
    sender = start(world)
    sender.count({LOW: (1, 0), DISK: (1, 0)})
    run(world, sender, NOON)
    (world.folder / "state.json").unlink()
    world.hq.lines = [line for line in world.hq.lines if line.startswith("alarm")]
    again = start(world)
    again.count(now)
    run(world, again, NOON + 1)
    raised = 1 if DISK in now else 0
    assert alarm_lines(world)[2:] == [
        f"alarm,pen=node,rule=disk acknowledged=0i,raised={raised}i",
        "alarm,pen=pen-1,quantity=temperature,rule=low acknowledged=0i,raised=0i",
    ]
    world.hq.lines.clear()
    world.ticks += module.REPORT_SECONDS
    run(world, again, NOON + 2)
    assert len(alarm_lines(world)) == len(now), "once is enough"
    assert len([each for each in world.hq.asked if "FROM alarm" in each]) == 2, "once a start"


def test_while_the_alarms_are_not_known_none_is_told_as_over(world: World) -> None:
    sender = start(world)
    sender.count({LOW: (1, 0)})
    run(world, sender, NOON)
    world.hq.lines.clear()
    sender.count(None)
    world.ticks += module.REPORT_SECONDS
    run(world, sender, NOON + 1)
    assert alarm_lines(world) == []
    assert "site" in world.hq.lines[0]
