"""When a site is silent and when that is over: arithmetic on times, epoch ms; no clock, no I/O.

A site speaks when the store has a newer heartbeat of it than before, at that moment by headquarters' clock: a site's
own may be wrong. Its silence counts only while the store answers: nobody is heard through a store that is down, so
neither an outage of the store nor one of the watch itself makes a site silent.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from services.alarms.alarm import Alarm

Event = Literal["raised", "repeated", "cleared"]

#: For how long one answer of the store stands at most.
ANSWER_MS = 60_000


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
