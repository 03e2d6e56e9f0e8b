"""How the node itself does: arithmetic on what is read of disks, broker, uplink and certificates."""

import json
from dataclasses import dataclass
from datetime import date

from services.alarms.settings import Settings

#: An alarm of a disk is over when it is so many percent below the limit.
DISK_HYSTERESIS = 2

STORED = "$SYS/broker/store/messages/count"
DROPPED = "$SYS/broker/publish/messages/dropped"

#: After a start the tunnel is given so long, whenever the last contact was: the node may have been off.
GRACE_MS = 300_000


@dataclass(frozen=True)
class Finding:
    """One respect: whether it is beyond its limit, whether it is well again, the value and the limit."""

    kind: str
    beyond: bool
    over: bool
    value: float | None
    limit: float


def disk(percents: list[float], limit: int) -> Finding:
    """The fullest disk, percent."""
    fullest = max(percents)
    return Finding("disk", fullest >= limit, fullest < limit - DISK_HYSTERESIS, round(fullest, 1), limit)


def certificates(settings: Settings, today: date) -> Finding:
    """The one that ends first, days."""
    days = [(date.fromisoformat(each.not_after) - today).days for each in settings.certificates]
    left, limit = min(days, default=10**6), settings.certificate_days
    return Finding("certificates", left < limit, left >= limit, left, limit)


class Queue:
    """What the broker says of its queue."""

    def __init__(self, limit: int, now: int) -> None:
        self._limit = limit
        self._stored = 0
        self._dropped: int | None = None
        self._dropped_at: int | None = None
        self._begun = now

    def told(self, topic: str, payload: bytes, now: int) -> None:
        """The broker's own figure; its count of dropped messages begins anew with each start."""
        try:
            number = int(payload)
        except ValueError:
            return
        if topic == STORED:
            self._stored = number
        elif topic == DROPPED:
            if self._dropped is not None and number > self._dropped:
                self._dropped_at = now
            self._dropped = number

    def finding(self, now: int) -> Finding:
        """Too many messages wait, or some were dropped in the last ten minutes."""
        # Where the clock went back, what was seen ahead of it was seen now.
        self._dropped_at = self._dropped_at and min(self._dropped_at, now)
        dropped = self._dropped_at is not None and now - self._dropped_at < 600_000
        full = self._stored > self._limit
        return Finding(
            "queue", full or dropped, not dropped and self._stored < self._limit // 2, self._stored, self._limit
        )


class Uplink:
    """What the uplink says of itself.

    Attributes:
        since: when headquarters last accepted something; while nothing is known of that, when this began to look
            (epoch ms).
    """

    def __init__(self, limit_seconds: int, now: int, since: int | None = None) -> None:
        """Begin to look; `since` is that of before a restart."""
        self._limit_ms = limit_seconds * 1000
        self._begun = now
        self._told = False
        self.since = now if since is None else min(since, now)

    def told(self, payload: bytes, now: int) -> None:
        """Its status; a will says only that it is gone."""
        try:
            contact = json.loads(payload).get("lastContact")
        except (ValueError, AttributeError):
            return
        if isinstance(contact, int) and contact <= now:
            self.since = max(self.since, contact) if self._told else contact
            self._told = True

    def finding(self, now: int) -> Finding:
        """Seconds since headquarters accepted something; that this service began to look ends no alarm."""
        self._set_back(now)
        away, limit = now - self.since, self._limit_ms
        beyond = away > limit and now - self._begun >= min(GRACE_MS, limit)
        over = self._told and away <= limit
        return Finding("uplink", beyond, over, away // 1000, limit // 1000)

    def _set_back(self, now: int) -> None:
        """A contact ahead of the clock, which went back, is unknown: from now on it is looked anew."""
        if self.since > now:
            self.since, self._told = now, False
        self._begun = min(self._begun, now)
