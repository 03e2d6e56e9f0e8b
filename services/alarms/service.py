"""The alarms as a process: broker in, engine, broker and webhook out."""

import json
import os
import queue
import signal
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple, Self

from paho.mqtt.client import MQTTMessage

from services import _snapshot
from services._health import Health
from services._mqtt import session, status_topic, tell
from services._webhook import Webhook
from services.alarms import node
from services.alarms.alarm import Alarm
from services.alarms.engine import Change, Engine
from services.alarms.settings import Settings

SERVICE = "alarms"

#: What it remembers beside the retained messages, when it starts for the first time.
EMPTY: Mapping[str, Any] = {"engine": {}, "outbox": []}

#: So long after the first connection retained alarms come in, and so long without one the clock waits for them.
RESTORE_MS, RESTORE_LIMIT_MS = 2_000, 15_000

#: How often it says how it does, looks at the node, and remembers.
STATUS_MS, NODE_MS, SNAPSHOT_MS = 10_000, 5_000, 5_000


#: In the place of a topic: a connection begins.
BEGUN = ""


class Message(NamedTuple):
    """What came in; of a long queue some 65,000 wait at once, so it is small."""

    topic: str
    payload: bytes
    retain: bool
    mid: int
    qos: int

    @classmethod
    def of(cls, message: MQTTMessage) -> Self:
        """Take what is needed of it."""
        return cls(sys.intern(message.topic), bytes(message.payload), message.retain, message.mid, message.qos)


class Alarms:
    """All of the service but its clock."""

    def __init__(self, settings: Settings, now: int) -> None:
        self._settings = settings
        self._data = Path(settings.data)
        self._inbox: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._engine = Engine(settings, now)
        kept = _snapshot.load(self._data, EMPTY, lost="silent sensors are counted anew")
        self._engine.resume(kept["engine"])
        self._webhook = Webhook(settings.webhook, settings.webhook_key, kept["outbox"])
        self._queue = node.Queue(settings.queue_messages, now)
        self._uplink = node.Uplink(settings.uplink_seconds, now, kept.get("uplink"))
        self._begun = now
        self._done: list[Message] = []
        self._saved = self._engine.revision
        self._connected: int | None = None
        self._restoring = True
        self._held: list[Message] = []
        self._last = {"status": 0, "node": 0, "snapshot": 0}
        site = settings.site
        self._alerts, self._acknowledgements = f"alerts/{site}/", f"acknowledgements/{site}/"
        self._statuses = {status_topic(site, name): name for name in (SERVICE, "uplink")}
        self._client = session(
            settings.broker,
            site=site,
            service=SERVICE,
            # With QoS 1 the alarms of before would wait behind a backlog of readings.
            topics=[
                (f"{self._alerts}#", 0),
                *((topic, 0) for topic in self._statuses),
                (f"{self._acknowledgements}#", 1),
                (node.STORED, 0),
                (node.DROPPED, 0),
                ("sensors/+/+", 1),
            ],
            received=lambda message: self._inbox.put(Message.of(message)),
            persistent=True,
            begun=lambda: self._inbox.put(Message(BEGUN, b"", retain=False, mid=0, qos=0)),
        )

    def start(self) -> None:
        """Connect, now and after every loss."""
        self._client.loop_start()

    def stop(self) -> None:
        """Remember, and leave without a will."""
        self._save()
        self._client.disconnect()
        self._client.loop_stop()

    def step(self) -> None:
        """Wait for what comes next, a message or a moment, and do what it asks."""
        now = _now()
        due = None if self._restoring else self._engine.next_due
        wait = 1000 if due is None else max(0, min(1000, due - now))
        try:
            self._take(self._inbox.get(timeout=wait / 1000))
            for _ in range(1000):
                self._take(self._inbox.get_nowait())
        except queue.Empty:
            pass
        self._clock(_now())
        self._acknowledge()

    def _take(self, message: Message) -> None:
        if self._handle(message):
            self._done.append(message)

    def _acknowledge(self) -> None:
        """Only now the broker may forget what was read: what it changed is remembered."""
        if self._engine.revision != self._saved:
            self._save()
        for message in self._done:
            self._client.ack(message.mid, message.qos)
        self._done.clear()

    def _handle(self, message: Message) -> bool:
        """Do what a message asks; false where it has to wait until the alarms of before are known."""
        topic, payload, now = message.topic, message.payload, _now()
        if topic == BEGUN:
            self._retain_anew()
        elif topic.startswith(self._alerts):
            if message.retain and self._restoring and payload:
                self._restore(topic, payload)
        elif self._restoring and topic not in self._statuses:
            self._held.append(message)
            return False
        elif topic in self._statuses:
            if self._statuses[topic] == SERVICE:
                self._connected = self._connected or now
            else:
                self._uplink.told(payload, now)
        elif topic.startswith(self._acknowledgements):
            self._publish(self._engine.acknowledge(self._alerts + topic.removeprefix(self._acknowledgements), now))
        elif topic.startswith("$SYS/"):
            self._queue.told(topic, payload, now)
        elif not message.retain:
            # A retained reading is an old one that comes with each subscription: nobody knows how old.
            _, sensor, quantity = topic.split("/")
            self._publish(self._engine.message(sensor, quantity, payload, now))
        return True

    def _restore(self, topic: str, payload: bytes) -> None:
        anew = topic in self._engine.raised
        try:
            known = self._engine.restore(topic, Alarm.parse(payload))
        except ValueError as error:
            print(f"{topic}: {error}; it is removed", file=sys.stderr)
            known = False
        if not known:
            self._client.publish(topic, b"", qos=1, retain=True)
        elif anew:
            # It was raised anew before the broker was there; the one of before goes on.
            self._client.publish(topic, payload, qos=1, retain=True)

    def _retain_anew(self) -> None:
        """A broker whose file was damaged comes back without what it retained (ADR 18)."""
        if not self._restoring:
            for topic, alarm in self._engine.raised.items():
                self._client.publish(topic, alarm.payload(), qos=1, retain=True)

    def _clock(self, now: int) -> None:
        self._set_back(now)
        if self._restoring and not self._restored(now):
            return
        self._publish(self._engine.tick(now))
        if self._is_time("node", NODE_MS, now):
            for found in self._findings(now):
                self._publish(
                    self._engine.node(
                        found.kind,
                        beyond=found.beyond,
                        over=found.over,
                        value=found.value,
                        limit=found.limit,
                        now=now,
                    )
                )
        if self._is_time("status", STATUS_MS, now):
            self._tell()
        if self._is_time("snapshot", SNAPSHOT_MS, now):
            self._save()

    def _set_back(self, now: int) -> None:
        """Wait for nothing longer than was asked, where the clock went back."""
        self._begun = min(self._begun, now)
        self._connected = self._connected and min(self._connected, now)
        self._last = {what: min(last, now) for what, last in self._last.items()}

    def _restored(self, now: int) -> bool:
        """Whether the clock may count: the alarms of before are there, or the broker is not."""
        if self._connected is None:
            return now - self._begun >= RESTORE_LIMIT_MS
        if now - self._connected <= RESTORE_MS:
            return False
        self._restoring = False
        held, self._held = self._held, []
        for message in held:
            self._take(message)
        return True

    def _is_time(self, what: str, every: int, now: int) -> bool:
        if now - self._last[what] < every:
            return False
        self._last[what] = now
        return True

    def _findings(self, now: int) -> Iterable[node.Finding]:
        yield node.disk([_used_percent(path) for path in ("/", self._data)], self._settings.disk_percent)
        yield self._queue.finding(now)
        yield self._uplink.finding(now)
        yield node.certificates(self._settings, datetime.now(UTC).date())

    def _publish(self, changes: Sequence[Change]) -> None:
        for change in changes:
            payload = b"" if change.event == "cleared" else change.alarm.payload()
            self._client.publish(change.topic, payload, qos=1, retain=True)
            self._webhook.tell(
                {
                    "site": self._settings.site,
                    "event": change.event,
                    "topic": change.topic,
                    "alarm": json.loads(change.alarm.payload()),
                    "time": (now := _now()),
                    "id": f"{change.topic}/{change.alarm.raised}/{change.event}/{now}",
                }
            )

    def _tell(self) -> None:
        more = {"rejected": self._engine.rejected, **self._webhook.figures, "raised": len(self._engine.raised)}
        tell(self._client, self._settings.site, SERVICE, more)

    def _save(self) -> None:
        self._saved = self._engine.revision
        try:
            state = {"engine": self._engine.snapshot(), "outbox": self._webhook.pending, "uplink": self._uplink.since}
            _snapshot.save(self._data, state)
        except OSError as error:
            # A full disk must not silence the alarm that tells of it.
            print(f"the state was not written: {error}", file=sys.stderr)


def _used_percent(path: str | Path) -> float:
    found = os.statvfs(path)
    used, usable = found.f_blocks - found.f_bfree, found.f_blocks - found.f_bfree + found.f_bavail
    return 100 * used / usable if usable else 0.0


def _now() -> int:
    return time.time_ns() // 1_000_000


def run(settings: Settings) -> None:
    """Run until SIGTERM."""
    health = Health()
    alarms = Alarms(settings, _now())
    ended = False

    def end(_: int, __: FrameType | None) -> None:
        nonlocal ended
        ended = True

    signal.signal(signal.SIGTERM, end)
    alarms.start()
    while not ended:
        alarms.step()
        health.beat()
    alarms.stop()
