"""A site's database and headquarters', as HTTP servers that answer what the uplink asks of InfluxDB 1.8.

Readings are aggregated as InfluxDB does; tests/e2e/test_uplink.py asks the real one.
"""

import gzip
import json
import re
import statistics
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from services._settings import Broker, Database
from services.uplink.settings import Group, Sensor, Settings

MINUTE = 60_000

PENS = Group(name="pens", quantity="temperature", sensors=("pen1", "pen2"), min_sensors=2, step=None)
ROOMS = tuple(f"room{number}" for number in range(7))
BARGE = Group(name="barge", quantity="humidity", sensors=ROOMS, min_sensors=5, step=2.0)


class Influxdb(ThreadingHTTPServer):
    """One database: `lines` is what was accepted, `captured` each body that came, accepted or not."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.readings: list[tuple[str, str, int, float]] = []
        self.captured: list[list[str]] = []
        self.lines: list[str] = []
        self.answer: str | None = None
        self.asked: list[str] = []

    def put(self, sensor: str, quantity: str, time: int, value: float) -> None:
        """Store a reading."""
        self.readings.append((sensor, quantity, time, value))

    @property
    def stored(self) -> dict[tuple[str, int], str]:
        """The last fields of each series and time."""
        return {(series, int(time)): fields for series, fields, time in map(str.split, self.lines)}

    def rows(self, statement: str) -> list[dict[str, Any]]:
        """Series of the answer to one of the uplink's statements."""
        if statement == "SELECT last(raised) AS raised FROM alarm GROUP BY *":
            return list(self._alarms())
        if found := re.search(r"FROM summary WHERE quantity = '(\w+)'", statement):
            times = [time for series, time in self.stored if f"quantity={found[1]}" in series]
            return [_series({}, ["time", "mean"], [[max(times), 1.0]])] if times else []
        start = int(re.findall(r"time >= (\d+)ms", statement)[0])
        if "first(value)" in statement:
            times = [reading[2] for reading in self.readings if reading[2] >= start]
            return [_series({}, ["time", "value"], [[min(times), 1.0]])] if times else []
        end = int(re.findall(r"time < (\d+)ms", statement)[0])
        [quantity] = re.findall(r"quantity = '(\w+)'", statement)
        return [
            _series({"sensor": sensor}, ["time", "mean", "low", "high"], rows)
            for sensor in re.findall(r"sensor = '(\w+)'", statement)
            if (rows := self._aggregated(sensor, quantity, start, end))
        ]

    def _alarms(self) -> Iterator[dict[str, Any]]:
        """The last of each series; a tag that a series has not is empty."""
        last = {series: (time, fields) for (series, time), fields in sorted(self.stored.items(), key=lambda x: x[0][1])}
        for series, (time, fields) in last.items():
            measurement, *tags = series.split(",")
            if measurement == "alarm":
                [raised] = re.findall(r"raised=(\d+)i", fields)
                every = {"pen": "", "quantity": "", "rule": ""} | dict(tag.split("=") for tag in tags)
                yield _series(every, ["time", "raised"], [[time, int(raised)]])

    def _aggregated(self, sensor: str, quantity: str, start: int, end: int) -> list[list[float]]:
        by_minute: dict[int, list[float]] = {}
        for who, what, time, value in self.readings:
            if (who, what) == (sensor, quantity) and start <= time < end:
                by_minute.setdefault(time // MINUTE * MINUTE, []).append(value)
        return [[time, statistics.fmean(all_), min(all_), max(all_)] for time, all_ in sorted(by_minute.items())]


def _series(tags: Mapping[str, str], columns: list[str], values: list[list[float]]) -> dict[str, Any]:
    return {"name": "x", "tags": dict(tags), "columns": columns, "values": values}


class _Handler(BaseHTTPRequestHandler):
    server: Influxdb

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        path = urlsplit(self.path).path
        if path == "/write":
            self.server.captured.append(gzip.decompress(body).decode().splitlines())
        if self.server.answer is not None:
            self.wfile.write(self.server.answer.encode())
        elif path == "/write":
            self.server.lines += self.server.captured[-1]
            self.wfile.write(b"HTTP/1.0 204 No Content\r\n\r\n")
        else:
            [statement] = parse_qs(body.decode())["q"]
            self.server.asked.append(statement)
            answer = json.dumps({"results": [{"series": self.server.rows(statement)}]}).encode()
            self.wfile.write(b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(answer), answer))

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving() -> Iterator[Influxdb]:
    """A database, for a while."""
    with Influxdb() as server:
        thread = threading.Thread(target=lambda: server.serve_forever(poll_interval=0.01))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@dataclass
class World:
    """Both databases, and what the uplink is told of them."""

    site: Influxdb
    hq: Influxdb
    folder: Path
    ticks: float = field(default=0.0)

    def settings(self, *groups: Group, **changed: Any) -> Settings:
        """Of a site with these groups."""
        given: dict[str, Any] = {
            "site": "oslo",
            "broker": Broker(host="127.0.0.1", port=1, user="uplink", password="x"),
            "readings": _database(self.site, "iot_data"),
            "headquarters": _database(self.hq, "site_oslo"),
            "groups": groups or (PENS, BARGE),
            "sensors": (
                Sensor(id="pen1", pen="pen-1", quantities=("temperature",)),
                Sensor(id="pen2", pen="pen-2", quantities=("temperature",)),
                *(Sensor(id=room, pen="barge", quantities=("humidity",)) for room in ROOMS),
            ),
            "not_personal": ("temperature",),
            "allowed_lateness_seconds": 30,
            "late_horizon_hours": 2,
            "outage_budget_days": 2,
            "kib_per_second": 1_000_000,
            "data": str(self.folder),
        }
        return Settings(**(given | changed))

    def clock(self) -> float:
        """Seconds that went by, as the test says."""
        return self.ticks


def _database(server: Influxdb, name: str) -> Database:
    return Database(url=f"http://127.0.0.1:{server.server_port}", name=name, user="uplink", password="a password")
