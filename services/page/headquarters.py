"""Headquarters' page: what the sites' summaries, alarms and own figures say; read-only."""

import time
from collections.abc import Mapping
from typing import Any

from services._influxdb import Client, RefusedError, UnavailableError
from services.page.charts import Charts, summaries
from services.page.settings import Headquarters

#: What a site said last: of itself, and of its alarms by rule, quantity and pen, where these are not personal.
_SITE = "SELECT waiting, withheld FROM site WHERE time <= {now}ms ORDER BY time DESC LIMIT 1"
_ALARMS = (
    "SELECT raised, acknowledged FROM alarm WHERE time <= {now}ms "
    "GROUP BY rule, quantity, pen ORDER BY time DESC LIMIT 1"
)


class HeadquartersPage:
    """The page at headquarters."""

    def __init__(self, name: str, headquarters: Headquarters) -> None:
        self._name = name
        self._silent_ms = headquarters.silent_seconds * 1000
        self._clients = {site: Client(database) for site, database in headquarters.sites.items()}
        self._charts = Charts(self._clients, summaries, "group")
        self._sites: list[dict[str, Any]] = [_unread(site) for site in self._clients]

    def start(self) -> None:
        """Nothing is kept open."""

    def stop(self) -> None:
        """Nothing is."""

    def step(self) -> None:
        """Ask what every site last said."""
        now = time.time_ns() // 1_000_000
        self._sites = [asked(name, client, now) for name, client in self._clients.items()]

    def state(self, now: int) -> dict[str, Any]:
        """What the page shows now."""
        sites = [{**site, "silent": self._is_silent(site, now)} for site in self._sites]
        return {"mode": "headquarters", "name": self._name, "now": now, "sites": sites}

    def history(self, site: str, hours: int, now: int) -> dict[str, Any]:
        """What `Charts.of` says of a site."""
        return self._charts.of(site, hours, now)

    def _is_silent(self, site: Mapping[str, Any], now: int) -> bool:
        return bool(site["answered"]) and (site["heard"] is None or now - site["heard"] > self._silent_ms)


def asked(name: str, client: Client, now: int) -> dict[str, Any]:
    """What the store has of a site; `answered` is false where it does not answer."""
    try:
        figures = next(iter(client.query(_SITE.format(now=now))), None)
        alarms = client.query(_ALARMS.format(now=now))
    except (UnavailableError, RefusedError):
        return _unread(name)
    return {
        "name": name,
        "answered": True,
        "heard": figures and figures["time"],
        "waiting": figures and figures["waiting"],
        "withheld": figures and figures["withheld"],
        "alarms": [_alarm(row) for row in alarms if row["raised"]],
    }


def _alarm(row: Mapping[str, Any]) -> dict[str, Any]:
    """How many by a rule are raised, and how many of them somebody there has acknowledged."""
    return {key: row.get(key) for key in ("rule", "quantity", "pen", "raised", "acknowledged")}


def _unread(name: str) -> dict[str, Any]:
    return {"name": name, "answered": False, "heard": None, "waiting": None, "withheld": None, "alarms": []}
