"""The services' configuration as the services read it."""

import json
import tomllib
from ipaddress import IPv4Address
from types import SimpleNamespace
from typing import Any

import pytest

from components._influxdb import INFLUXDB_CONF, influxdb
from components.iot_stack import containers
from components.iot_stack.mosquitto import MAX_INFLIGHT, BrokerUsers, acl, mosquitto_files
from components.iot_stack.telegraf import telegraf_files
from config.derive import CertifiedKey, MqttUser
from config.site import Images, Sensor

SENSORS = [Sensor(id="pen1-temp", pen="pen-1"), Sensor(id="pen2-oxygen", pen="pen-2")]
AUTHORITY = CertifiedKey(private="CA KEY", certificate="CA")
SERVER = CertifiedKey(private="KEY", certificate="CERTIFICATE")


def user(name: str) -> MqttUser:
    return MqttUser(name=name, password=f"{name}'s password", password_hash=f"${name}$hash")


USERS = BrokerUsers(sensors=[user(sensor.id) for sensor in SENSORS], collector=user("telegraf"), health=user("health"))


def telegraf() -> dict[str, Any]:
    files = telegraf_files(SENSORS, user("telegraf"), 'pass"word\\', AUTHORITY)
    return tomllib.loads(files["telegraf.conf"])


def test_the_collector_acknowledges_a_reading_when_it_is_stored() -> None:
    [broker] = telegraf()["inputs"]["mqtt_consumer"]
    assert (broker["qos"], broker["persistent_session"]) == (1, True)
    assert broker["servers"] == ["ssl://mosquitto:8883"]
    assert broker["max_undelivered_messages"] == MAX_INFLIGHT
    assert telegraf()["agent"]["metric_batch_size"] <= MAX_INFLIGHT


def test_a_reading_has_its_own_time_and_tags() -> None:
    [broker] = telegraf()["inputs"]["mqtt_consumer"]
    assert broker["topic_parsing"] == [{"topic": "sensors/+/+", "tags": "_/sensor/quantity"}]
    [reading] = broker["json_v2"]
    assert reading["field"] == [
        {"path": "value", "type": "float"},
        {"path": "time", "type": "int", "optional": True},
    ]


@pytest.mark.parametrize(
    ("fields", "time"), [({"value": 7.5, "time": 1_700_000_000_123}, 1_700_000_000_123_000_000), ({"value": 7.5}, 1)]
)
def test_a_readings_time_is_its_own_in_nanoseconds_or_that_of_its_arrival(fields: dict[str, Any], time: int) -> None:
    """Starlark of this kind is Python."""
    [processor] = telegraf()["processors"]["starlark"]
    program: dict[str, Any] = {}
    exec(processor["source"], program)  # noqa: S102  our own text
    metric = program["apply"](SimpleNamespace(fields=dict(fields), time=1))
    assert (metric.fields, metric.time) == ({"value": 7.5}, time)


def test_passwords_are_quoted_as_toml_wants() -> None:
    [database] = telegraf()["outputs"]["influxdb"]
    assert database["password"] == 'pass"word\\'
    assert telegraf()["inputs"]["mqtt_consumer"][0]["password"] == "telegraf's password"


def test_the_collector_knows_each_sensors_pen() -> None:
    files = telegraf_files(SENSORS, user("telegraf"), "", AUTHORITY)
    assert json.loads(files["pens.json"]) == {"pen1-temp": {"pen": "pen-1"}, "pen2-oxygen": {"pen": "pen-2"}}
    assert telegraf()["processors"]["lookup"][0]["key"] == '{{.Tag "sensor"}}'


def test_a_sensor_writes_its_own_readings_and_reads_none() -> None:
    assert acl(USERS) == (
        "user telegraf\ntopic read sensors/+/+\n"
        "\n"
        "user health\ntopic read $SYS/broker/uptime\n"
        "\n"
        "user pen1-temp\ntopic write sensors/pen1-temp/+\n"
        "\n"
        "user pen2-oxygen\ntopic write sensors/pen2-oxygen/+\n"
    )


def test_each_listener_of_the_broker_is_tls_and_there_is_no_other() -> None:
    main, *listeners = mosquitto_files(USERS, AUTHORITY, SERVER, [8883, 8884])["mosquitto.conf"].split("\nlistener ")
    assert [listener.splitlines()[0] for listener in listeners] == ["8883", "8884"]
    for listener in listeners:
        assert "keyfile /mosquitto/config/server.key" in listener.splitlines()
    assert "allow_anonymous false" in main.splitlines()
    assert not [line for line in main.splitlines() if line.startswith(("listener", "port"))]


def test_everyone_who_may_log_in_has_a_line_and_no_password_is_in_it() -> None:
    files = mosquitto_files(USERS, AUTHORITY, SERVER, [8883])
    assert files["passwords"] == (
        "pen1-temp:$pen1-temp$hash\npen2-oxygen:$pen2-oxygen$hash\ntelegraf:$telegraf$hash\nhealth:$health$hash\n"
    )


def test_the_broker_has_its_own_key_and_never_the_authoritys() -> None:
    files = mosquitto_files(USERS, AUTHORITY, SERVER, [8883])
    assert (files["server.key"], files["ca.crt"]) == ("KEY", "CA")
    assert not [name for name, text in files.items() if "CA KEY" in text]


def test_the_database_asks_for_a_password_and_loses_nothing_it_acknowledged() -> None:
    settings = tomllib.loads(INFLUXDB_CONF)
    assert settings["http"]["auth-enabled"] is True
    assert settings["data"]["wal-fsync-delay"] == "0s"
    assert settings["reporting-disabled"] is True


def test_each_service_has_a_user_of_its_own() -> None:
    digest = "x@sha256:" + 64 * "0"
    images = Images(mosquitto=digest, telegraf=digest, influxdb=digest)
    services = [
        containers.mosquitto(images, [IPv4Address("10.20.0.12")]),
        influxdb(images.influxdb),
        containers.telegraf(images),
    ]
    assert len({service.user for service in services}) == len(services)
    assert all(service.user > 0 for service in services)
