"""Headquarters' page: what the sites' summaries, alarms and own figures say; read-only."""

from collections.abc import Mapping, Sequence
from typing import Any

from services._influxdb import Client, RefusedError, UnavailableError
from services.page.charts import Charts, summaries
from services.page.settings import Summarised

#: What the uplink says of itself about twice a minute: a site that has said nothing for so long is silent.
SILENT_MS = 180_000

_SITE = "SELECT waiting, withheld FROM site ORDER BY time DESC LIMIT 1"
_ALARMS = "SELECT raised, acknowledged FROM alarm GROUP BY kind, quantity, pen ORDER BY time DESC LIMIT 1"


class HeadquartersPage:
    """The page at headquarters."""

    def __init__(self, name: str, sites: Sequence[Summarised]) -> None:
        self._name = name
        self._clients = {site.name: Client(site.database) for site in sites}
        self._charts = Charts(self._clients, summaries, "group")
        self._sites: list[dict[str, Any]] = [_unread(site.name) for site in sites]

    def start(self) -> None:
        """Nothing is kept open."""

    def stop(self) -> None:
        """Nothing is."""

    def step(self) -> None:
        """Ask what every site last said."""
        self._sites = [asked(name, client) for name, client in self._clients.items()]

    def state(self, now: int) -> dict[str, Any]:
        """What the page shows now."""
        sites = [{**site, "silent": _is_silent(site, now)} for site in self._sites]
        return {"mode": "headquarters", "name": self._name, "now": now, "sites": sites}

    def history(self, site: str, hours: int, now: int) -> dict[str, Any]:
        """What `Charts.of` says of a site."""
        return self._charts.of(site, hours, now)


def asked(name: str, client: Client) -> dict[str, Any]:
    """What the store has of a site; `answered` is false where it does not answer."""
    try:
        figures = next(iter(client.query(_SITE)), None)
        alarms = client.query(_ALARMS)
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
    """How many of a kind are raised, and how many of them somebody there has acknowledged."""
    return {key: row.get(key) for key in ("kind", "quantity", "pen", "raised", "acknowledged")}


def _unread(name: str) -> dict[str, Any]:
    return {"name": name, "answered": False, "heard": None, "waiting": None, "withheld": None, "alarms": []}


def _is_silent(site: Mapping[str, Any], now: int) -> bool:
    return bool(site["answered"]) and (site["heard"] is None or now - site["heard"] > SILENT_MS)
