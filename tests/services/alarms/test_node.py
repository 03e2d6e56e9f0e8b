"""How the node itself does."""

import json
from dataclasses import replace
from datetime import date

import pytest

from services.alarms.node import DROPPED, STORED, Queue, Uplink, certificates, disk
from services.alarms.settings import Certificate
from tests.services.alarms.test_engine import NOW, SECOND, settings


@pytest.mark.parametrize(("percent", "beyond", "over"), [(85, True, False), (84, False, False), (82.9, False, True)])
def test_the_fullest_disk_counts_and_is_well_again_below_its_limit(percent: float, beyond: bool, over: bool) -> None:
    found = disk([10, percent], 85)
    assert (found.beyond, found.over, found.value) == (beyond, over, percent)


def test_the_certificate_that_ends_first_is_told_sixty_days_ahead() -> None:
    ends = replace(
        settings(),
        certificates=(Certificate(name="a", not_after="2035-12-31"), Certificate(name="b", not_after="2026-03-02")),
    )
    assert certificates(ends, date(2026, 1, 1)).beyond is False
    found = certificates(ends, date(2026, 1, 2))
    assert (found.beyond, found.value) == (True, 59)
    assert certificates(settings(), date(2026, 1, 1)).over


def test_a_long_queue_is_told_until_half_of_it_is_read() -> None:
    queue = Queue(1000, NOW)
    queue.told(STORED, b"1001", NOW)
    assert queue.finding(NOW).beyond
    queue.told(STORED, b"500", NOW)
    assert not queue.finding(NOW).over
    queue.told(STORED, b"499", NOW)
    assert queue.finding(NOW).over


def test_dropped_messages_are_told_and_a_restarted_brokers_count_is_none() -> None:
    queue = Queue(1000, NOW)
    for number in (b"7", b"0", b"nonsense"):
        queue.told(DROPPED, number, NOW)
        assert not queue.finding(NOW).beyond
    queue.told(DROPPED, b"1", NOW)
    assert queue.finding(NOW).beyond
    assert queue.finding(NOW + 600 * SECOND).over


def test_headquarters_is_away_when_nothing_was_accepted_for_so_long() -> None:
    uplink = Uplink(1800, NOW)
    assert not uplink.finding(NOW + 1800 * SECOND).beyond
    assert uplink.finding(NOW + 1801 * SECOND).beyond, "also where it never spoke"
    contact = NOW + 1000 * SECOND
    uplink.told(json.dumps({"up": True, "lastContact": contact}).encode(), contact)
    for said in (b'{"up": false}', b"[]", b"garbage", b'{"lastContact": null}'):
        uplink.told(said, contact)
    assert uplink.finding(contact + 1800 * SECOND).over
    assert uplink.finding(contact + 1801 * SECOND).beyond


def test_after_a_restart_the_alarm_stays_until_headquarters_accepts_something() -> None:
    uplink = Uplink(1800, NOW)
    assert not uplink.finding(NOW + SECOND).over, "nobody has said so"
    before = json.dumps({"up": True, "lastContact": NOW - 7200 * SECOND}).encode()
    uplink.told(before, NOW)
    assert not uplink.finding(NOW + SECOND).over
    assert not uplink.finding(NOW + 299 * SECOND).beyond, "a node that was off has just come back"
    found = uplink.finding(NOW + 300 * SECOND)
    assert (found.beyond, found.value) == (True, 7500)
    uplink.told(json.dumps({"up": True, "lastContact": NOW + 310 * SECOND}).encode(), NOW + 310 * SECOND)
    assert uplink.finding(NOW + 310 * SECOND).over


def test_the_time_without_headquarters_goes_on_over_a_restart_of_all() -> None:
    never = Uplink(1800, NOW + 1700 * SECOND, Uplink(1800, NOW).since)
    never.told(b'{"up": true, "lastContact": null}', NOW + 1700 * SECOND)
    assert not never.finding(NOW + 1999 * SECOND).beyond, "a node that was off has just come back"
    found = never.finding(NOW + 2000 * SECOND)
    assert (found.beyond, found.value) == (True, 2000)
    assert not Uplink(1800, NOW, NOW + 7200 * SECOND).finding(NOW + 1800 * SECOND).beyond, "a clock that was set back"


DAY = 86_400 * SECOND


def test_a_clock_that_is_set_back_makes_no_dropped_message_last() -> None:
    queue = Queue(1000, NOW + DAY)
    for number in (b"0", b"1"):
        queue.told(DROPPED, number, NOW + DAY)
    assert queue.finding(NOW).beyond
    assert queue.finding(NOW + 600 * SECOND).over


def test_a_clock_that_is_set_back_neither_delays_nor_ends_the_alarm_of_headquarters() -> None:
    uplink = Uplink(1800, NOW + DAY)
    uplink.told(json.dumps({"up": True, "lastContact": NOW + DAY}).encode(), NOW + DAY)
    assert uplink.finding(NOW + DAY + 1801 * SECOND).beyond
    for seconds in (0, 1800):
        found = uplink.finding(NOW + seconds * SECOND)
        assert (found.beyond, found.over) == (False, False)
        uplink.told(json.dumps({"up": True, "lastContact": NOW + DAY}).encode(), NOW + seconds * SECOND)
    assert uplink.finding(NOW + 1801 * SECOND).beyond
    uplink.told(json.dumps({"up": True, "lastContact": NOW + 1801 * SECOND}).encode(), NOW + 1801 * SECOND)
    assert uplink.finding(NOW + 1801 * SECOND).over
