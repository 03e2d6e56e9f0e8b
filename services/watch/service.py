"""The watch as a process: the store's answers in, engine, webhook and log out."""

import json
import signal
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from types import FrameType
from typing import Any

from services import _snapshot
from services._health import Health
from services._influxdb import Client, RefusedError, UnavailableError
from services._settings import Database
from services._webhook import Webhook
from services.alarms.alarm import Alarm
from services.watch.engine import Certificate, Change, Engine
from services.watch.settings import Settings

#: What is remembered before anything happened.
EMPTY: Mapping[str, Any] = {"sites": {}, "outbox": []}

POLL_SECONDS = 10


class Watch:
    """All of the service but its clock."""

    def __init__(self, settings: Settings, health: Health) -> None:
        self._settings, self._health = settings, health
        self._data = Path(settings.data)
        kept = _snapshot.load(self._data, EMPTY, lost="a site's silence is counted anew")
        self._engine = Engine(
            settings.databases,
            silent_seconds=settings.silent_seconds,
            repeat_seconds=settings.repeat_seconds,
            kept=kept["sites"],
        )
        self._certificate = Certificate(
            settings.name,
            None if settings.page_ends is None else date.fromisoformat(settings.page_ends),
            days=settings.certificate_days,
            # A watch of before this one kept none.
            kept=kept.get("certificate", {}),
        )
        self._webhook = Webhook(settings.webhook, settings.webhook_key, kept["outbox"])
        self._stores = {
            site: Client(Database(url=settings.store, name=name, user=settings.user, password=settings.password))
            for site, name in settings.databases.items()
        }
        self._refused: dict[str, str] = {}

    def poll(self) -> None:
        """Ask the store of every site; one that does not answer is asked no further. Look at the certificate."""
        available = True
        for site in self._stores:
            self._health.beat()
            available = available and self._ask(site)
            if not available:
                self._engine.unanswered(site)
        now = _now()
        self._tell(self._certificate.looked_at(now), now)
        self.save()

    def _ask(self, site: str) -> bool:
        """Take in what the store says of a site; false where it says nothing of any."""
        now = _now()
        try:
            # A heartbeat of the future is of a clock that is wrong, or was: it would hide all that come after it.
            rows = self._stores[site].query(f"SELECT last(waiting) FROM site WHERE time <= {now}ms")  # noqa: S608
        except UnavailableError as error:
            self._complain("", str(error))
            return False
        except RefusedError as error:
            self._complain(site, str(error))
            self._engine.unanswered(site)
            return True
        self._complain("", None)
        self._complain(site, None)
        self._tell(self._engine.answered(site, int(rows[0]["time"]) if rows else None, now), now)
        return True

    def _complain(self, site: str, problem: str | None) -> None:
        """Say once that the store, or a site's database, gives no answer, and once that it does again."""
        before = self._refused.pop(site, None)
        if problem is not None:
            self._refused[site] = problem
        if problem != before:
            print(f"{site or 'the store'}: {problem or 'answers again'}", file=sys.stderr)

    def _tell(self, changes: Sequence[Change], now: int) -> None:
        for change in changes:
            print(f"{change.event}: {change.site} {_words(change.alarm)}")
            topic = f"alerts/{change.site}/node/{change.alarm.rule}"
            self._webhook.tell(
                {
                    "site": change.site,
                    "event": change.event,
                    "topic": topic,
                    "alarm": json.loads(change.alarm.payload()),
                    "time": now,
                    "id": f"{topic}/{change.alarm.raised}/{change.event}/{now}",
                }
            )

    def save(self) -> None:
        """Remember, and say for `edge status` how it does."""
        state = {
            "sites": self._engine.snapshot(),
            "certificate": self._certificate.snapshot(),
            "outbox": self._webhook.pending,
            "status": {"time": _now(), "certificateDays": self._certificate.left, **self._webhook.figures},
        }
        try:
            _snapshot.save(self._data, state)
        except OSError as error:
            # A full disk must not silence the watch.
            print(f"the state was not written: {error}", file=sys.stderr)


def _words(alarm: Alarm) -> str:
    if alarm.rule == "silent":
        return f"is silent since {datetime.fromtimestamp(alarm.since / 1000, UTC):%Y-%m-%dT%H:%M:%SZ}"
    return "has a page's certificate that ends" + ("" if alarm.value is None else f" in {alarm.value:.0f} days")


def _now() -> int:
    return time.time_ns() // 1_000_000


def run(settings: Settings) -> None:
    """Run until SIGTERM."""
    watch = Watch(settings, Health())
    ended = threading.Event()

    def end(_: int, __: FrameType | None) -> None:
        ended.set()

    signal.signal(signal.SIGTERM, end)
    while not ended.is_set():
        watch.poll()
        ended.wait(POLL_SECONDS)
    watch.save()
