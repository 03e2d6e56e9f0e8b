"""What a farm's broker told: values, alarms, and how the services do; no I/O, times are epoch ms.

Nothing is later than the clock, as for the alarms: a reading ahead of it counts by its arrival, or it would hide all
that come before its time. Where the clock is set back, what was ahead of it is taken for of now. A quantity is silent
when nothing newer came of it for too long.
"""

import json
import threading
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from typing import Any

from services._mqtt import status_topic
from services._webhook import LATE_SECONDS
from services.alarms.alarm import Alarm
from services.alarms.readings import Reading, parse
from services.page.settings import Farm, Quantity, Sensor

#: Retained alarms arrive so soon after a connection; one of before that does not is over.
SETTLE_MS = 2_000

#: A service that has said nothing for so long does not run; headquarters accepts something more often than that.
SERVICE_LATE_MS, CONTACT_LATE_MS = 60_000, 180_000

WEBHOOK_LATE_MS = LATE_SECONDS * 1000


class Live:
    """All that a farm's page shows beside the charts; told by one thread, asked by another."""

    def __init__(self, site: str, farm: Farm, now: int) -> None:
        self._farm = farm
        self._lock = threading.Lock()
        self._retention_ms = farm.retention_days * 86_400_000
        self._now = self._begun = now
        self._broker: dict[str, Any] = {"state": "away", "since": now}
        self._sensors: dict[str, Sensor] = {sensor.id: sensor for pen in farm.pens for sensor in pen.sensors}
        self._newest: dict[tuple[str, str], Reading | None] = {
            (sensor.id, quantity.name): None for sensor in self._sensors.values() for quantity in sensor.quantities
        }
        self._heard: dict[tuple[str, str], int] = {}
        self._alerts = f"alerts/{site}/"
        self._alarms: dict[str, Alarm] = {}
        self._unconfirmed: set[str] = set()
        self._settles: int | None = None
        self._statuses = {status_topic(site, name): name for name in ("alarms", "uplink")}
        self._told: dict[str, Mapping[str, Any]] = {}

    @property
    def topics(self) -> list[tuple[str, int]]:
        """What it wants to be told, each with its QoS."""
        return [(f"{self._alerts}#", 1), *((topic, 1) for topic in self._statuses), ("sensors/+/+", 0)]

    def connected(self, now: int) -> None:
        """The broker is there: what it retains comes now, and an alarm of before that does not is over."""
        with self._lock:
            self._turn(now)
            self._broker = {"state": "up", "since": now}
            self._unconfirmed = set(self._alarms)
            self._settles = now + SETTLE_MS

    def disconnected(self, now: int) -> None:
        """It is gone; what it told stays, with its age."""
        with self._lock:
            self._turn(now)
            if self._broker["state"] == "up":
                self._broker = {"state": "away", "since": now}

    def told(self, topic: str, payload: bytes, now: int, *, retained: bool = False) -> None:
        """A message; what is none of ours changes nothing, nor does a retained reading: nobody knows how old it is."""
        with self._lock:
            self._turn(now)
            if topic.startswith(self._alerts):
                self._alarm(topic, payload)
            elif topic in self._statuses:
                self._status(self._statuses[topic], payload)
            elif not retained:
                _, sensor, quantity = topic.split("/")
                self._reading(sensor, quantity, parse(payload, now, self._retention_ms), now)

    def stored(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """What the database has of before: the last `value` of each `sensor` and `quantity`, and its `time`."""
        with self._lock:
            for row in rows:
                self._reading(row["sensor"], row["quantity"], Reading(row["value"], row["time"]), row["time"])

    def alarm(self, topic: str) -> Alarm | None:
        """An alarm that is raised."""
        with self._lock:
            return self._alarms.get(topic)

    def _turn(self, now: int) -> None:
        """Follow the clock; where it is set back, leave nothing that is later than now."""
        if now < self._now:
            self._begun = min(self._begun, now)
            self._broker = {**self._broker, "since": min(self._broker["since"], now)}
            self._settles = self._settles and min(self._settles, now + SETTLE_MS)
            self._heard = {key: min(heard, now) for key, heard in self._heard.items()}
            self._newest = {key: newest and _not_after(newest, now) for key, newest in self._newest.items()}
        self._now = now

    def _alarm(self, topic: str, payload: bytes) -> None:
        self._unconfirmed.discard(topic)
        if not payload:
            self._alarms.pop(topic, None)
            return
        try:
            self._alarms[topic] = Alarm.parse(payload)
        except ValueError:
            self._alarms.pop(topic, None)

    def _status(self, service: str, payload: bytes) -> None:
        try:
            content = json.loads(payload)
        except ValueError:
            return
        if isinstance(content, dict):
            # A will says only that the service is gone: what it said before still holds.
            self._told[service] = {**self._told.get(service, {}), **content}

    def _reading(self, sensor: str, quantity: str, reading: Reading | None, heard: int) -> None:
        key = (sensor, quantity)
        if reading is None or key not in self._newest:
            return
        newest = self._newest[key]
        if newest is None or reading.time > newest.time:
            self._heard[key] = max(heard, self._heard.get(key, 0))
        reading = _not_after(reading, heard)
        # Two that are ahead may arrive in one millisecond: the later one is shown.
        if newest is None or reading.time >= newest.time:
            self._newest[key] = reading

    def state(self, now: int) -> dict[str, Any]:
        """Everything, as JSON has it."""
        with self._lock:
            self._turn(now)
            if self._settles is not None and now >= self._settles:
                for topic in self._unconfirmed:
                    self._alarms.pop(topic, None)
                self._unconfirmed, self._settles = set(), None
            return {
                "broker": self._broker,
                "alarmService": self._alarm_service(now),
                "uplink": self._uplink(now),
                "webhook": self._webhook(now),
                "alarms": self._raised(),
                "pens": [
                    {"name": pen.name, "sensors": [self._sensor(sensor, now) for sensor in pen.sensors]}
                    for pen in self._farm.pens
                ],
            }

    def _sensor(self, sensor: Sensor, now: int) -> dict[str, Any]:
        return {
            "id": sensor.id,
            "quantities": [self._quantity(sensor, quantity, now) for quantity in sensor.quantities],
        }

    def _quantity(self, sensor: Sensor, quantity: Quantity, now: int) -> dict[str, Any]:
        key = (sensor.id, quantity.name)
        newest, heard = self._newest[key], self._heard.get(key)
        return asdict(quantity) | {
            "value": newest and newest.value,
            "time": newest and newest.time,
            "heard": heard,
            "silent": now - (heard or self._begun) > sensor.silent_seconds * 1000,
        }

    def _raised(self) -> list[dict[str, Any]]:
        """Those first that nobody has acknowledged, of these the newest."""
        found = [
            {"topic": topic, "pen": topic.removeprefix(self._alerts).partition("/")[0]} | asdict(alarm)
            for topic, alarm in self._alarms.items()
        ]
        return sorted(found, key=lambda alarm: (alarm["acknowledged"] is not None, -alarm["raised"]))

    def _alarm_service(self, now: int) -> dict[str, Any]:
        told = self._told.get("alarms", {})
        return {"state": _runs(told, now), "since": _whole(told.get("time"))}

    def _webhook(self, now: int) -> dict[str, Any] | None:
        """What waits for it, if some has for too long."""
        told = self._told.get("alarms", {})
        since = _whole(told.get("outboxSince"))
        if since is None or now - since <= WEBHOOK_LATE_MS:
            return None
        return {"since": since, "waiting": _whole(told.get("outbox")), "dropped": _whole(told.get("outboxDropped"))}

    def _uplink(self, now: int) -> dict[str, Any]:
        """Whether headquarters is reached, and how many summaries wait or are withheld."""
        told = self._told.get("uplink", {})
        state, contact = _runs(told, now), _whole(told.get("lastContact"))
        if contact is not None and contact - now > CONTACT_LATE_MS:
            # The clock went back: it is unknown until another is told.
            contact = None
        if state == "up" and (contact is None or now - contact > CONTACT_LATE_MS):
            state = "away"
        since = contact if state == "away" else _whole(told.get("time"))
        budget_ms = self._farm.outage_budget_days * 86_400_000
        return {
            "state": state,
            "since": since,
            "waiting": _whole(told.get("waiting")),
            "withheld": _whole(told.get("withheld")),
            "kept": contact is None or now - contact <= budget_ms,
        }


def _runs(told: Mapping[str, Any], now: int) -> str:
    """Whether a service runs, by what it said."""
    if not told:
        return "unknown"
    time = _whole(told.get("time"))
    return "up" if told.get("up") is True and time is not None and abs(now - time) <= SERVICE_LATE_MS else "stopped"


def _not_after(reading: Reading, now: int) -> Reading:
    return replace(reading, time=min(reading.time, now))


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
