"""From a sensor to the database, over TLS, by a standard client."""

import pytest

from lab.sensors import Reading, mosquitto_pub, now_ms, on_node, publish, query
from lab.stacks import Stack
from tests.e2e.waiting import eventually


def stored(oslo: Stack, reading: Reading) -> list[dict[str, object]]:
    return query(oslo, f"SELECT value FROM reading WHERE time = {reading.time}ms GROUP BY *")


def test_a_reading_arrives_with_its_own_time_and_tags(oslo: Stack) -> None:
    an_hour_ago = Reading("pen1-temp", "temperature", 7.25, now_ms() - 3_600_000)
    publish(oslo, an_hour_ago)
    rows = eventually(lambda: stored(oslo, an_hour_ago), 30)
    assert rows == [
        {"time": an_hour_ago.time, "value": 7.25, "sensor": "pen1-temp", "quantity": "temperature", "pen": "pen-1"}
    ]


def test_a_reading_without_a_time_gets_that_of_its_arrival(oslo: Stack) -> None:
    before = now_ms()
    assert mosquitto_pub(oslo, "pen2-temp", "sensors/pen2-temp/temperature", '{"value": 6.5}').returncode == 0
    statement = f"SELECT value FROM reading WHERE sensor = 'pen2-temp' AND value = 6.5 AND time >= {before - 5000}ms"
    rows = eventually(lambda: query(oslo, statement), 30)
    assert [row["value"] for row in rows] == [6.5]
    assert abs(rows[0]["time"] - before) < 30_000


def test_another_field_is_dropped(oslo: Stack) -> None:
    reading = Reading("pen1-oxygen", "oxygen", 9.5, now_ms())
    payload = reading.payload.replace("}", ', "operator": "Kari"}')
    assert mosquitto_pub(oslo, reading.sensor, reading.topic, payload).returncode == 0
    assert eventually(lambda: stored(oslo, reading), 30)
    assert [row["fieldKey"] for row in query(oslo, "SHOW FIELD KEYS FROM reading")] == ["value"]


def test_what_a_device_ends_by_nul_or_fills_with_tabs_is_a_reading(oslo: Stack) -> None:
    """As for the alarms: services/alarms/readings.py."""
    readings = [Reading("pen1-oxygen", "oxygen", 9.25, now_ms() - 1000 * number) for number in range(2)]
    ended, filled = (reading.payload for reading in readings)
    for reading, payload in zip(readings, (f"{ended}\0", filled.replace("}", ', "note": "a\tb"}')), strict=True):
        assert mosquitto_pub(oslo, reading.sensor, reading.topic, None, "-s", stdin=payload).returncode == 0
    assert eventually(lambda: all(stored(oslo, reading) for reading in readings), 30)


def test_a_sensor_cannot_write_anothers_readings(oslo: Stack) -> None:
    forged = Reading("pen2-oxygen", "oxygen", 0.1, now_ms())
    mosquitto_pub(oslo, "pen1-oxygen", forged.topic, forged.payload)
    # One that is allowed, published later, shows that the forged one had its time.
    later = Reading("pen1-oxygen", "oxygen", 9.0, now_ms())
    publish(oslo, later)
    assert eventually(lambda: stored(oslo, later), 30)
    assert stored(oslo, forged) == []


def test_nobody_is_anonymous(oslo: Stack) -> None:
    done = mosquitto_pub(oslo, None, "sensors/pen1-temp/temperature", '{"value": 1}')
    assert done.returncode != 0
    assert "not authori" in done.stderr.lower()


def test_the_database_asks_for_a_password(oslo: Stack) -> None:
    status = on_node(oslo, "curl -s -o /dev/null -w '%{http_code}' 'http://127.0.0.1:8086/query?q=SHOW+DATABASES'")
    assert status == "401"


@pytest.mark.parametrize("port", [1883, 8086, 8088])
def test_nothing_else_listens_beyond_the_node(oslo: Stack, port: int) -> None:
    listening = on_node(oslo, f"ss --tcp --listening --numeric --no-header 'sport = :{port}'")
    assert all("127.0.0.1" in line for line in listening.splitlines())


def test_all_containers_are_healthy(oslo: Stack) -> None:
    def states() -> list[str]:
        return on_node(oslo, "docker ps --format '{{.Names}} {{.Status}}'").splitlines()

    assert eventually(lambda: len(states()) == 7 and all("(healthy)" in state for state in states()), 90), states()


def test_bbr_holds_inside_the_containers(oslo: Stack) -> None:
    for name in ("mosquitto", "influxdb", "telegraf", "telegraf-mesh", "alarms", "uplink", "page"):
        pid = on_node(oslo, f"docker inspect --format '{{{{.State.Pid}}}}' {name}").strip()
        control = on_node(
            oslo, f"sudo nsenter --net --target {pid} /sbin/sysctl --values net.ipv4.tcp_congestion_control"
        )
        assert control.strip() == "bbr"
