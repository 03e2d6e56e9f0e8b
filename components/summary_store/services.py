"""What our own programs at headquarters are told: their settings, of its section."""

from collections.abc import Iterable

from components._files import DATA
from components._influxdb import INFLUXDB_PORT
from components._page import TLS
from components.summary_store.accounts import HEADQUARTERS, database
from config.iot import CERTIFICATE_DAYS
from config.site import Summaries
from services._settings import Database
from services._snapshot import NAME
from services.page import settings as page
from services.watch import settings as watch

#: The store, as a container beside it reaches it.
_STORE = f"http://influxdb:{INFLUXDB_PORT}"


#: Prints what the watch said of itself, as JSON by service; fails before its first look.
WATCH_STATUS = (
    f"sudo cat {DATA}/watch/{NAME} | "
    """python3 -c 'import json, sys; print(json.dumps({"watch": json.load(sys.stdin)["status"]}))' 2> /dev/null"""
)


def watch_settings(
    name: str, summaries: Summaries, sites: Iterable[str], *, password: str, webhook_key: str
) -> watch.Settings:
    """What the watch goes by.

    Args:
        name: headquarters'.
        summaries: headquarters' section.
        sites: the names of those that are watched.
        password: of headquarters' own user of the store.
        webhook_key: what is posted is signed with it.
    """
    return watch.Settings(
        name=name,
        store=_STORE,
        user=HEADQUARTERS,
        password=password,
        databases={site: database(site) for site in sites},
        silent_seconds=summaries.silent_minutes * 60,
        repeat_seconds=summaries.repeat_seconds,
        page_ends=summaries.page.certificate.not_after.isoformat() if summaries.page else None,
        certificate_days=CERTIFICATE_DAYS,
        webhook=summaries.webhook,
        webhook_key=webhook_key,
    )


def page_settings(
    name: str, summaries: Summaries, sites: Iterable[str], *, password: str, ports: tuple[int, ...]
) -> page.Settings:
    """What the page shows.

    Args:
        name: headquarters'.
        summaries: its section.
        sites: the names of those that are shown.
        password: of headquarters' own user of the store.
        ports: where it listens in its container.
    """
    headquarters = page.Headquarters(
        silent_seconds=summaries.silent_minutes * 60,
        sites={site: Database(url=_STORE, name=database(site), user=HEADQUARTERS, password=password) for site in sites},
    )
    return page.Settings(name=name, ports=ports, tls=TLS, shown=headquarters)
