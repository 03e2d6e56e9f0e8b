"""When a site is silent or a certificate ends, and when that is over: arithmetic on times, epoch ms; no clock, no I/O.

A site speaks when the store has a newer heartbeat of it than before, at that moment by headquarters' clock: a site's
own may be wrong. Its silence counts only while the store answers: nobody is heard through a store that is down, so
neither an outage of the store nor one of the watch itself makes a site silent.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from typing import Any, Literal

from services.alarms.alarm import Alarm

Event = Literal["raised", "repeated", "cleared"]

#: For how long one answer of the store stands at most.
ANSWER_MS = 60_000

#: Nobody acknowledges at headquarters: what stays for weeks is told once a day.
DAY_MS = 86_400_000


@dataclass(frozen=True)
class Change:
    """Something to tell: the alarm as it is now, or as it last was."""

    event: Event
    site: str
    alarm: Alarm


@dataclass
class Known:
    """What is known of a site.

    Attributes:
        newest: time of its newest heartbeat, by its own clock.
        since: when it spoke last, or is listened to since.
        quiet: ms for which it has said nothing while the store answered.
        raised: when its silence was told.
        told: when it was told last.
    """

    newest: int | None
    since: int
    quiet: int = 0
    raised: int | None = None
    told: int = 0


class Engine:
    """All sites.

    Args:
        sites: their names.
        silent_seconds: a site that says nothing for so long is silent.
        repeat_seconds: it is told again.
        kept: the snapshot of an engine before this one; sites that are no longer watched are left.
    """

    def __init__(
        self, sites: Iterable[str], *, silent_seconds: int, repeat_seconds: int, kept: Mapping[str, Any]
    ) -> None:
        self._silent_ms, self._repeat_ms = silent_seconds * 1000, repeat_seconds * 1000
        self._sites = set(sites)
        self._known = {site: Known(**told) for site, told in kept.items() if site in self._sites}
        self._answered: dict[str, int] = {}

    def unanswered(self, site: str) -> None:
        """The store did not say anything of a site."""
        self._answered.pop(site, None)

    def answered(self, site: str, newest: int | None, now: int) -> list[Change]:
        """The store told a site's newest heartbeat, or that there is none."""
        known = self._known.get(site)
        if known is None:
            since = now if newest is None else min(newest, now)
            known = self._known[site] = Known(newest, since)
        last = self._answered.get(site, now)
        self._answered[site] = now
        if newest is not None and (known.newest is None or newest > known.newest):
            return self._spoke(site, known, newest, now)
        known.quiet += min(max(now - last, 0), ANSWER_MS)
        if known.raised is None and known.quiet >= self._silent_ms:
            known.raised = known.told = now
            return [Change("raised", site, self._alarm(known.since, now))]
        if known.raised is not None and now - known.told >= self._repeat_ms:
            known.told = now
            return [Change("repeated", site, self._alarm(known.since, known.raised))]
        return []

    def _spoke(self, site: str, known: Known, newest: int, now: int) -> list[Change]:
        self._known[site] = Known(newest, now)
        return [] if known.raised is None else [Change("cleared", site, self._alarm(known.since, known.raised))]

    def _alarm(self, since: int, raised: int) -> Alarm:
        return Alarm(rule="silent", limit=self._silent_ms / 1000, since=since, raised=raised)

    def snapshot(self) -> dict[str, Any]:
        """What an engine after this one goes on from."""
        return {site: asdict(known) for site, known in self._known.items()}


class Certificate:
    """The one of headquarters' own page.

    Args:
        site: headquarters.
        last_day: it is valid on; None where there is no page.
        days: it is told once it ends within so many.
        kept: the snapshot of one before this one.
    """

    def __init__(self, site: str, last_day: date | None, *, days: int, kept: Mapping[str, int]) -> None:
        self._site, self._last_day, self._days = site, last_day, days
        self._raised, self._told = kept.get("raised"), kept.get("told", 0)
        self.left: int | None = None

    def looked_at(self, now: int) -> list[Change]:
        """It is looked at; `left` are the days that it still has while they are too few."""
        left = (self._last_day - datetime.fromtimestamp(now / 1000, UTC).date()).days if self._last_day else None
        raised = self._raised
        if left is None or left >= self._days:
            self.left = self._raised = None
            return [] if raised is None else [self._change("cleared", left, raised)]
        self.left = left
        if raised is not None and now - self._told < DAY_MS:
            return []
        self._told = now
        self._raised = now if raised is None else raised
        return [self._change("raised" if raised is None else "repeated", left, self._raised)]

    def _change(self, event: Event, left: int | None, raised: int) -> Change:
        alarm = Alarm(rule="certificates", limit=self._days, value=left, since=raised, raised=raised)
        return Change(event, self._site, alarm)

    def snapshot(self) -> dict[str, int]:
        """What one after this one goes on from."""
        return {} if self._raised is None else {"raised": self._raised, "told": self._told}
