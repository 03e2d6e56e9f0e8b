"""The alarms as headquarters sees them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from services._mqtt import status_topic
from services.alarms.alarm import Alarm
from services.alarms.engine import Engine
from services.alarms.settings import Settings as AlarmSettings
from services.uplink.alarms import counted
from services.uplink.allowed import RULES
from services.uplink.service import SERVICE, Board
from services.uplink.settings import Sensor, Settings
from tests.services.uplink.world import World, serving


@pytest.fixture(scope="module")
def told() -> Settings:
    with serving() as site, serving() as hq:
        settings = World(site, hq, Path()).settings()
    light = Sensor(id="cabin-light", pen="barge", quantities=("light",))
    return replace(settings, sensors=(*settings.sensors, light))


def alarm(rule: str, **more: Any) -> Alarm:
    return Alarm(rule=rule, since=1, raised=2, **more)


def one(told: Settings, which: Alarm) -> dict[str, str]:
    [series] = counted(told, [which])
    return dict(series)


def test_what_is_not_personal_is_told_with_its_pen(told: Settings) -> None:
    low = alarm("low", sensor="pen1", quantity="temperature")
    assert one(told, low) == {"rule": "low", "quantity": "temperature", "pen": "pen-1"}
    assert one(told, alarm("silent", sensor="pen1")) == {"rule": "silent", "pen": "pen-1"}
    assert one(told, alarm("disk")) == {"rule": "disk", "pen": "node"}


def test_what_is_personal_is_told_without_a_place(told: Settings) -> None:
    high = alarm("high", sensor="room3", quantity="humidity")
    assert one(told, high) == {"rule": "high", "quantity": "humidity"}
    assert one(told, alarm("silent", sensor="room3")) == {"rule": "silent"}


def test_a_quantity_that_was_never_declared_to_leave_is_not_named(told: Settings) -> None:
    assert one(told, alarm("high", sensor="cabin-light", quantity="light")) == {"rule": "high"}


def test_alarms_are_counted_and_so_are_those_that_somebody_has_seen(told: Settings) -> None:
    several = [alarm("high", sensor=f"room{number}", quantity="humidity") for number in range(3)]
    seen = replace(several[0], acknowledged=3)
    assert list(counted(told, [seen, *several[1:]]).values()) == [(3, 1)]


@pytest.mark.parametrize("stranger", [alarm("Kari was here"), alarm("low", sensor="not-ours", quantity="temperature")])
def test_what_is_not_of_this_site_is_left_out(told: Settings, stranger: Alarm) -> None:
    assert counted(told, [stranger]) == {}


def test_every_rule_that_raises_an_alarm_is_known() -> None:
    settings = AlarmSettings(
        site="oslo",
        broker=None,  # type: ignore[arg-type]
        sensors=(),
        rules=(),
        retention_days=1,
        repeat_seconds=1,
        disk_percent=1,
        queue_messages=1,
        uplink_seconds=1,
        certificates=(),
        certificate_days=1,
        webhook=None,
        webhook_key="",
    )
    engine = Engine(settings, 0)
    for kind in ("disk", "queue", "uplink", "certificates"):
        [change] = engine.node(kind, beyond=True, over=False, value=1, limit=1, now=1)
        assert change.alarm.rule in RULES
    assert {"low", "high", "silent"} < RULES


# As the broker tells them

LOW = "alerts/oslo/pen-1/pen1-temperature-low"
OWN = status_topic("oslo", SERVICE)


def known(board: Board) -> list[Alarm] | None:
    return board.alarms


def test_the_alarms_are_known_once_all_that_are_retained_have_come() -> None:
    board = Board("oslo")
    board.begin()
    board.take(LOW, alarm("low").payload())
    assert known(board) is None
    board.take(OWN, b"{}")
    assert known(board) == [alarm("low")]


def test_one_that_is_over_is_gone_also_if_it_ended_while_the_session_was_lost() -> None:
    board = Board("oslo")
    board.take(OWN, b"{}")
    board.take(LOW, alarm("low").payload())
    board.take(LOW, b"")
    assert known(board) == []
    board.take(LOW, alarm("low").payload())
    board.begin()
    assert known(board) is None
    board.take(OWN, b"{}")
    assert known(board) == []


def test_what_is_no_alarm_is_told_and_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    board = Board("oslo")
    board.take(LOW, b"garbage")
    board.take(OWN, b"{}")
    assert known(board) == []
    assert LOW in capsys.readouterr().err
