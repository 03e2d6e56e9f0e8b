"""Many sensors in one process, over raw sockets; every reading that the broker acknowledged is written down.

`python -m lab.pipeline.generator`, its `Settings` as a line of JSON on standard input. It says `ready` when all are
connected, begins with the next line that it reads, and in the end says what it did, as JSON. It keeps its own schedule
and never waits for the broker.
"""

import asyncio
import json
import ssl
import struct
import sys
import time
from dataclasses import asdict, dataclass, field
from typing import BinaryIO

from lab.pipeline import mqtt
from lab.pipeline.site import QUANTITY, SUBSCRIBER

#: An acknowledged reading in the log: the sensor's place in `Settings.sensors`, its value, and when it was sent and
#: acknowledged (monotonic, s).
RECORD = struct.Struct("<IQdd")

#: How many connect at the same time.
CONNECTING = 50
CONNECT_SECONDS = 30.0
AGAIN_SECONDS = 0.1

#: How long acknowledgements are waited for when the last reading is out.
LAST_SECONDS = 20.0


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What to publish.

    Attributes:
        sensors: names and passwords.
        rate: readings a second, all sensors together.
        tick: seconds between two looks at the schedule.
        first: the time of each sensor's first reading, epoch ms; None for now.
        step: from one reading's time to its sensor's next, ms.
        subscriber: password of the reader that measures how long each takes; None without a password.
        measure: whether there is that reader.
    """

    port: int
    authority: str | None
    sensors: list[tuple[str, str | None]] = field(repr=False)
    rate: float
    seconds: float
    log: str
    tick: float = 0.01
    first: int | None = None
    step: int = 1
    measure: bool = False
    subscriber: str | None = field(default=None, repr=False)


@dataclass
class Result:
    """What was done.

    Attributes:
        refused: sensors that the broker did not let in.
        connecting: seconds until all were connected.
        late: the most that a reading was behind its own schedule, seconds.
        processor: seconds of processor time since its start.
        latencies: from a reading's being sent to its being read by the subscriber, seconds.
    """

    connected: int = 0
    refused: int = 0
    connecting: float = 0.0
    sent: int = 0
    acknowledged: int = 0
    late: float = 0.0
    processor: float = 0.0
    latencies: list[float] = field(default_factory=list)


class Client(asyncio.Protocol):
    """One connection."""

    def __init__(self, generator: "Generator", index: int) -> None:
        self.generator, self.index = generator, index
        self.welcome: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self.lost = False
        self._buffer = bytearray()
        self._pending: dict[int, tuple[int, float]] = {}
        self._identifier = 0
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Name itself."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101
        self._transport = transport
        name, password = self.generator.clients[self.index]
        transport.write(mqtt.connect(name, password))

    def data_received(self, data: bytes) -> None:
        """Take each whole packet."""
        self._buffer += data
        for kind, body in mqtt.packets(self._buffer):
            if kind == mqtt.PUBACK:
                self.generator.acknowledge(self.index, *self._pending.pop(int.from_bytes(body[:2], "big")))
            elif kind == mqtt.PUBLISH:
                self.generator.read(*mqtt.published(body))
            elif not self.welcome.done():
                self.welcome.set_result(kind == mqtt.SUBACK or body[1] == 0)

    def connection_lost(self, _: Exception | None) -> None:
        """Whoever waits for it is told."""
        self.lost = True
        if not self.welcome.done():
            self.welcome.set_result(False)

    def publish(self, topic: bytes, values: list[int]) -> None:
        """Send readings in one write."""
        assert self._transport is not None  # noqa: S101
        now, parts = time.monotonic(), []
        for value in values:
            self._identifier = self._identifier % 65535 + 1
            self._pending[self._identifier] = (value, now)
            parts.append(mqtt.publish(topic, self._identifier, value))
        self._transport.write(b"".join(parts))

    def subscribe(self) -> None:
        """Ask for all readings; `welcome` is set again when that is granted."""
        assert self._transport is not None  # noqa: S101
        self.welcome = asyncio.get_running_loop().create_future()
        self._transport.write(mqtt.subscribe(f"sensors/+/{QUANTITY}"))

    @property
    def unacknowledged(self) -> int:
        """How many readings wait for their PUBACK."""
        return len(self._pending)

    def close(self) -> None:
        """End the connection."""
        if self._transport:
            self._transport.abort()


class Generator:
    """All sensors of one process."""

    def __init__(self, settings: Settings, log: BinaryIO) -> None:
        self.settings, self.result = settings, Result()
        self.clients = [*settings.sensors, (SUBSCRIBER, settings.subscriber)]
        self._log = log
        self._sent: dict[tuple[bytes, int], float] = {}
        self._connections: dict[int, Client] = {}
        self._returning: dict[int, asyncio.Task[None]] = {}
        self._tls = ssl.create_default_context(cadata=settings.authority) if settings.authority else None

    def acknowledge(self, index: int, value: int, sent: float) -> None:
        """Write down that the broker has a reading."""
        self.result.acknowledged += 1
        self._log.write(RECORD.pack(index, value, sent, time.monotonic()))

    def read(self, topic: bytes, value: int) -> None:
        """The subscriber has a reading."""
        if sent := self._sent.pop((topic, value), None):
            self.result.latencies.append(time.monotonic() - sent)

    async def run(self) -> Result:
        """Connect, publish to the end of the schedule, wait for what is unacknowledged."""
        begun = time.monotonic()
        gate = asyncio.Semaphore(CONNECTING)
        count = len(self.settings.sensors)
        if self.settings.measure:
            await self._connect(count, gate)
            reader = self._connections[count]
            reader.subscribe()
            await reader.welcome
        await asyncio.gather(*(self._connect(index, gate) for index in range(count)))
        self.result.connecting = time.monotonic() - begun
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        await self._publish(count)
        deadline = time.monotonic() + LAST_SECONDS
        while self._waiting() and time.monotonic() < deadline:
            await asyncio.sleep(0.05)
        self._log.flush()
        for task in self._returning.values():
            task.cancel()
        for client in self._connections.values():
            client.close()
        return self.result

    async def _connect(self, index: int, gate: asyncio.Semaphore) -> None:
        async with gate:
            if await self._connected(index):
                self.result.connected += 1
            else:
                self.result.refused += 1

    async def _connected(self, index: int) -> bool:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                _, client = await loop.create_connection(
                    lambda: Client(self, index),
                    "127.0.0.1",
                    self.settings.port,
                    ssl=self._tls,
                    server_hostname="localhost" if self._tls else None,
                )
                if not await client.welcome:
                    return False
        except OSError:
            return False
        self._connections[index] = client
        return True

    async def _publish(self, count: int) -> None:
        topics = [f"sensors/{name}/{QUANTITY}".encode() for name, _ in self.settings.sensors]
        begun, number = time.monotonic(), 0
        first = time.time_ns() // 1_000_000 if self.settings.first is None else self.settings.first
        while number < self.settings.rate * self.settings.seconds:
            now = time.monotonic()
            due = min(now - begun, self.settings.seconds) * self.settings.rate
            self.result.late = max(self.result.late, now - begun - number / self.settings.rate)
            batch: dict[int, list[int]] = {}
            while number < due:
                batch.setdefault(number % count, []).append(first + number // count * self.settings.step)
                number += 1
            for index, values in batch.items():
                self._send(index, topics[index], values)
            self._log.flush()
            await asyncio.sleep(self.settings.tick)

    def _send(self, index: int, topic: bytes, values: list[int]) -> None:
        client = self._connections.get(index)
        if client is None or client.lost:
            if index not in self._returning or self._returning[index].done():
                self._returning[index] = asyncio.create_task(self._return(index))
            return
        if self.settings.measure:
            self._sent.update(dict.fromkeys(((topic, value) for value in values), time.monotonic()))
        client.publish(topic, values)
        self.result.sent += len(values)

    async def _return(self, index: int) -> None:
        while not await self._connected(index):
            await asyncio.sleep(AGAIN_SECONDS)

    def _waiting(self) -> bool:
        return any(client.unacknowledged and not client.lost for client in self._connections.values())


def main() -> None:
    """Publish what standard input says."""
    settings = Settings(**json.loads(sys.stdin.readline()))
    with open(settings.log, "wb") as log:  # noqa: PTH123
        result = asyncio.run(Generator(settings, log).run())
    result.processor = time.process_time()
    print(json.dumps(asdict(result)))


if __name__ == "__main__":
    main()
