"""How often a PIN may be tried."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.page.pins import AT_ONCE, CLIENTS, FORGOTTEN, LONGEST_DELAY, ONE_IN, Pin, TooOftenError

DAY = 86_400.0


def test_the_right_pin_is_right_as_often_as_one_likes() -> None:
    pin = Pin("012345", 0)
    assert all(pin.is_right("012345", "a", 0) for _ in range(100))


@pytest.mark.parametrize("offered", ["12345", "012345 ", "0123456", "", "é", "\ud800"])
def test_what_is_not_the_pin_is_wrong(offered: str) -> None:
    assert not Pin("012345", 0).is_right(offered, "a", 0)


def test_a_client_waits_longer_after_each_wrong_pin_and_then_also_with_the_right_one() -> None:
    pin, now = Pin("1", 0), 0.0
    for delay in (1, 2, 4, 8, 16):
        assert not pin.is_right("2", "a", now)
        with pytest.raises(TooOftenError) as raised:
            pin.is_right("1", "a", now + delay - 0.5)
        assert raised.value.seconds == pytest.approx(0.5)
        now += delay
    assert pin.is_right("1", "a", now)
    assert not pin.is_right("2", "a", now)
    assert pin.is_right("1", "a", now + 1), "a right PIN begins anew"


def test_no_client_waits_longer_than_the_longest_delay() -> None:
    pin, now = Pin("1", 0), 0.0
    for _ in range(30):
        assert not pin.is_right("2", "a", now)
        now += LONGEST_DELAY
    assert pin.is_right("1", "a", now)


def test_one_clients_mistakes_do_not_keep_another_out() -> None:
    pin = Pin("1", 0)
    assert not pin.is_right("2", "a", 0)
    assert pin.is_right("1", "b", 0)


def test_a_mistake_of_long_ago_is_forgotten() -> None:
    pin, now = Pin("1", 0), 0.0
    for _ in range(5):
        assert not pin.is_right("2", "a", now)
        now += 60
    assert not pin.is_right("2", "a", now + FORGOTTEN + 1)
    assert pin.is_right("1", "a", now + FORGOTTEN + 2.5), "one second, as after a first mistake"


@given(st.lists(st.tuples(st.floats(0, 600), st.integers(0, 5000)), max_size=300))
def test_however_many_ask_few_pins_are_looked_at(tries: list[tuple[float, int]]) -> None:
    pin, now, looked = Pin("1", 0), 0.0, 0
    for wait, client in tries:
        now += wait
        with suppress(TooOftenError):
            assert not pin.is_right("2", str(client), now)
            looked += 1
    assert looked <= AT_ONCE + now / ONE_IN


def test_guessing_takes_a_year_on_the_average_at_least() -> None:
    pin, now, looked = Pin("1", 0), 0.0, 0
    while now < DAY:
        try:
            pin.is_right("2", f"client-{now}", now)
            looked += 1
        except TooOftenError as error:
            now += error.seconds + 1
    assert 10**6 / 2 / looked > 365


def test_the_clients_that_are_remembered_are_bounded() -> None:
    pin = Pin("1", 0)
    for number in range(CLIENTS + 100):
        assert not pin.is_right("2", str(number), number * ONE_IN)
    assert len(pin._clients) == CLIENTS
