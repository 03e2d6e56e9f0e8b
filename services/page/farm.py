"""A farm's page: broker and database in, what people see and acknowledge out."""

import sys
import time
from typing import Any

from paho.mqtt.client import MQTTMessage

from services._influxdb import Client, RefusedError, UnavailableError
from services._mqtt import session
from services.page.charts import Charts, readings
from services.page.live import Live
from services.page.pins import Pin
from services.page.settings import Farm

SERVICE = "page"

#: How far back a last value is looked for when the page begins.
LAST_VALUES = "2d"

#: What was no reading is asked for so often; a database that takes its time is kept busy for one part in so many.
REJECTED_SECONDS, REJECTED_SHARE = 60.0, 20

#: How many of the last day, by sensor and reason: each point has its minute's count so far.
_REJECTED = (
    'SELECT sum(most) AS count FROM (SELECT max("count") AS most FROM rejected WHERE time > now() - 24h '
    "GROUP BY time(1m), sensor, reason fill(none)) GROUP BY sensor, reason"
)

#: How long the broker's own acknowledgement is waited for.
DELIVERY_SECONDS = 5.0

_LAST = (
    f"SELECT last(value) AS value FROM reading WHERE time > now() - {LAST_VALUES} AND time <= now() "  # noqa: S608
    "GROUP BY sensor, quantity"
)


class UnknownAlarmError(Exception):
    """No such alarm is raised."""


class WrongPinError(Exception):
    """It is another."""


class UndeliveredError(Exception):
    """The broker did not take it; it may be tried again."""


class FarmPage:
    """The page at a site."""

    def __init__(self, site: str, farm: Farm, now: int) -> None:
        self._site = site
        self._live = Live(site, farm, now)
        self._database = Client(farm.database)
        self._charts = Charts({pen.name: self._database for pen in farm.pens}, readings, "sensor")
        self._pin = Pin(farm.pin, time.monotonic())
        self._has_last_values = False
        self._rejected: list[dict[str, Any]] = []
        self._ask_rejected = time.monotonic()
        self._session = session(
            farm.broker,
            site=site,
            service=SERVICE,
            topics=self._live.topics,
            received=self._received,
            begun=lambda: self._live.connected(_now()),
        )
        self._session.on_disconnect = lambda *_: self._live.disconnected(_now())

    def _received(self, message: MQTTMessage) -> None:
        self._live.told(message.topic, bytes(message.payload), _now(), retained=message.retain)

    def start(self) -> None:
        """Connect, now and after every loss."""
        self._session.loop_start()

    def stop(self) -> None:
        """Leave without a will."""
        self._session.disconnect()
        self._session.loop_stop()

    def step(self) -> None:
        """Ask the database for what the sensors said before the page began, once, and for what was no reading."""
        if not self._has_last_values:
            found = self._asked(_LAST, "the last values")
            if found is not None:
                self._live.stored(found)
                self._has_last_values = True
        begun = time.monotonic()
        if begun >= self._ask_rejected:
            found = self._asked(_REJECTED, "what was no reading")
            if found is not None:
                self._rejected = [{key: row[key] for key in ("sensor", "reason", "count")} for row in found]
            ended = time.monotonic()
            self._ask_rejected = ended + max(REJECTED_SECONDS, REJECTED_SHARE * (ended - begun))

    def _asked(self, statement: str, what: str) -> list[dict[str, Any]] | None:
        """The answer, if there is one."""
        try:
            return self._database.query(statement)
        except UnavailableError:
            return None
        except RefusedError as error:
            print(f"the database refused {what}: {error}", file=sys.stderr)
            return None

    def state(self, now: int) -> dict[str, Any]:
        """What the page shows now."""
        shown = {"rejected": self._rejected, **self._live.state(now)}
        return {"mode": "farm", "name": self._site, "now": now, **shown}

    def history(self, pen: str, hours: int, now: int) -> dict[str, Any]:
        """What `Charts.of` says of a pen."""
        return self._charts.of(pen, hours, now)

    def check(self, topic: str, pin: str, client: str) -> None:
        """Whether this client may acknowledge this alarm.

        Raises:
            UnknownAlarmError: it is not raised.
            WrongPinError: the PIN is not the site's.
            TooOftenError: too many were wrong.
        """
        if self._live.alarm(topic) is None:
            raise UnknownAlarmError
        if not self._pin.is_right(pin, client, time.monotonic()):
            raise WrongPinError

    def acknowledge(self, topic: str) -> None:
        """Tell the alarms that a person has seen one; returns when the broker has it.

        Raises:
            UndeliveredError: it does not.
        """
        if not self._session.is_connected():
            raise UndeliveredError
        sent = self._session.publish(topic.replace("alerts/", "acknowledgements/", 1), b"", qos=1)
        try:
            sent.wait_for_publish(DELIVERY_SECONDS)
        except (RuntimeError, ValueError):
            raise UndeliveredError from None
        if not sent.is_published():
            raise UndeliveredError


def _now() -> int:
    return time.time_ns() // 1_000_000
