"""Summaries come to headquarters whatever happens on the way, and nothing else does."""

import base64
import gzip
import json
import statistics
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

from lab.sensors import Reading, at_headquarters, mosquitto_pub, now_ms, on_node, publish, query
from lab.stacks import Stack
from services.uplink.allowed import ALLOWED
from services.uplink.windows import WINDOW_MS, window
from tests.e2e.waiting import eventually

HOUR_MS = 3_600_000

TEMPERATURES = ("pen1-temp", "pen2-temp")
OXYGENS = ("pen1-oxygen", "pen2-oxygen")
WARM, RICH = dict(zip(TEMPERATURES, (7, 9), strict=True)), dict(zip(OXYGENS, (9.0, 9.5), strict=True))
HUMIDITIES = ("barge-climate", "mess-climate", "bridge-climate", "cabin-climate", "store-climate")


def sent(hq: Stack, group: str, quantity: str, since: int) -> dict[int, dict[str, Any]]:
    """A group's summaries at headquarters by window."""
    where = f"\"group\" = '{group}' AND quantity = '{quantity}' AND time >= {since}ms"
    rows = at_headquarters(hq, "oslo", f"SELECT count, mean, stddev, min, max FROM summary WHERE {where}")
    return {row["time"]: row for row in rows}


def measured(oslo: Stack, sensors: Sequence[str], quantity: str, since: int) -> dict[int, dict[str, list[float]]]:
    """The values on the node by window and sensor."""
    where = f"quantity = '{quantity}' AND time >= {since}ms"
    found: dict[int, dict[str, list[float]]] = {}
    for row in query(oslo, f"SELECT value, sensor FROM reading WHERE {where}"):
        if row["sensor"] in sensors:
            found.setdefault(window(row["time"]), {}).setdefault(row["sensor"], []).append(row["value"])
    return found


def means(oslo: Stack, sensors: Sequence[str], quantity: str, since: int) -> dict[int, float]:
    """What headquarters must have: of each window that all of a group's devices report in, the mean of their means."""
    return {
        time_: statistics.fmean(map(statistics.fmean, values.values()))
        for time_, values in measured(oslo, sensors, quantity, since).items()
        if len(values) == len(sensors)
    }


def agrees(hq: Stack, oslo: Stack, sensors: Sequence[str], quantity: str, since: int) -> dict[int, float]:
    """The windows that headquarters does not have, or not as they are now; the last two may be on their way."""
    due = now_ms() - (oslo.site.iot.uplink.allowed_lateness_seconds * 1000 + 2 * WINDOW_MS)  # type: ignore[union-attr]
    there = sent(hq, "pens", quantity, since)
    return {
        time_: mean
        for time_, mean in means(oslo, sensors, quantity, since).items()
        if time_ < due and (time_ not in there or there[time_]["mean"] != pytest.approx(mean))
    }


def test_summaries_of_two_groups_are_what_the_devices_measured(oslo: Stack, hq: Stack) -> None:
    minute = window(now_ms() - HOUR_MS // 2)
    readings = [
        Reading(name, "temperature", value, minute + 9_000) for name, value in zip(TEMPERATURES, (7, 9), strict=True)
    ]
    readings += [
        Reading(name, "oxygen", value, minute + 9_000) for name, value in zip(OXYGENS, (9.0, 9.5), strict=True)
    ]
    publish(oslo, *readings)
    assert eventually(lambda: len(measured(oslo, OXYGENS, "oxygen", minute).get(minute, {})) == 2, 30)
    for sensors, quantity in ((TEMPERATURES, "temperature"), (OXYGENS, "oxygen")):
        values = measured(oslo, sensors, quantity, minute)[minute]
        everything = [value for several in values.values() for value in several]
        mean = pytest.approx(statistics.fmean(map(statistics.fmean, values.values())))
        asked = {"count": 2, "mean": mean, "min": min(everything), "max": max(everything)}

        def told(quantity: str = quantity) -> dict[str, Any]:
            return {
                key: sent(hq, "pens", quantity, minute).get(minute, {}).get(key)
                for key in ("count", "mean", "min", "max")
            }

        assert eventually(lambda told=told, asked=asked: told() == asked, 60), told()  # type: ignore[misc]


def test_a_late_reading_changes_a_summary_that_was_sent(oslo: Stack, hq: Stack) -> None:
    minute = window(now_ms() - HOUR_MS // 2)
    publish(oslo, *(Reading(name, "temperature", 7.0, minute + 9_000) for name in TEMPERATURES))
    before = eventually(lambda: sent(hq, "pens", "temperature", minute).get(minute), 60)
    assert before
    publish(oslo, Reading("pen1-temp", "temperature", 11.5, minute + 12_000))
    assert eventually(lambda: sent(hq, "pens", "temperature", minute)[minute]["max"] == 11.5, 60)
    after = sent(hq, "pens", "temperature", minute)[minute]
    assert after["mean"] > before["mean"]


# When headquarters is out of reach

#: Packets to the store are eaten; the tunnel itself stays.
CUT = """\
table inet cut {
    chain input { type filter hook prerouting priority -300; iifname { "wg0", "wg1" } tcp dport 8086 drop; }
}
"""

#: What the uplink says of itself; nobody but the services may read it.
STATUS = """\
import sqlite3
with sqlite3.connect("file:/srv/fjord-edge/mosquitto/mosquitto.sqlite?mode=ro", uri=True) as database:
    rows = database.execute(
        "SELECT payload FROM retains JOIN base_msgs USING (store_id) WHERE retains.topic = 'status/oslo/uplink'"
    ).fetchall()
print(rows[0][0] if isinstance(rows[0][0], str) else rows[0][0].decode())
"""


def status(oslo: Stack) -> dict[str, Any]:
    said: dict[str, Any] = json.loads(on_node(oslo, "sudo python3 -", stdin=STATUS))
    return said


@contextmanager
def cut(hq: Stack) -> Iterator[None]:
    on_node(hq, "sudo nft -f -", stdin=CUT)
    try:
        yield
    finally:
        on_node(hq, "sudo nft delete table inet cut")


def publish_many(oslo: Stack, sensor: str, quantity: str, times: Sequence[int], value: float) -> None:
    lines = "\n".join(Reading(sensor, quantity, value, each).payload for each in times)
    done = mosquitto_pub(oslo, sensor, f"sensors/{sensor}/{quantity}", None, "-l", stdin=lines)
    assert done.returncode == 0, done.stderr


def test_what_an_outage_kept_back_comes_afterwards_though_the_uplink_is_killed(oslo: Stack, hq: Stack) -> None:
    since = window(now_ms() - HOUR_MS // 2)
    assert eventually(lambda: status(oslo).get("waiting") == 0, 60), status(oslo)
    with cut(hq):
        begun = now_ms()
        # Readings that come late too: their windows were sent, and are wrong at headquarters now.
        late = range(since + 3_000, begun - 2 * WINDOW_MS, WINDOW_MS)
        for sensor in TEMPERATURES:
            publish_many(oslo, sensor, "temperature", late, 6.25)
        while now_ms() < begun + 75_000:
            publish(oslo, *(Reading(sensor, "temperature", 8.5, now_ms()) for sensor in TEMPERATURES))
            time.sleep(5)
        newest = measured(oslo, TEMPERATURES, "temperature", begun)
        assert newest, "the readings of now are there, headquarters or not"
        on_node(oslo, "docker kill uplink && docker start uplink")
        assert eventually(lambda: status(oslo).get("waiting", 0) > 0, 60), status(oslo)
        assert status(oslo)["since"] <= begun
        missing = agrees(hq, oslo, TEMPERATURES, "temperature", since)
        assert len(missing) > 10, "the cut kept nothing back, this shows nothing"
    on_node(oslo, "docker kill uplink && docker start uplink")
    assert eventually(lambda: agrees(hq, oslo, TEMPERATURES, "temperature", since) == {}, 120), agrees(
        hq, oslo, TEMPERATURES, "temperature", since
    )
    kept_back = means(oslo, TEMPERATURES, "temperature", window(begun))
    assert eventually(lambda: kept_back.keys() <= sent(hq, "pens", "temperature", window(begun)).keys(), 150)
    assert eventually(lambda: status(oslo).get("waiting") == 0, 60)


# What is on the wire

#: What comes out of the tunnel for the store, as bytes a connection, and what else comes out of it, as address family,
#: protocol and port or ICMP type; until it is told that it is enough. An answer of headquarters to an uplink that was
#: replaced meanwhile is sent back as unreachable, with that answer's beginning in it (RFC 792): nothing of the site.
SNIFFER = """\
import base64, json, os, socket
sniffer = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3))
sniffer.bind(("wg0", 0))
sniffer.settimeout(1)
connections, others = {}, set()
while not os.path.exists("/run/sniffed-enough"):
    try:
        packet, (_, _, kind, *_) = sniffer.recvfrom(65535)
    except TimeoutError:
        continue
    if kind == socket.PACKET_OUTGOING:
        continue
    if packet[0] >> 4 != 4:
        others.add((6, packet[6], 0))
        continue
    if packet[9] == 1 and packet[20] == 3 and packet[40:44] == packet[16:20]:
        continue
    if packet[9] != 6:
        others.add((4, packet[9], packet[20]))
        continue
    tcp = packet[(packet[0] & 15) * 4:int.from_bytes(packet[2:4], "big")]
    payload = tcp[(tcp[12] >> 4) * 4:]
    if int.from_bytes(tcp[2:4], "big") != 8086:
        others.add((4, 6, int.from_bytes(tcp[2:4], "big")))
    elif payload:
        connection = packet[12:16] + tcp[:2]
        connections.setdefault(connection, {})[int.from_bytes(tcp[4:8], "big")] = payload
print(json.dumps([[[[number, base64.b64encode(part).decode()] for number, part in sorted(parts.items())]
                   for parts in connections.values()], sorted(others)]))
"""


class Capture:
    """What came out of the tunnel."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str]] = []
        self.others: list[list[int]] = []


def requests(connections: list[list[tuple[int, str]]]) -> list[tuple[str, str]]:
    """Head and body of each request that was seen as a whole, bodies unpacked."""
    found = []
    for parts in connections:
        stream, end = b"", None
        for number, part in parts:
            content = base64.b64decode(part)
            if end is None or number == end:
                stream, end = stream + content, number + len(content)
        head, _, body = stream.partition(b"\r\n\r\n")
        if b"content-encoding: gzip" in head.lower():
            body = gzip.decompress(body)
        found.append((head.decode(), body.decode()))
    return found


@contextmanager
def sniffing(hq: Stack) -> Iterator[Capture]:
    seen = Capture()
    on_node(hq, "sudo rm --force /run/sniffed-enough")
    with ThreadPoolExecutor(1) as pool:
        told = pool.submit(on_node, hq, "sudo timeout 280 python3 -", stdin=SNIFFER)
        time.sleep(5)
        try:
            yield seen
        finally:
            on_node(hq, "sudo touch /run/sniffed-enough")
        connections, seen.others = json.loads(told.result())
        seen.requests = requests(connections)


@contextmanager
def short_of_memory(oslo: Stack) -> Iterator[None]:
    """An uplink that has forgotten what it sent, and whose horizon is an hour; to be started by the caller."""
    settings = "/etc/fjord-edge/uplink/settings.json"
    short = f'sed --in-place=.before \'s/"late_horizon_hours": [0-9]*/"late_horizon_hours": 1/\' {settings}'
    on_node(oslo, f"docker kill uplink && sudo rm /srv/fjord-edge/uplink/state.json && sudo {short}")
    try:
        yield
    finally:
        on_node(oslo, f"docker kill uplink && sudo mv {settings}.before {settings} && docker start uplink")


def parts_of(line: str) -> tuple[str, dict[str, str], dict[str, str]]:
    """Measurement, tags and fields."""
    series, fields, _ = line.split(" ")
    measurement, *tags = series.split(",")
    return measurement, dict(tag.split("=") for tag in tags), dict(each.split("=") for each in fields.split(","))


def test_on_the_wire_is_nothing_that_is_not_on_the_allow_list(oslo: Stack, hq: Stack) -> None:
    """Nothing is remembered, so all windows are sent again; a personal one too, since the horizon is short here."""
    last = window(now_ms() - HOUR_MS) - 2 * WINDOW_MS
    taken = measured(oslo, HUMIDITIES, "humidity", last - HOUR_MS)
    minute = next(each for each in range(last, last - HOUR_MS, -WINDOW_MS) if each not in taken)
    for number, sensor in enumerate(HUMIDITIES):
        publish(oslo, Reading(sensor, "humidity", 61.3 + number, minute + 9_000))
    assert eventually(lambda: measured(oslo, HUMIDITIES, "humidity", minute).get(minute), 30)
    with short_of_memory(oslo), sniffing(hq) as seen:
        on_node(oslo, "docker start uplink")
        publish(oslo, Reading("pen2-oxygen", "oxygen", 5.0, now_ms()))
        low = "SELECT raised FROM alarm WHERE rule = 'low' AND raised > 0 AND time > now() - 10m"
        assert eventually(lambda: at_headquarters(hq, "oslo", low), 90)
        publish(oslo, Reading("pen2-oxygen", "oxygen", 9.0, now_ms()))
        assert eventually(lambda: minute in sent(hq, "barge", "humidity", minute), 90)
        assert eventually(lambda: status(oslo).get("waiting") == 0, 60)
    lines = [
        parts_of(line) for head, body in seen.requests if head.startswith("POST /write") for line in body.splitlines()
    ]
    assert seen.others == []
    assert {"summary", "site", "alarm"} <= {measurement for measurement, _, _ in lines}
    for measurement, tags, fields in lines:
        assert tags.keys() <= ALLOWED[measurement].tags
        assert fields.keys() <= ALLOWED[measurement].fields
    personal = [fields for _, tags, fields in lines if tags.get("quantity") == "humidity" and "group" in tags]
    assert {"count": "5i", "mean": "64.0", "stddev": "2.0"} in personal
    assert all(fields.keys() == {"count", "mean", "stddev"} for fields in personal)
    everything = "\n".join(head + body for head, body in seen.requests)
    named = [sensor.id for sensor in oslo.site.iot.sensors if sensor.id in everything]  # type: ignore[union-attr]
    assert named == []
