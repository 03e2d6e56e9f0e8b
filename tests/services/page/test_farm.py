"""A farm's page: what a broker tells it that the test plays, and what it asks the database for."""

import time
from types import SimpleNamespace
from typing import Any

import pytest
from paho.mqtt.client import MQTTMessage

from services._influxdb import RefusedError, UnavailableError
from services.page import farm
from services.page.farm import REJECTED_SECONDS, FarmPage
from tests.services.page.test_live import FARM, LOW, NOW, alarm

ROWS = [{"time": 0, "sensor": "o2", "reason": "no JSON object", "count": 12}]


class Database:
    """Answers as told, at the time of the test's clock."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.takes = 0.0, 0.0
        self.answer: list[dict[str, Any]] | Exception = ROWS
        self.asked = 0
        monkeypatch.setattr(farm, "time", SimpleNamespace(monotonic=lambda: self.now))
        self.page = FarmPage("oslo", FARM, NOW)
        monkeypatch.setattr(self.page._database, "query", self._query)

    def _query(self, statement: str) -> list[dict[str, Any]]:
        if "FROM rejected" not in statement:
            return []
        self.asked += 1
        self.now += self.takes
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def after(self, seconds: float) -> Any:
        self.now += seconds
        self.page.step()
        return self.page.state(NOW)["rejected"]


@pytest.fixture
def database(monkeypatch: pytest.MonkeyPatch) -> Database:
    return Database(monkeypatch)


def test_what_was_no_reading_is_counted_by_sensor_and_reason(database: Database) -> None:
    assert database.page.state(NOW)["rejected"] == []
    assert database.after(0) == [{"sensor": "o2", "reason": "no JSON object", "count": 12}]
    database.answer = []
    assert database.after(REJECTED_SECONDS + 1) == []


@pytest.mark.parametrize("error", [UnavailableError("down"), RefusedError("no")])
def test_without_an_answer_the_last_one_stays_and_it_is_asked_again(database: Database, error: Exception) -> None:
    database.after(0)
    database.answer = error
    assert database.after(REJECTED_SECONDS + 1)[0]["count"] == 12
    database.answer = []
    assert database.after(REJECTED_SECONDS + 1) == []


def test_a_database_that_takes_its_time_is_asked_less_often(database: Database) -> None:
    database.takes = 10
    database.after(0)
    database.after(REJECTED_SECONDS + 1)
    assert database.asked == 1
    database.after(200)
    assert database.asked == 2


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
        [quantity] = sensor["quantities"]
        assert quantity["silent"] == retain
        assert (quantity["value"] is None) == retain


def test_a_retained_alarm_is_shown(page: FarmPage) -> None:
    assert [raised["topic"] for raised in shown(page, LOW, alarm(), retain=True)["alarms"]] == [LOW]


def test_of_the_database_nothing_ahead_of_the_clock_is_asked(page: FarmPage, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def query(question: str) -> list[Any]:
        asked.append(question)
        return []

    monkeypatch.setattr(page._database, "query", query)
    page.step()
    [last_values] = [question for question in asked if "last(" in question]
    assert "AND time <= now() " in last_values
