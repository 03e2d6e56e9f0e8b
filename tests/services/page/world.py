"""A farm and a headquarters on this machine's loopback: a broker with the rendered users and rights, the alarms and the
page as they run on a node, and databases that answer exactly the page's questions."""

import asyncio
import base64
import json
import math
import re
import shutil
import socket
import ssl
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from components.iot_stack import services
from components.iot_stack.mosquitto import acl
from components.iot_stack.users import WRITE, BrokerUser, broker_users
from config import derive
from config.derive import CertifiedKey, MqttUser, Purpose
from config.iot import Iot
from services._health import Health
from services._settings import Database
from services.alarms.service import Alarms
from services.page.charts import POINTS
from services.page.service import serve
from services.page.settings import Settings, Summarised, Tls
from tests.sites import SEED, section

SITE = "oslo"
LOOPBACK = IPv4Address("127.0.0.1")
DAYS = {"not_before": date(2026, 1, 1), "not_after": date(2035, 12, 31)}
PIN = derive.page_pin(SEED, SITE, 1)
PASSWORD = "of the database"

#: Speaks as the uplink does.
SPEAKER = "speaker"


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((str(LOOPBACK), 0))
        port: int = probe.getsockname()[1]
        return port


def eventually(read: Callable[[], Any], seconds: float = 5) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := read()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return found


def iot() -> Iot:
    """The committed site's, whose alarms come at once."""
    content = section(SITE)["iot"]
    content["quantities"]["oxygen"]["forSeconds"] = 0
    return Iot.parse(content, file="Pulumi.oslo.yaml")


def mqtt_user(name: str) -> MqttUser:
    return derive.mqtt_user(SEED, SITE, name, 1)


# Certificates


def authority() -> CertifiedKey:
    return derive.certificate_authority(SEED, SITE, 1, **DAYS)


def written_tls(folder: Path, purpose: Purpose) -> Tls:
    """The site's authority, and a server's certificate and key, as files."""
    key = derive.server_certificate(
        SEED, SITE, 1, purpose=purpose, authority=authority(), names=["localhost"], addresses=[LOOPBACK], **DAYS
    )
    tls = Tls(
        certificate=str(folder / f"{purpose}.crt"),
        key=str(folder / f"{purpose}.key"),
        authority=str(folder / "ca.crt"),
    )
    Path(tls.certificate).write_text(key.certificate)
    Path(tls.key).write_text(key.private)
    Path(tls.authority).write_text(authority().certificate)
    return tls


# The broker


@contextmanager
def mosquitto(folder: Path) -> Iterator[int]:
    """Debian's broker with a site's users and rights; its port."""
    tls, port = written_tls(folder, Purpose.MQTT_SERVER), free_port()
    speaker = BrokerUser(user=mqtt_user(SPEAKER), grants=[(WRITE, f"status/{SITE}/uplink")])
    users = [*broker_users(iot(), SITE, mqtt_user), speaker]
    passwords, rights, conf = folder / "passwords", folder / "acl", folder / "mosquitto.conf"
    passwords.write_text("".join(f"{user.user.name}:{user.user.password_hash}\n" for user in users))
    rights.write_text(acl(users))
    for file in (passwords, rights):
        file.chmod(0o600)
    conf.write_text(
        f"listener {port} 127.0.0.1\nallow_anonymous false\npassword_file {passwords}\nacl_file {rights}\n"
        f"certfile {tls.certificate}\nkeyfile {tls.key}\nuser root\nset_tcp_nodelay true\n"
    )
    process = subprocess.Popen([mosquitto_program(), "-c", conf], stderr=(folder / "mosquitto.log").open("wb"))
    try:
        assert eventually(lambda: _listens(port)), (folder / "mosquitto.log").read_text()
        yield port
    finally:
        process.terminate()
        process.wait(10)


def mosquitto_program() -> str | None:
    return shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin")


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((str(LOOPBACK), port)) == 0


class Device:
    """A client of the broker under one user's name."""

    def __init__(self, port: int, tls: Tls, user: str) -> None:
        self.received: list[MQTTMessage] = []
        self._client = Client(CallbackAPIVersion.VERSION2, f"{user}-of-the-test")
        self._client.username_pw_set(user, mqtt_user(user).password)
        self._client.tls_set(tls.authority)
        self._client.on_message = lambda _, __, message: self.received.append(message)
        self._client.connect(str(LOOPBACK), port)
        self._client.loop_start()

    def publish(self, topic: str, content: object, *, retain: bool = False) -> None:
        payload = content if isinstance(content, bytes) else json.dumps(content).encode()
        self._client.publish(topic, payload, qos=1, retain=retain).wait_for_publish(5)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


# The database

Rows = Mapping[str, list[dict[str, Any]]]


class FakeInfluxDB:
    """Answers the page's questions from given rows, and refuses whatever it does not know.

    Attributes:
        asked: the statements, each with its database.
        stopped: answers nothing, as one that is stopped.
    """

    def __init__(self, answers: Callable[[str, str], list[dict[str, Any]] | None], user: str) -> None:
        self.asked: list[tuple[str, str]] = []
        self.stopped = False
        fake, expected = self, f"{user}:{PASSWORD}"

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                url = urllib.parse.urlsplit(self.path)
                words = dict(urllib.parse.parse_qsl(url.query))
                form = self.rfile.read(int(self.headers["Content-Length"])).decode()
                statement = dict(urllib.parse.parse_qsl(form)).get("q", "")
                credentials = base64.b64decode(self.headers["Authorization"].removeprefix("Basic ")).decode()
                if fake.stopped:
                    self.close_connection = True
                    return
                if url.path != "/query" or words.get("epoch") != "ms" or credentials != expected:
                    self.send_error(403)
                    return
                fake.asked.append((words["db"], statement))
                rows = answers(words["db"], statement)
                if rows is None:
                    self._answer({"results": [{"statement_id": 0, "error": f"unknown to the test: {statement}"}]})
                else:
                    series = [{"columns": list(row), "values": [list(row.values())]} for row in rows]
                    self._answer({"results": [{"statement_id": 0, "series": series} if series else {}]})

            def _answer(self, content: object) -> None:
                body = json.dumps(content).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer((str(LOOPBACK), 0), Handler)
        self.url = f"http://{LOOPBACK}:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


_LAST = re.compile(r"SELECT last\(value\) AS value FROM reading WHERE time > now\(\) - 2d GROUP BY sensor, quantity")
_READINGS = re.compile(
    r"SELECT mean\(value\) AS mean, min\(value\) AS min, max\(value\) AS max FROM reading WHERE pen = '([a-z0-9-]+)' "
    r"AND time >= (\d+)ms AND time < (\d+)ms GROUP BY time\((\d+)s\), sensor, quantity fill\(none\)"
)
_SUMMARIES = re.compile(
    r'SELECT mean\("mean"\) AS mean, min\("min"\) AS min, max\("max"\) AS max FROM summary '
    r'WHERE time >= (\d+)ms AND time < (\d+)ms GROUP BY time\((\d+)s\), "group", quantity fill\(none\)'
)


def wave(place: int, middle: float, width: float) -> float:
    """A value that goes up and down over the points of a chart."""
    return round(middle + width * math.sin(place / 14) + width / 3 * math.sin(place / 3), 2)


def stored(_: str, statement: str) -> list[dict[str, Any]] | None:
    """What a farm's database has: three hours of two pens, and a last value of a sensor that has been silent since."""
    if _LAST.fullmatch(statement):
        return [{"time": now_ms() - 840_000, "value": 71.5, "sensor": "store-climate", "quantity": "humidity"}]
    if not (found := _READINGS.fullmatch(statement)):
        return None
    pen, begin, end, step = found[1], *map(int, found.groups()[1:])
    assert (end - begin) // (step * 1000) == POINTS
    lines = {
        "pen-1": [("pen1-oxygen", "oxygen", 8.6, 0.5), ("pen1-temp", "temperature", 9.4, 0.4)],
        "pen-2": [("pen2-oxygen", "oxygen", 7.4, 0.9), ("pen2-temp", "temperature", 9.1, 0.5)],
        "barge": [("barge-climate", "humidity", 62.0, 6.0), ("mess-climate", "humidity", 48.0, 4.0)],
    }
    return [
        {
            "time": begin + place * step * 1000,
            "mean": (mean := wave(place, middle, width)),
            "min": round(mean - width / 4, 2),
            "max": round(mean + width / 4, 2),
            "sensor": sensor,
            "quantity": quantity,
        }
        for sensor, quantity, middle, width in lines[pen]
        for place in range(POINTS - 1)
        if not 60 < place < 66
    ]


def summarised(database: str, statement: str) -> list[dict[str, Any]] | None:
    """What headquarters' store has of two sites: one is well, one has been silent for an hour and has an alarm."""
    silent = database == "site_bergen"
    if statement.startswith("SELECT waiting, withheld FROM site "):
        ago = 3_900_000 if silent else 12_000
        return [{"time": now_ms() - ago, "waiting": 7 if silent else 0, "withheld": 0 if silent else 3}]
    if statement.startswith("SELECT raised, acknowledged FROM alarm "):
        raised = {"time": now_ms(), "raised": 1, "acknowledged": 0, "kind": "low", "quantity": "oxygen", "pen": "pen-2"}
        over = {"time": now_ms(), "raised": 0, "acknowledged": 0, "kind": "disk", "quantity": "", "pen": "node"}
        return [raised, over] if silent else [over]
    if not (found := _SUMMARIES.fullmatch(statement)):
        return None
    begin, step = int(found[1]), int(found[3])
    lines = [("pens", "oxygen", 8.1, 0.6), ("pens", "temperature", 9.3, 0.4), ("barge", "humidity", 58.0, 6.0)]
    personal = {"min": None, "max": None}
    return [
        {"time": begin + place * step * 1000, "mean": (mean := wave(place, middle, width))}
        | (personal if quantity == "humidity" else {"min": round(mean - 0.2, 2), "max": round(mean + 0.2, 2)})
        | {"group": group, "quantity": quantity}
        for group, quantity, middle, width in lines
        for place in range(POINTS - (65 if silent else 1))
    ]


# The page


class Served:
    """A page that answers at `url`."""

    def __init__(self, settings: Settings) -> None:
        self.url = f"https://localhost:{settings.ports[0]}"
        self._context = ssl.create_default_context(cafile=settings.tls.authority)
        self._ended: asyncio.Event | None = None
        self._loop = asyncio.new_event_loop()
        self.health = Health(0)
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._run(settings),))
        self._thread.start()
        assert eventually(lambda: _listens(settings.ports[0]))

    async def _run(self, settings: Settings) -> None:
        self._ended = asyncio.Event()
        await serve(settings, self.health, self._ended)

    def ask(
        self, path: str, content: object = None, *, headers: Mapping[str, str] | None = None
    ) -> tuple[int, Mapping[str, str], bytes]:
        """Status, headers and body of a GET, or of a POST of JSON."""
        body = None if content is None else json.dumps(content).encode()
        sent = {"Content-Type": "application/json"} if body else {}
        request = urllib.request.Request(self.url + path, body, {**sent, **(headers or {})})
        try:
            with urllib.request.urlopen(request, timeout=10, context=self._context) as answer:
                return answer.status, dict(answer.headers), answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, dict(error.headers), error.read()

    def state(self) -> Any:
        status, _, body = self.ask("/api/state")
        assert status == 200
        return json.loads(body)

    def close(self) -> None:
        assert self._ended
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join(20)
        self._loop.close()
        self.health.server.shutdown()
        self.health.server.server_close()


class Farm:
    """Broker, alarms, database and page of a site."""

    def __init__(self, folder: Path, broker_port: int) -> None:
        self.tls = written_tls(folder, Purpose.PAGE_SERVER)
        self.database = FakeInfluxDB(stored, "page")
        rendered = services.page_settings(
            iot(), SITE, mqtt_user, database_password=PASSWORD, pin=PIN, ports=(free_port(),)
        )
        assert rendered.farm
        here = {"host": str(LOOPBACK), "port": broker_port, "authority": self.tls.authority}
        self.settings = replace(
            rendered,
            tls=self.tls,
            farm=replace(
                rendered.farm,
                broker=replace(rendered.farm.broker, **here),
                database=replace(rendered.farm.database, url=self.database.url),
            ),
        )
        alarms = services.alarm_settings(iot(), SITE, mqtt_user, certificates={}, webhook_key="")
        self._alarms = Alarms(
            replace(alarms, broker=replace(alarms.broker, **here), data=str(folder), disk_percent=100), now_ms()
        )
        self._ended = threading.Event()
        self._watching = threading.Thread(target=self._watch)
        self._watching.start()
        self.page = Served(self.settings)
        self._devices: dict[str, Device] = {}
        self._broker_port = broker_port

    def _watch(self) -> None:
        self._alarms.start()
        while not self._ended.is_set():
            self._alarms.step()
        self._alarms.stop()

    def device(self, user: str) -> Device:
        if user not in self._devices:
            self._devices[user] = Device(self._broker_port, self.tls, user)
        return self._devices[user]

    def measure(self, sensor: str, quantity: str, value: float, ago_ms: int = 0) -> None:
        """Publish a reading as its sensor."""
        self.device(sensor).publish(f"sensors/{sensor}/{quantity}", {"value": value, "time": now_ms() - ago_ms})

    def uplink(self, **said: Any) -> None:
        """What the uplink says of itself."""
        self.device(SPEAKER).publish(f"status/{SITE}/uplink", {"up": True, "time": now_ms(), **said}, retain=True)

    def close(self) -> None:
        self.page.close()
        self._ended.set()
        self._watching.join(10)
        for device in self._devices.values():
            device.close()
        self.database.close()


@contextmanager
def farm() -> Iterator[Farm]:
    """A farm that runs."""
    with tempfile.TemporaryDirectory() as name, mosquitto(Path(name)) as port:
        made = Farm(Path(name), port)
        try:
            yield made
        finally:
            made.close()


@contextmanager
def headquarters() -> Iterator[Served]:
    """Headquarters' page over a store of two sites, and one that the store refuses to tell of."""
    database = FakeInfluxDB(
        lambda name, statement: summarised(name, statement) if name != "site_molde" else None, "headquarters"
    )
    with tempfile.TemporaryDirectory() as name:
        settings = Settings(
            name="hq",
            ports=(free_port(),),
            tls=written_tls(Path(name), Purpose.PAGE_SERVER),
            sites=tuple(
                Summarised(
                    name=site,
                    database=Database(
                        url=database.url, name=f"site_{site}", user="headquarters", password=PASSWORD
                    ),
                )
                for site in ("bergen", "molde", "oslo")
            ),
        )
        page = Served(settings)
        try:
            yield page
        finally:
            page.close()
            database.close()


