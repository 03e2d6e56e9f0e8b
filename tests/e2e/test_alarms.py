"""Alarms on a site that runs: right when the database is stopped, and after a restart."""

import hashlib
import hmac
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from config import derive
from lab import hypervisor
from lab.sensors import Reading, mosquitto_pub, now_ms, on_node, publish, query
from lab.stacks import Stack
from tests.e2e.waiting import eventually

LOW = "alerts/oslo/pen-2/pen2-oxygen-oxygen-low"

#: The broker's own database tells what is retained; nobody but the services may read alerts.
RETAINED = """\
import json, sqlite3
with sqlite3.connect("file:/srv/fjord-edge/mosquitto/mosquitto.sqlite?mode=ro", uri=True) as database:
    rows = database.execute(
        "SELECT retains.topic, payload FROM retains JOIN base_msgs USING (store_id) WHERE retains.topic LIKE 'alerts/%'"
    ).fetchall()
print(json.dumps({topic: json.loads(payload) for topic, payload in rows}))
"""


def raised(oslo: Stack) -> dict[str, Any]:
    alarms: dict[str, Any] = json.loads(on_node(oslo, "sudo python3 -", stdin=RETAINED))
    return alarms


def alarm_of(oslo: Stack, topic: str, seconds: float) -> Any:
    """The alarm, once it is raised."""
    assert eventually(lambda: topic in raised(oslo), seconds), raised(oslo).keys()
    return raised(oslo)[topic]


def oxygen(oslo: Stack, value: float) -> Reading:
    reading = Reading("pen2-oxygen", "oxygen", value, now_ms())
    publish(oslo, reading)
    return reading


@pytest.fixture
def well(oslo: Stack) -> Iterator[None]:
    """No alarm of the pen's oxygen before and after."""
    oxygen(oslo, 9.0)
    assert eventually(lambda: LOW not in raised(oslo), 30)
    yield
    oxygen(oslo, 9.0)
    assert eventually(lambda: LOW not in raised(oslo), 30)


@pytest.mark.usefixtures("well")
def test_low_oxygen_is_told_in_time_with_what_led_to_it(oslo: Stack) -> None:
    before, first = oxygen(oslo, 8.5), oxygen(oslo, 6.25)
    alarm = alarm_of(oslo, LOW, 60)
    assert (alarm["rule"], alarm["limit"], alarm["value"], alarm["unit"]) == ("low", 6.5, 6.25, "mg/l")
    assert alarm["before"][-2:] == [[before.time, 8.5], [first.time, 6.25]]
    assert alarm["since"] == first.time
    least = oslo.site.iot.quantities["oxygen"].for_seconds * 1000  # type: ignore[union-attr]
    assert least <= alarm["raised"] - alarm["since"] <= least + 2000
    oxygen(oslo, 6.75)
    oxygen(oslo, 6.85)
    assert eventually(lambda: LOW not in raised(oslo), 30), "back inside by the hysteresis"


@pytest.mark.usefixtures("well")
def test_alarms_are_right_while_the_database_is_stopped_and_after_they_were_killed(oslo: Stack) -> None:
    on_node(oslo, "docker stop influxdb")
    try:
        oxygen(oslo, 6.0)
        on_node(oslo, "docker kill alarms && docker start alarms")
        alarm = alarm_of(oslo, LOW, 90)
        assert alarm["value"] == 6.0
        on_node(oslo, "docker kill alarms && docker start alarms")
        time.sleep(10)
        assert raised(oslo)[LOW] == alarm, "neither forgotten nor raised again"
        oxygen(oslo, 9.0)
        assert eventually(lambda: LOW not in raised(oslo), 60)
    finally:
        on_node(oslo, "docker start influxdb")


def test_a_sensor_that_says_nothing_is_told(oslo: Stack) -> None:
    silent = "alerts/oslo/barge/store-climate-silent"
    alarm = alarm_of(oslo, silent, 180)
    assert (alarm["rule"], alarm["sensor"]) == ("silent", "store-climate")
    publish(oslo, Reading("store-climate", "humidity", 70.0, now_ms()))
    assert eventually(lambda: silent not in raised(oslo), 30)


RECEIVER = """\
import http.server, json, sys
class Handler(http.server.BaseHTTPRequestHandler):
    refused = 0
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        if Handler.refused < 2:
            Handler.refused += 1
            self.send_response(503)
        else:
            print(json.dumps([self.headers["X-Fjord-Edge-Signature"], body]), flush=True)
            self.send_response(204)
        self.end_headers()
    def log_message(self, *_): pass
server = http.server.HTTPServer((sys.argv[1], 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
"""


def acknowledged_during(oslo: Stack, ends: threading.Event) -> list[Reading]:
    """Readings, one after the other, that the broker took by the passwords of now; until the event."""
    taken = []
    while not ends.is_set():
        reading = Reading("pen1-temp", "temperature", 7.5, now_ms())
        if mosquitto_pub(oslo, reading.sensor, reading.topic, reading.payload).returncode == 0:
            taken.append(reading)
    return taken


def missing(oslo: Stack, readings: list[Reading]) -> set[int]:
    first = readings[0].time
    rows = query(oslo, f"SELECT value FROM reading WHERE sensor = 'pen1-temp' AND time >= {first}ms")
    return {reading.time for reading in readings} - {row["time"] for row in rows}


@pytest.mark.long
@pytest.mark.usefixtures("well")
def test_after_other_passwords_all_speak_and_a_webhook_is_told_until_it_accepts(oslo: Stack) -> None:
    """The official image of the database sets passwords on its first start alone; this one has some."""
    lan = oslo.site.node.network.lan
    assert lan
    address = str(next(lan.address.network.hosts()))
    command = hypervisor.operator_command(["timeout", "1200", sys.executable, "-c", RECEIVER, address])
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as receiver:
        assert receiver.stdout
        port = receiver.stdout.readline().strip()
        webhook = {"webhook": f"http://{address}:{port}/farm"}
        with oslo.edited("epochs", value={"passwords": 2}), oslo.edited("iot", "alarms", value=webhook):
            ends = threading.Event()
            with ThreadPoolExecutor(1) as pool:
                sending = pool.submit(acknowledged_during, oslo, ends)
                try:
                    oslo.up()
                finally:
                    ends.set()
            readings = sending.result()
            started = on_node(oslo, "date +%s%3N --date=$(docker inspect --format '{{.State.StartedAt}}' telegraf)")
            assert [each for each in readings if each.time < int(started)], (
                "none came while the collector of before ran"
            )
            assert eventually(lambda: not missing(oslo, readings), 60), missing(oslo, readings)
            low = oxygen(oslo, 5.0)
            told: list[dict[str, Any]] = []
            while not told or told[-1]["topic"] != LOW:
                signature, body = json.loads(receiver.stdout.readline())
                key = derive.webhook_key(oslo.seed, "oslo", oslo.site.epochs.passwords)
                assert signature == "sha256=" + hmac.new(key.encode(), body.encode(), hashlib.sha256).hexdigest()
                told.append(json.loads(body))
            assert told[-1]["event"] == "raised"
            assert told[-1]["alarm"]["value"] == 5.0
            where = f"sensor = '{low.sensor}' AND time = {low.time}ms"
            assert eventually(lambda: query(oslo, f"SELECT value FROM reading WHERE {where}"), 60)
        receiver.terminate()  # which `timeout` hands on; of a kill the receiver would know nothing
    oslo.up()
