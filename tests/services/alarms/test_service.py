"""The alarms as a process, with a broker that the test plays."""

import json
import queue
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt.client import MQTTMessage

from services.alarms import node, service
from services.alarms.alarm import Alarm
from services.alarms.service import NODE_MS, RESTORE_LIMIT_MS, RESTORE_MS, STATUS_MS, Alarms, Message
from tests.services.alarms.test_engine import LOW, NOW, SECOND, SILENT, settings

UPLINK = "alerts/oslo/node/uplink"


class Inbox(queue.SimpleQueue[Message]):
    """One that is not waited for: the test's clock goes on by itself."""

    def get(self, block: bool = True, timeout: float | None = None) -> Message:  # noqa: ARG002
        return super().get(block=False)


class Broker:
    """Takes what is published and acknowledged, and hands messages over, at the time of the test's clock."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self.published: list[tuple[str, bytes]] = []
        self.acknowledged: list[int] = []
        self.now = NOW
        self.received: Callable[[MQTTMessage], None] = lambda _: None
        self.begun: Callable[[], None] = lambda: None
        monkeypatch.setattr(service, "session", self._session)
        monkeypatch.setattr(service, "_now", lambda: self.now)
        self.alarms = Alarms(replace(settings(), data=str(folder)), NOW)
        self.alarms._inbox = Inbox()

    def _session(
        self, *_: object, received: Callable[[MQTTMessage], None], begun: Callable[[], None], **__: object
    ) -> "Broker":
        self.received, self.begun = received, begun
        return self

    def publish(self, topic: str, payload: bytes | str, **_: object) -> None:
        self.published.append((topic, payload.encode() if isinstance(payload, str) else payload))

    def ack(self, mid: int, qos: int) -> None:
        self.acknowledged += [mid] * qos

    def sends(self, topic: str, payload: Any, *, retain: bool = False, mid: int = 0) -> None:
        message = MQTTMessage(mid, topic.encode())
        message.payload = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        message.retain, message.qos = retain, 1 if mid else 0
        self.received(message)

    def after(self, ms: int) -> list[tuple[str, bytes]]:
        """Let the clock go on; the alarms that are published."""
        self.now += ms
        self.published.clear()
        self.alarms.step()
        return [(topic, payload) for topic, payload in self.published if topic.startswith("alerts/")]

    def connects(self, *alarms: tuple[str, Alarm]) -> None:
        self.begun()
        for topic, alarm in alarms:
            self.sends(topic, alarm.payload(), retain=True)
        self.sends("status/oslo/alarms", {"up": True})


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Broker:
    monkeypatch.setattr(node, "disk", lambda *_: node.Finding("disk", False, True, 1.0, 85))
    return Broker(monkeypatch, tmp_path)


def cut(**more: Any) -> Alarm:
    return Alarm(rule="uplink", value=4000, limit=1800, since=NOW - 1, raised=NOW - 1, **more)


def test_a_reading_waits_until_the_alarms_of_before_are_known_and_is_acknowledged_then(broker: Broker) -> None:
    broker.sends("sensors/o2/oxygen", {"value": 9.0, "time": NOW}, mid=7)
    broker.connects((LOW, Alarm(rule="low", sensor="o2", quantity="oxygen", limit=6.0, since=NOW - 2, raised=NOW - 1)))
    assert broker.after(10) == []
    assert broker.acknowledged == []
    assert broker.after(RESTORE_MS + 1) == [(LOW, b"")]
    assert broker.after(10) == []
    assert broker.acknowledged == [7]


def test_a_broker_that_comes_late_brings_the_alarms_of_before(broker: Broker) -> None:
    broker.after(RESTORE_LIMIT_MS + 1)
    broker.connects((UPLINK, cut(acknowledged=NOW - 1)))
    broker.after(10)
    assert broker.after(RESTORE_MS + 1) == [], "neither raised again nor cleared"
    assert broker.alarms._engine.raised == {UPLINK: cut(acknowledged=NOW - 1)}
    assert broker.alarms._engine.next_due == NOW + 120 * SECOND


def test_without_a_broker_the_clock_counts_and_what_it_raised_goes_on_as_the_alarm_of_before(broker: Broker) -> None:
    [(topic, _)] = broker.after(120 * SECOND)
    assert topic == SILENT
    before = Alarm(rule="silent", sensor="o2", limit=120, since=NOW - 9, raised=NOW - 8, acknowledged=NOW - 7)
    broker.connects((SILENT, before))
    assert broker.after(10) == [(SILENT, before.payload())]
    assert broker.alarms._engine.raised == {SILENT: before}


def test_a_broker_that_comes_back_without_what_it_retained_is_told_the_raised_alarms_again(broker: Broker) -> None:
    broker.connects((UPLINK, cut(acknowledged=NOW - 1)))
    broker.after(10)
    assert broker.after(RESTORE_MS + 1) == []
    outbox = broker.alarms._webhook.pending
    broker.connects()
    assert broker.after(10) == [(UPLINK, cut(acknowledged=NOW - 1).payload())]
    assert broker.alarms._webhook.pending == outbox, "it is nothing new"
    assert broker.after(10) == []


def test_a_retained_message_that_comes_later_is_its_own(broker: Broker) -> None:
    broker.connects()
    broker.after(10)
    broker.after(RESTORE_MS + 1)
    broker.sends(UPLINK, cut().payload(), retain=True)
    broker.after(10)
    assert broker.alarms._engine.raised == {}


def test_a_retained_reading_is_of_no_sensor_that_speaks(broker: Broker) -> None:
    broker.sends("sensors/o2/oxygen", {"value": 5.0}, retain=True, mid=7)
    broker.connects()
    broker.after(10)
    broker.after(RESTORE_MS + 1)
    assert [topic for topic, _ in broker.after(120 * SECOND)] == [SILENT]
    broker.sends("sensors/o2/oxygen", {"value": 5.0}, retain=True, mid=8)
    assert broker.after(30 * SECOND) == []
    assert broker.alarms._engine.raised.keys() == {SILENT}
    assert broker.acknowledged == [7, 8]


def test_a_restart_of_all_begins_no_time_without_headquarters_anew(
    broker: Broker, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    broker.alarms._save()
    later = Broker(monkeypatch, tmp_path)
    later.now = NOW + 3600 * SECOND
    later.alarms = Alarms(replace(settings(), data=str(tmp_path)), later.now)
    later.connects()
    later.after(10)
    later.after(RESTORE_MS + 1)
    published = later.after(300 * SECOND)
    assert UPLINK in [topic for topic, _ in published]


def test_a_state_from_before_the_uplinks_time_was_kept_is_read(
    broker: Broker, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    broker.alarms._save()
    state = json.loads((tmp_path / "state.json").read_text())
    del state["uplink"]
    (tmp_path / "state.json").write_text(json.dumps(state))
    Broker(monkeypatch, tmp_path)
    assert not (tmp_path / "state.broken").exists()


DAY = 86_400 * SECOND


def test_a_clock_that_is_set_back_stops_neither_status_nor_a_look_at_the_node(
    broker: Broker, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    broker.now = NOW + DAY
    broker.connects()
    broker.after(10)
    broker.after(RESTORE_MS + 1)
    full = node.Finding("disk", True, False, 90.0, 85)
    monkeypatch.setattr(node, "disk", lambda *_: full)
    (tmp_path / "state.json").unlink()
    broker.now = NOW
    broker.after(0)
    assert [topic for topic, _ in broker.after(NODE_MS)] == ["alerts/oslo/node/disk"]
    assert (tmp_path / "state.json").exists()
    broker.after(STATUS_MS - NODE_MS)
    assert "status/oslo/alarms" in [topic for topic, _ in broker.published]


def test_a_clock_that_is_set_back_does_not_prolong_the_wait_for_the_alarms_of_before(broker: Broker) -> None:
    broker.now = NOW + DAY
    broker.connects()
    broker.after(10)
    broker.sends("sensors/o2/oxygen", {"value": 9.0}, mid=7)
    broker.now = NOW
    broker.after(0)
    broker.after(RESTORE_MS + 1)
    broker.after(0)
    assert broker.acknowledged == [7]


def test_without_a_broker_a_clock_that_is_set_back_counts_all_the_same(broker: Broker) -> None:
    broker.after(RESTORE_LIMIT_MS)
    broker.now = NOW - DAY
    broker.after(0)
    broker.after(RESTORE_LIMIT_MS)
    assert broker.after(120 * SECOND) != []


def test_it_tells_what_waits_for_the_webhook_and_since_when(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, broker: Broker
) -> None:
    def told() -> Any:
        broker.after(STATUS_MS)
        [payload] = [payload for topic, payload in broker.published if topic == "status/oslo/alarms"]
        status = json.loads(payload)
        return status["outbox"], status["outboxSince"], status["outboxDropped"]

    monkeypatch.setattr(threading.Thread, "start", lambda _: None)
    broker.alarms = Alarms(replace(settings(), data=str(tmp_path), webhook="http://127.0.0.1:1"), NOW)
    broker.connects()
    broker.after(10)
    broker.after(RESTORE_MS + 1)
    assert told() == (0, None, 0)
    broker.after(120 * SECOND)
    silent_since = broker.now
    assert told() == (1, silent_since, 0)
