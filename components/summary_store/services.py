"""What our own programs at headquarters are told: their settings, of its section."""

from collections.abc import Iterable

from components._influxdb import INFLUXDB_PORT
from components.summary_store.accounts import HEADQUARTERS, database
from config.site import Summaries
from services.watch import settings as watch


def watch_settings(summaries: Summaries, sites: Iterable[str], *, password: str, webhook_key: str) -> watch.Settings:
    """What the watch goes by.

    Args:
        summaries: headquarters' section.
        sites: the names of those that are watched.
        password: of headquarters' own user of the store.
        webhook_key: what is posted is signed with it.
    """
    return watch.Settings(
        store=f"http://influxdb:{INFLUXDB_PORT}",
        user=HEADQUARTERS,
        password=password,
        databases={site: database(site) for site in sites},
        silent_seconds=summaries.silent_minutes * 60,
        repeat_seconds=summaries.repeat_seconds,
        webhook=summaries.webhook,
        webhook_key=webhook_key,
    )
