"""What devices may send, and what becomes of what is no reading."""

import json

import pytest

from components.iot_stack.mosquitto import MAX_PACKET
from components.iot_stack.telegraf import FUTURE_SECONDS, KEPT_BYTES, KEPT_REJECTED
from lab.sensors import Reading, mosquitto_pub, now_ms, on_node, publish, query
from lab.stacks import Stack
from tests.e2e.waiting import eventually

DAY_MS = 86_400_000


def stored(oslo: Stack, reading: Reading) -> list[dict[str, object]]:
    where = f"sensor = '{reading.sensor}' AND time = {reading.time}ms"
    return query(oslo, f"SELECT value FROM reading WHERE {where}")


def rejected(oslo: Stack, reason: str, since: int) -> list[dict[str, object]]:
    where = f"reason = '{reason}' AND time >= {since // 60_000 * 60_000}ms"
    return query(oslo, f"SELECT count, payload, sensor FROM rejected WHERE {where}")


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        ("garbage", "no JSON object"),
        ('{"value": NaN}', "no JSON object"),
        ('{"value": 1e999}', "no JSON object"),
        ('{"value": "8.5"}', "value is no number"),
        ('{"value": true}', "value is no number"),
        ('{"value": 8.5, "time": "noon"}', "time is no number"),
    ],
)
def test_what_is_no_reading_is_kept_and_told_why(oslo: Stack, payload: str, reason: str) -> None:
    is_kept(oslo, payload, reason)


@pytest.mark.parametrize(
    ("from_now", "reason"),
    [(FUTURE_SECONDS * 1000 + 600_000, "time is in the future"), (-401 * DAY_MS, "time is past")],
)
def test_a_time_that_cannot_be_is_kept_and_told_why(oslo: Stack, from_now: int, reason: str) -> None:
    is_kept(oslo, json.dumps({"value": 8.5, "time": now_ms() + from_now}), reason)


def is_kept(oslo: Stack, payload: str, reason: str) -> None:
    """Publish what is no reading; it is found aside."""
    begun = now_ms()
    assert mosquitto_pub(oslo, "mess-climate", "sensors/mess-climate/humidity", payload).returncode == 0
    kept = eventually(lambda: [row for row in rejected(oslo, reason, begun) if row["payload"] == payload], 30)
    assert kept, rejected(oslo, reason, begun)
    assert {row["sensor"] for row in kept} == {"mess-climate"}


def test_a_quantity_that_nobody_declared_is_kept_aside(oslo: Stack) -> None:
    begun, payload = now_ms(), '{"value": 35.1}'
    assert mosquitto_pub(oslo, "mess-climate", "sensors/mess-climate/turbidity", payload).returncode == 0
    assert eventually(lambda: rejected(oslo, "unknown quantity", begun), 30)
    assert "turbidity" not in {row["value"] for row in query(oslo, "SHOW TAG VALUES FROM reading WITH KEY = quantity")}


def test_a_big_payload_is_cut_and_a_huge_one_is_refused_before_it_is_acknowledged(oslo: Stack) -> None:
    begun, topic = now_ms(), "sensors/cabin-climate/humidity"
    assert mosquitto_pub(oslo, "cabin-climate", topic, "x" * (MAX_PACKET // 2)).returncode == 0
    [kept] = eventually(
        lambda: [r for r in rejected(oslo, "no JSON object", begun) if r["sensor"] == "cabin-climate"], 30
    )
    assert kept["payload"] == "x" * KEPT_BYTES
    assert mosquitto_pub(oslo, "cabin-climate", topic, "x" * MAX_PACKET).returncode != 0


def test_a_flood_of_garbage_is_counted_and_takes_no_room(oslo: Stack) -> None:
    begun, number = now_ms(), 300
    lines = "\n".join(f"garbage {index}" for index in range(number))
    done = mosquitto_pub(oslo, "store-climate", "sensors/store-climate/humidity", None, "-l", stdin=lines)
    assert done.returncode == 0

    def counted() -> int:
        """The last count of each minute that it took."""
        rows = [row for row in rejected(oslo, "no JSON object", begun) if row["sensor"] == "store-climate"]
        assert len(rows) <= 2 * (KEPT_REJECTED + 1)
        minutes = {int(str(row["time"])) // 60_000 for row in rows}
        return sum(max(int(str(r["count"])) for r in rows if int(str(r["time"])) // 60_000 == m) for m in minutes)

    assert eventually(lambda: counted() == number, 60), counted()


def test_late_repeated_and_disordered_readings_end_up_right(oslo: Stack) -> None:
    begun = now_ms()
    readings = [Reading("pen1-oxygen", "oxygen", 8 + number / 10, begun - 3_600_000 * number) for number in range(6)]
    publish(oslo, *[readings[number] for number in (3, 0, 5, 3, 1, 4, 2, 0)])
    assert eventually(lambda: all(stored(oslo, reading) for reading in readings), 60)
    for reading in readings:
        assert [row["value"] for row in stored(oslo, reading)] == [reading.value]


def test_a_gateway_writes_for_its_sensors_and_for_no_other(oslo: Stack) -> None:
    own, foreign = (Reading(sensor, "temperature", 8.25, now_ms()) for sensor in ("pen2-temp", "pen1-temp"))
    mosquitto_pub(oslo, "gateway-pen2", foreign.topic, foreign.payload)
    mosquitto_pub(oslo, "gateway-pen2", own.topic, own.payload)
    assert eventually(lambda: stored(oslo, own), 30)
    assert stored(oslo, foreign) == []


def test_no_device_takes_the_collectors_session_by_its_name(oslo: Stack) -> None:
    before = on_node(oslo, "docker logs telegraf 2>&1 | grep -c 'connection lost' || true")
    forged = mosquitto_pub(oslo, "pen1-temp", "sensors/pen1-temp/temperature", '{"value": 8.5}', "-i", "telegraf")
    assert forged.returncode == 0
    assert on_node(oslo, "docker logs telegraf 2>&1 | grep -c 'connection lost' || true") == before
    reading = Reading("pen1-temp", "temperature", 8.75, now_ms())
    publish(oslo, reading)
    assert eventually(lambda: stored(oslo, reading), 30)


def test_the_database_keeps_readings_for_as_long_as_the_site_says(oslo: Stack) -> None:
    [policy] = [row for row in query(oslo, "SHOW RETENTION POLICIES") if row["default"]]
    assert (policy["duration"], policy["shardGroupDuration"]) == ("9600h0m0s", "24h0m0s")


def test_nobody_waits_for_one_devices_flood(oslo: Stack) -> None:
    lan = oslo.site.node.network.lan
    assert lan
    flood, topic = "\n".join(["y" * 4000] * 2000), "sensors/bridge-climate/humidity"
    mosquitto_pub(
        oslo, "bridge-climate", topic, None, "-l", "-q", "0", stdin=flood, address=lan.address.ip, limit_seconds=6
    )
    gateway = next(lan.address.network.hosts())
    assert str(gateway) in on_node(oslo, "sudo nft --json list set inet fjord_edge senders"), "its bytes are counted"
    reading = Reading("pen1-temp", "temperature", 9.25, now_ms())
    publish(oslo, reading)
    assert eventually(lambda: stored(oslo, reading), 10)
