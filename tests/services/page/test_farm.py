"""A farm's page, told by a broker that the test plays."""

import time
from typing import Any

import pytest
from paho.mqtt.client import MQTTMessage

from services.page.farm import FarmPage
from tests.services.page.test_live import FARM, LOW, alarm


@pytest.fixture
def page() -> FarmPage:
    return FarmPage("oslo", FARM, 0)


def shown(page: FarmPage, topic: str, payload: bytes, *, retain: bool) -> Any:
    message = MQTTMessage(0, topic.encode())
    message.payload, message.retain = payload, retain
    page._received(message)
    return page.state(time.time_ns() // 1_000_000)


def test_a_retained_reading_is_of_no_sensor_that_speaks(page: FarmPage) -> None:
    for retain in (True, False):
        [pen] = shown(page, "sensors/o2/oxygen", b'{"value": 8}', retain=retain)["pens"]
        [sensor] = pen["sensors"]
        assert sensor["silent"] == retain
        assert (sensor["quantities"][0]["value"] is None) == retain


def test_a_retained_alarm_is_shown(page: FarmPage) -> None:
    assert [raised["topic"] for raised in shown(page, LOW, alarm(), retain=True)["alarms"]] == [LOW]


def test_of_the_database_nothing_ahead_of_the_clock_is_asked(page: FarmPage, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def query(question: str) -> list[Any]:
        asked.append(question)
        return []

    monkeypatch.setattr(page._database, "query", query)
    page.step()
    [question] = asked
    assert "AND time <= now() " in question
