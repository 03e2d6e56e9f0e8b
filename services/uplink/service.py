"""The uplink as a process: alarms from the broker, status to it, and the sender between."""

import queue
import signal
import sys
import time
from types import FrameType

from paho.mqtt.client import MQTTMessage

from services._health import Health
from services._mqtt import session, status_topic, tell
from services.alarms.alarm import Alarm
from services.uplink.alarms import counted
from services.uplink.sender import Sender
from services.uplink.settings import Settings

SERVICE = "uplink"

#: How often the site is told how it does.
STATUS_SECONDS = 5


class Board:
    """The alarms that are raised, as the broker tells them."""

    def __init__(self, site: str) -> None:
        self._site = site
        self._alarms: dict[str, Alarm] = {}
        self._is_whole = False

    def begin(self) -> None:
        """A session began: what was raised or cleared meanwhile is told now."""
        self._alarms.clear()
        self._is_whole = False

    def take(self, topic: str, payload: bytes) -> None:
        """A message. The service's own status comes behind the alarms that are retained: then all are known."""
        if topic == status_topic(self._site, SERVICE):
            self._is_whole = True
            return
        self._alarms.pop(topic, None)
        if payload:
            try:
                self._alarms[topic] = Alarm.parse(payload)
            except ValueError as error:
                print(f"{topic}: {error}; it is left out", file=sys.stderr)

    @property
    def alarms(self) -> list[Alarm] | None:
        """Those that are raised; None while not all are known."""
        return list(self._alarms.values()) if self._is_whole else None


class Uplink:
    """All of the service but its clock."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._sender = Sender(settings)
        self._board = Board(settings.site)
        self._inbox: queue.SimpleQueue[MQTTMessage | None] = queue.SimpleQueue()
        self._told = -float("inf")
        self._client = session(
            settings.broker,
            site=settings.site,
            service=SERVICE,
            topics=[(f"alerts/{settings.site}/#", 0), (status_topic(settings.site, SERVICE), 0)],
            received=self._inbox.put,
            begun=lambda: self._inbox.put(None),
        )

    def start(self) -> None:
        """Connect, now and after every loss."""
        self._client.loop_start()

    def stop(self) -> None:
        """Leave without a will."""
        self._client.disconnect()
        self._client.loop_stop()

    def step(self) -> None:
        """Send what there is to send, then wait for more, or for an alarm."""
        wait = self._sender.step(_now())
        self._listen(wait)
        if time.monotonic() - self._told >= STATUS_SECONDS:
            self._told = time.monotonic()
            tell(self._client, self._settings.site, SERVICE, self._sender.status(_now()))

    def _listen(self, wait: float) -> None:
        try:
            self._take(self._inbox.get(timeout=wait) if wait else self._inbox.get_nowait())
            while True:
                self._take(self._inbox.get_nowait())
        except queue.Empty:
            pass
        known = self._board.alarms
        self._sender.count(None if known is None else counted(self._settings, known))

    def _take(self, message: MQTTMessage | None) -> None:
        if message is None:
            self._board.begin()
        else:
            self._board.take(message.topic, bytes(message.payload))


def _now() -> int:
    return time.time_ns() // 1_000_000


def run(settings: Settings) -> None:
    """Run until SIGTERM."""
    health = Health()
    uplink = Uplink(settings)
    ended = False

    def end(_: int, __: FrameType | None) -> None:
        nonlocal ended
        ended = True

    signal.signal(signal.SIGTERM, end)
    uplink.start()
    while not ended:
        uplink.step()
        health.beat()
    uplink.stop()
