"""When an alarm is raised and when it is over: arithmetic on readings and times, epoch ms; no clock, no I/O.

A limit's condition begins with the first reading beyond the limit and counts by the readings' own times; it is raised
once it has held for its minimum time, by a further reading or by the clock alone, and is over when a reading is back
inside by the hysteresis. Before it is raised, any reading inside the limit ends it. A reading that is not newer than
the newest of its sensor and quantity changes nothing. An excursion that began and ended while nobody watched, as the
queued readings tell, is told as raised and as cleared.

A device is silent while one of its quantities is: nothing newer came of it for so long. What is not newer ends no
silence, or a device whose clock went back would be watched by nothing.

Nothing is later than the clock. A reading ahead of it counts by its arrival, or it would hide all that come before its
time; sent again, it is known by its time. Where the clock is set back, what was ahead of it is taken for of now.
"""

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from services.alarms.alarm import Alarm
from services.alarms.readings import Reading, parse
from services.alarms.settings import Rule, Sensor, Settings

Event = Literal["raised", "repeated", "cleared", "acknowledged"]

#: The pen under which the node's own alarms stand.
NODE = "node"

#: Readings that an alarm keeps, the one that raised it among them.
BEFORE = 20

#: A reading this late was queued: those behind it are waited for before the clock counts.
LATE_MS, QUEUE_MS = 5_000, 1_000


@dataclass(frozen=True)
class Change:
    """Something to tell: the alarm as it is now, or as it last was."""

    event: Event
    topic: str
    alarm: Alarm


class Watch:
    """One condition, and the alarm that it raised."""

    def __init__(self, topic: str, after_ms: int) -> None:
        self.topic = topic
        self.after_ms = after_ms
        self.since: int | None = None
        self.not_before = 0
        self.alarm: Alarm | None = None
        self.told = 0

    @property
    def due(self) -> int | None:
        """When the clock alone raises it."""
        if self.since is None or self.alarm:
            return None
        return max(self.since + self.after_ms, self.not_before)

    def set_back(self, now: int) -> None:
        """The clock went back: nothing began, or was told, later than now."""
        self.since = None if self.since is None else min(self.since, now)
        self.not_before = min(self.not_before, now + QUEUE_MS)
        self.told = min(self.told, now)


class Limit(Watch):
    """A value beyond a limit."""

    def __init__(self, topic: str, rule: Rule, side: Literal["low", "high"], limit: float) -> None:
        super().__init__(topic, rule.for_seconds * 1000)
        self.rule, self.side, self.limit = rule, side, limit

    def beyond(self, value: float) -> bool:
        """Whether a value is beyond the limit."""
        return value < self.limit if self.side == "low" else value > self.limit

    def over(self, value: float) -> bool:
        """Whether it is far enough inside to end an alarm."""
        inside = value - self.limit if self.side == "low" else self.limit - value
        return inside >= self.rule.hysteresis


class Engine:
    """All conditions of a site.

    Attributes:
        rejected: messages that were no readings.
        revision: grows with each condition that begins or ends, and each alarm that changes.
    """

    def __init__(self, settings: Settings, now: int) -> None:
        self._settings = settings
        self._now = now
        self._root = f"alerts/{settings.site}"
        self._sensors: Mapping[str, Sensor] = {sensor.id: sensor for sensor in settings.sensors}
        self._silence = {
            sensor.id: Watch(f"{self._root}/{sensor.pen}/{sensor.id}-silent", sensor.silent_seconds * 1000)
            for sensor in settings.sensors
        }
        self._spoke = {(sensor.id, quantity): now for sensor in settings.sensors for quantity in sensor.quantities}
        for watch in self._silence.values():
            watch.since = now
        self._limits: dict[tuple[str, str], list[Limit]] = {}
        for rule in settings.rules:
            self._limits.setdefault((rule.sensor, rule.quantity), []).extend(self._sides(rule))
        self._node: dict[str, Watch] = {
            kind: Watch(f"{self._root}/{NODE}/{kind}", 0) for kind in ("disk", "queue", "uplink", "certificates")
        }
        self._newest: dict[tuple[str, str], int] = {}
        self._before: dict[tuple[str, str], deque[tuple[int, float]]] = {}
        self.rejected = 0
        self.revision = 0

    def _sides(self, rule: Rule) -> Iterator[Limit]:
        stem = f"{self._root}/{rule.pen}/{rule.sensor}-{rule.quantity}"
        if rule.low is not None:
            yield Limit(f"{stem}-low", rule, "low", rule.low)
        if rule.high is not None:
            yield Limit(f"{stem}-high", rule, "high", rule.high)

    @property
    def _timed(self) -> list[Watch]:
        """What begins at one time and is raised at a later one; the node's own alarms are raised at once."""
        return [*(watch for several in self._limits.values() for watch in several), *self._silence.values()]

    @property
    def _watches(self) -> dict[str, Watch]:
        return {watch.topic: watch for watch in (*self._timed, *self._node.values())}

    @property
    def raised(self) -> dict[str, Alarm]:
        """The alarms by topic."""
        return {topic: watch.alarm for topic, watch in self._watches.items() if watch.alarm}

    def restore(self, topic: str, alarm: Alarm) -> bool:
        """Take up an alarm that was raised before a restart; false where nothing could raise it any more."""
        watch = self._watches.get(topic)
        if watch is None:
            return False
        watch.alarm, watch.told = alarm, alarm.raised
        watch.since = alarm.since
        watch.set_back(self._now)
        for sensor, quantity in self._spoke:
            if watch is self._silence[sensor] and alarm.quantity in {None, quantity}:
                self._spoke[sensor, quantity] = min(self._spoke[sensor, quantity], alarm.since)
        return True

    def _turn(self, now: int) -> None:
        """Follow the clock."""
        if now < self._now:
            self._set_back(now)
        self._now = now

    def _set_back(self, now: int) -> None:
        """Leave nothing that is later than now; a reading of now is newer than all that was heard."""
        for watch in self._watches.values():
            watch.set_back(now)
        self._spoke = {key: min(spoke, now) for key, spoke in self._spoke.items()}
        self._newest = {key: min(newest, now - 1) for key, newest in self._newest.items()}

    def message(self, sensor: str, quantity: str, payload: bytes, now: int) -> list[Change]:
        """A sensor's message arrived."""
        self._turn(now)
        known = self._sensors.get(sensor)
        reading = parse(payload, now, self._settings.retention_days * 86_400_000)
        if known is None or quantity not in known.quantities or reading is None:
            self.rejected += 1
            return []
        key = (sensor, quantity)
        before = self._before.setdefault(key, deque(maxlen=BEFORE))
        if reading.time <= self._newest.get(key, -1) or reading.time in dict(before):
            return []
        changes = self._heard(key, now)
        self._newest[key] = min(reading.time, now)
        before.append((reading.time, reading.value))
        for watch in self._limits.get(key, ()):
            changes += self._judged(watch, reading, tuple(before), now)
        return changes

    def _heard(self, key: tuple[str, str], now: int) -> list[Change]:
        watch = self._silence[key[0]]
        self._spoke[key] = now
        since = min(self._quiet_since(key[0]).values())
        changes = self._cleared(watch) if now - since < watch.after_ms else []
        watch.since = since
        return changes

    def _quiet_since(self, sensor: str) -> dict[str, int]:
        """When something newer came last, by quantity."""
        return {quantity: self._spoke[sensor, quantity] for quantity in self._sensors[sensor].quantities}

    def _silent_alarm(self, sensor: str, watch: Watch, since: int, now: int) -> Alarm:
        """It names the quantity where the device goes on with another."""
        quiet = self._quiet_since(sensor)
        missing = [quantity for quantity, spoke in quiet.items() if now - spoke >= watch.after_ms]
        quantity = missing[0] if 0 < len(missing) < len(quiet) else None
        limit = watch.after_ms / 1000
        return Alarm(rule="silent", sensor=sensor, quantity=quantity, limit=limit, since=since, raised=now)

    def _judged(self, watch: Limit, reading: Reading, before: tuple[tuple[int, float], ...], now: int) -> list[Change]:
        changes: list[Change] = []
        time = min(reading.time, now)
        if watch.alarm is None and watch.since is not None and time >= watch.since + watch.after_ms:
            changes += self._raised(watch, self._limit_alarm(watch, before, now), now)
        if watch.alarm:
            if watch.over(reading.value):
                changes += self._cleared(watch)
        elif not watch.beyond(reading.value):
            self.revision += watch.since is not None
            watch.since = None
        elif watch.since is None:
            self.revision += 1
            watch.since = time
            if watch.after_ms == 0:
                changes += self._raised(watch, self._limit_alarm(watch, before, now), now)
        watch.not_before = now + QUEUE_MS if now - time > LATE_MS else 0
        return changes

    def _limit_alarm(self, watch: Limit, before: tuple[tuple[int, float], ...], now: int) -> Alarm:
        beyond = [value for _, value in before if watch.beyond(value)]
        return Alarm(
            rule=watch.side,
            sensor=watch.rule.sensor,
            quantity=watch.rule.quantity,
            unit=watch.rule.unit,
            limit=watch.limit,
            value=beyond[-1] if beyond else None,
            since=now if watch.since is None else watch.since,
            raised=now,
            before=before,
        )

    def node(self, kind: str, *, beyond: bool, over: bool, value: float | None, limit: float, now: int) -> list[Change]:
        """How the node does in one respect."""
        watch = self._node[kind]
        if watch.alarm and over:
            return self._cleared(watch)
        if watch.alarm is None and beyond:
            return self._raised(watch, Alarm(rule=kind, value=value, limit=limit, since=now, raised=now), now)
        return []

    def acknowledge(self, topic: str, now: int) -> list[Change]:
        """A person has seen an alarm; a second time changes nothing."""
        watch = self._watches.get(topic)
        if watch is None or watch.alarm is None or watch.alarm.acknowledged is not None:
            return []
        watch.alarm = replace(watch.alarm, acknowledged=now)
        self.revision += 1
        return [Change("acknowledged", topic, watch.alarm)]

    def tick(self, now: int) -> list[Change]:
        """The clock went on, or was set."""
        self._turn(now)
        changes: list[Change] = []
        for sensor, watch in self._silence.items():
            if watch.due is not None and watch.due <= now and watch.since is not None:
                changes += self._raised(watch, self._silent_alarm(sensor, watch, watch.since, now), now)
        for key, limits in self._limits.items():
            for limit in limits:
                if limit.due is not None and limit.due <= now:
                    changes += self._raised(limit, self._limit_alarm(limit, tuple(self._before.get(key, ())), now), now)
        for watch in self._watches.values():
            if watch.alarm and watch.alarm.acknowledged is None and now - watch.told >= self._repeat_ms:
                watch.told = now
                changes.append(Change("repeated", watch.topic, watch.alarm))
        return changes

    @property
    def _repeat_ms(self) -> int:
        return self._settings.repeat_seconds * 1000

    @property
    def next_due(self) -> int | None:
        """When the clock alone changes something next, repeats apart."""
        return min((watch.due for watch in self._timed if watch.due is not None), default=None)

    def _raised(self, watch: Watch, alarm: Alarm, now: int) -> list[Change]:
        watch.alarm, watch.told = alarm, now
        self.revision += 1
        return [Change("raised", watch.topic, alarm)]

    def _cleared(self, watch: Watch) -> list[Change]:
        alarm, watch.alarm, watch.since = watch.alarm, None, None
        self.revision += alarm is not None
        return [Change("cleared", watch.topic, alarm)] if alarm else []

    def snapshot(self) -> dict[str, Any]:
        """What retained alarms do not tell: conditions that have begun, with their readings, and who spoke when."""
        return {
            "since": {watch.topic: watch.since for watch in self._timed if watch.since is not None},
            "spoke": [[sensor, quantity, spoke] for (sensor, quantity), spoke in self._spoke.items()],
            "newest": [[sensor, quantity, time] for (sensor, quantity), time in self._newest.items()],
            "before": [
                [sensor, quantity, list(self._before.get((sensor, quantity), ()))]
                for (sensor, quantity), limits in self._limits.items()
                if any(limit.since is not None for limit in limits)
            ],
        }

    def resume(self, snapshot: Mapping[str, Any]) -> None:
        """Go on from a snapshot; what it says of things that are no longer watched is left."""
        watches = self._watches
        for topic, since in snapshot.get("since", {}).items():
            if topic in watches:
                watches[topic].since = int(since)
        for sensor, quantity, spoke in snapshot.get("spoke", ()):
            if (sensor, quantity) in self._spoke:
                self._spoke[sensor, quantity] = int(spoke)
        for sensor, quantity, time in snapshot.get("newest", ()):
            if sensor in self._sensors:
                self._newest[sensor, quantity] = int(time)
        for sensor, quantity, readings in snapshot.get("before", ()):
            kept = ((int(time), float(value)) for time, value in readings)
            self._before[sensor, quantity] = deque(kept, maxlen=BEFORE)
        self._set_back(self._now)
