"""When a site is silent, and when that is over."""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.watch.engine import ANSWER_MS, DAY_MS, Certificate, Change, Engine

NOW = 1_700_000_000_000
SECOND, MINUTE = 1_000, 60_000
POLL = 10 * SECOND
SILENT = 5 * MINUTE


class Headquarters:
    """An engine whose clock the test turns, and a store that answers or not."""

    def __init__(self, kept: Mapping[str, Any] | None = None, now: int = NOW) -> None:
        self.now = now
        self.newest: int | None = None
        self.engine = Engine(["oslo"], silent_seconds=300, repeat_seconds=900, kept=kept or {})

    def poll(self, number: int = 1, *, answers: bool = True) -> list[Change]:
        changes: list[Change] = []
        for _ in range(number):
            if answers:
                changes += self.engine.answered("oslo", self.newest, self.now)
            else:
                self.engine.unanswered("oslo")
            self.now += POLL
        return changes

    def heartbeat(self, at: int | None = None) -> list[Change]:
        self.newest = self.now if at is None else at
        return self.poll()

    def restarted(self, *, after: int = 0) -> "Headquarters":
        other = Headquarters(self.engine.snapshot(), self.now + after)
        other.newest = self.newest
        return other


def told(changes: Sequence[Change]) -> list[str]:
    return [change.event for change in changes]


def silent() -> Headquarters:
    """A site that spoke once, and is told to be silent."""
    hq = Headquarters()
    hq.heartbeat()
    assert told(hq.poll(30)) == ["raised"]
    return hq


def test_a_site_is_silent_once_it_said_nothing_for_so_long() -> None:
    hq = Headquarters()
    hq.heartbeat()
    spoke = hq.now - POLL
    assert hq.poll(29) == []
    [change] = hq.poll()
    assert (change.event, change.site) == ("raised", "oslo")
    assert (change.alarm.rule, change.alarm.limit) == ("silent", 300)
    assert (change.alarm.since, change.alarm.raised) == (spoke, spoke + SILENT)


def test_a_site_that_speaks_each_half_minute_is_never_silent() -> None:
    hq = Headquarters()
    assert [change for _ in range(100) for change in hq.heartbeat() + hq.poll(2)] == []


def test_a_site_that_never_spoke_is_silent_since_it_is_listened_to() -> None:
    hq = Headquarters()
    [change] = hq.poll(31)
    assert (change.event, change.alarm.since) == ("raised", NOW)


def test_what_a_site_said_before_the_first_look_is_when_it_spoke_last() -> None:
    hq = Headquarters()
    hq.newest = NOW - 3 * 86_400_000
    assert hq.poll(30) == []
    [change] = hq.poll()
    assert change.alarm.since == hq.newest


def test_its_next_heartbeat_ends_it() -> None:
    hq = silent()
    [change] = hq.heartbeat()
    assert (change.event, change.alarm.since) == ("cleared", NOW)
    assert hq.poll(29) == []
    assert told(hq.poll()) == ["raised"]


def test_a_site_that_stays_silent_is_told_again() -> None:
    assert told(silent().poll(200)) == ["repeated", "repeated"]


@pytest.mark.parametrize("skew", [-86_400_000, -SILENT, -1, 0])
def test_a_clock_that_is_wrong_makes_no_site_silent(skew: int) -> None:
    hq = Headquarters()
    assert [change for _ in range(40) for change in hq.heartbeat(hq.now + skew) + hq.poll(2)] == []


def test_a_store_that_is_down_makes_no_site_silent() -> None:
    hq = Headquarters()
    hq.heartbeat()
    assert hq.poll(20) == []
    assert hq.poll(1000, answers=False) == []
    assert hq.poll(10) == [], "the first answer after the outage begins a count, it does not end one"
    assert told(hq.poll()) == ["raised"]


def test_a_store_that_is_down_now_and_then_hides_no_silent_site() -> None:
    hq = Headquarters()
    hq.heartbeat()
    assert told([change for _ in range(12) for change in hq.poll(6) + hq.poll(1, answers=False)]) == ["raised"]


def test_one_answer_stands_for_a_minute_at_most() -> None:
    hq = Headquarters()
    hq.heartbeat()
    hq.now += 86_400_000
    assert hq.poll() == []
    assert told(hq.poll((SILENT - ANSWER_MS) // POLL)) == ["raised"]


def test_a_restart_forgets_nothing_and_its_pause_does_not_count() -> None:
    hq = Headquarters()
    hq.heartbeat()
    hq.poll(20)
    after = hq.restarted(after=86_400_000)
    assert after.poll(10) == []
    [change] = after.poll()
    assert (change.event, change.alarm.since) == ("raised", NOW)
    again = after.restarted()
    assert again.poll(80) == []
    assert told(again.poll(10)) == ["repeated"]
    assert told(again.heartbeat()) == ["cleared"]


def test_a_site_that_is_no_longer_watched_is_forgotten() -> None:
    kept = silent().engine.snapshot()
    other = Engine(["bergen"], silent_seconds=300, repeat_seconds=900, kept=kept)
    assert other.snapshot() == {}


TODAY = date(2023, 11, 14)


def certificate(left: int | None, kept: Mapping[str, int] | None = None) -> Certificate:
    """One that ends in so many days, of which a week is too few."""
    return Certificate("hq", None if left is None else TODAY + timedelta(left), days=7, kept=kept or {})


@pytest.mark.parametrize("left", [7, 8, None])
def test_a_certificate_that_is_good_for_long_is_not_told(left: int | None) -> None:
    one = certificate(left)
    assert (one.looked_at(NOW), one.left, one.snapshot()) == ([], None, {})


@pytest.mark.parametrize("left", [6, 0, -3])
def test_one_that_ends_soon_or_has_ended_is_told_with_its_days(left: int) -> None:
    one = certificate(left)
    [change] = one.looked_at(NOW)
    assert (change.event, change.site, change.alarm.rule) == ("raised", "hq", "certificates")
    assert (change.alarm.value, change.alarm.limit, one.left) == (left, 7, left)


def test_it_is_told_once_a_day_also_over_a_restart_with_the_days_of_that_day() -> None:
    one = certificate(6)
    assert told(one.looked_at(NOW)) == ["raised"]
    again = certificate(6, one.snapshot())
    assert again.looked_at(NOW + DAY_MS - 1) == []
    [change] = again.looked_at(NOW + DAY_MS)
    assert (change.event, change.alarm.value, change.alarm.raised) == ("repeated", 5, NOW)
    assert again.looked_at(NOW + DAY_MS + MINUTE) == []


@pytest.mark.parametrize("left", [400, None])
def test_a_renewed_one_ends_it_and_so_does_a_page_that_goes(left: int | None) -> None:
    one = certificate(6)
    one.looked_at(NOW)
    renewed = certificate(left, one.snapshot())
    [change] = renewed.looked_at(NOW + MINUTE)
    assert (change.event, change.alarm.raised) == ("cleared", NOW)
    assert (renewed.looked_at(NOW + MINUTE), renewed.left) == ([], None)


@given(st.lists(st.sampled_from(["heard", "nothing", "down", "restart"]), max_size=200))
def test_silence_is_the_time_without_a_word_in_which_the_store_answered(happened: list[str]) -> None:
    hq, quiet, raised, before = Headquarters(), 0, False, False
    for what in happened:
        if what == "restart":
            hq, before = hq.restarted(after=MINUTE), False
            continue
        changes = hq.heartbeat() if what == "heard" else hq.poll(answers=what == "nothing")
        quiet = 0 if what == "heard" else quiet + POLL * (before and what == "nothing")
        before = what != "down"
        expected = quiet >= SILENT if before else raised
        assert [event for event in told(changes) if event != "repeated"] == (
            ["raised"] if expected and not raised else ["cleared"] if raised and not expected else []
        )
        raised = expected
