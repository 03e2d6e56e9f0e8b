"""The services' configuration as the services read it."""

import json
import tomllib
from ipaddress import IPv4Address
from typing import Any

import pytest

from components._canary import canary_files
from components._influxdb import INFLUXDB_CONF, influxdb
from components._own import USERS, own_service
from components._services import Port
from components.iot_stack import containers
from components.iot_stack.mosquitto import MAX_INFLIGHT, acl, mosquitto_files
from components.iot_stack.services import alarm_settings, uplink_settings
from components.iot_stack.telegraf import telegraf_files
from components.iot_stack.users import broker_users
from config.base import ConfigError
from config.derive import CertifiedKey, MqttUser
from config.iot import SERVICES, Images, Iot
from services._settings import Database
from tests.sites import section, site_section

AUTHORITY = CertifiedKey(private="CA KEY", certificate="CA")
SERVER = CertifiedKey(private="KEY", certificate="CERTIFICATE")
ADDRESSES = [IPv4Address("10.20.0.12"), IPv4Address("10.20.1.12")]


def user(name: str) -> MqttUser:
    return MqttUser(name=name, password=f"{name}'s password", password_hash=f"${name}$hash")


def iot(**changed: Any) -> Iot:
    return Iot.parse(section("oslo")["iot"] | changed, file="")


USERS_OF_OSLO = broker_users(iot(), "oslo", user)


def grants(name: str) -> set[str]:
    [block] = [block for block in acl(USERS_OF_OSLO).split("\n\n") if block.startswith(f"user {name}\n")]
    return {line.removeprefix("topic ") for line in block.splitlines()[1:]}


def telegraf() -> dict[str, Any]:
    files = telegraf_files(iot(), user("telegraf"), ("telegraf-1", 'pass"word\\'))
    return tomllib.loads(files["telegraf.conf"])


def mosquitto(plain: IPv4Address | None = None) -> dict[str, str]:
    ports = containers.broker_ports(ADDRESSES, plain)
    return mosquitto_files(USERS_OF_OSLO, AUTHORITY, SERVER, ports=ports, queued_messages=iot().queued_messages)


def test_the_collector_acknowledges_a_reading_when_it_is_stored() -> None:
    [broker] = telegraf()["inputs"]["mqtt_consumer"]
    assert (broker["qos"], broker["persistent_session"]) == (1, True)
    assert broker["servers"] == ["tcp://mosquitto:1883"]


def test_nothing_waits_for_a_batch_that_the_broker_never_sends() -> None:
    agent, [broker] = telegraf()["agent"], telegraf()["inputs"]["mqtt_consumer"]
    assert agent["metric_batch_size"] <= broker["max_undelivered_messages"] <= MAX_INFLIGHT
    assert agent["metric_buffer_limit"] >= broker["max_undelivered_messages"]
    assert f"max_inflight_messages {MAX_INFLIGHT}" in mosquitto()["mosquitto.conf"].splitlines()


def test_passwords_are_quoted_as_toml_wants() -> None:
    [database] = telegraf()["outputs"]["influxdb"]
    assert database["password"] == 'pass"word\\'
    assert telegraf()["inputs"]["mqtt_consumer"][0]["password"] == "telegraf's password"


def test_a_sensor_and_a_gateway_write_their_own_readings_and_read_none() -> None:
    assert grants("pen1-temp") == {"write sensors/pen1-temp/+"}
    assert grants("gateway-pen2") == {"write sensors/pen2-temp/+", "write sensors/pen2-oxygen/+"}


def test_no_device_can_have_a_services_name() -> None:
    names = [user.user.name for user in USERS_OF_OSLO]
    assert len(set(names)) == len(names)
    for name in SERVICES:
        sensors = [*section("oslo")["iot"]["sensors"], {"id": name, "pen": "pen-1", "quantities": ["temperature"]}]
        with pytest.raises(ConfigError, match="is a service's own name at the broker; give the device another"):
            iot(sensors=sensors)


def test_each_listener_of_the_broker_is_tls_but_the_one_for_the_containers_beside_it() -> None:
    main, beside, *listeners = mosquitto()["mosquitto.conf"].split("\nlistener ")
    assert beside.splitlines() == ["1883", "use_username_as_clientid true"]
    assert [listener.splitlines()[0] for listener in listeners] == ["8883", "8884"]
    for listener in listeners:
        assert "keyfile /mosquitto/config/server.key" in listener.splitlines()
        assert "use_username_as_clientid true" in listener.splitlines()
    assert "allow_anonymous false" in main.splitlines()
    assert not [line for line in main.splitlines() if line.startswith(("listener", "port"))]


def test_plain_mqtt_is_published_where_the_site_asks_for_it_and_nowhere_else() -> None:
    def plain(address: IPv4Address | None) -> list[Port]:
        return [port for port in containers.broker_ports(ADDRESSES, address) if 1883 in (port.external, port.internal)]

    assert plain(ADDRESSES[1]) == [Port(address=ADDRESSES[1], external=1883, internal=1883)]
    assert plain(None) == []
    assert mosquitto(plain=ADDRESSES[1]) == mosquitto()


def test_a_log_in_that_fails_is_in_the_brokers_log() -> None:
    """Mosquitto 2.1.2 says "disconnected: not authorised" as a notice, and only so."""
    lines = mosquitto()["mosquitto.conf"].splitlines()
    assert {"log_type notice", "connection_messages true"} <= set(lines)


def test_the_queue_holds_six_hours_of_all_sensors() -> None:
    assert "max_queued_messages 100000" in mosquitto()["mosquitto.conf"].splitlines()
    sensors = [sensor | {"everySeconds": 1} for sensor in section("oslo")["iot"]["sensors"]]
    busy = iot(sensors=sensors)
    assert busy.queued_messages == 10 * 6 * 3600


def test_everyone_who_may_log_in_has_a_line_and_no_password_is_in_it() -> None:
    lines = mosquitto()["passwords"].splitlines()
    assert lines == [f"{user.user.name}:{user.user.password_hash}" for user in USERS_OF_OSLO]


def test_the_broker_has_its_own_key_and_never_the_authoritys() -> None:
    files = mosquitto()
    assert (files["server.key"], files["ca.crt"]) == ("KEY", "CA")
    assert not [name for name, text in files.items() if "CA KEY" in text]


def test_the_database_asks_for_a_password_and_loses_nothing_it_acknowledged() -> None:
    settings = tomllib.loads(INFLUXDB_CONF)
    assert settings["http"]["auth-enabled"] is True
    assert settings["data"]["wal-fsync-delay"] == "0s"
    assert settings["reporting-disabled"] is True
    assert settings["bind-address"].startswith("127.0.0.1:")


def test_the_databases_cache_fits_its_container() -> None:
    settings = tomllib.loads(INFLUXDB_CONF)["data"]
    cache, snapshot = (
        int(settings[key].removesuffix("m")) for key in ("cache-max-memory-size", "cache-snapshot-memory-size")
    )
    assert snapshot < cache < influxdb("x").memory_mib / 4


def test_nobody_but_the_alarms_raises_one() -> None:
    writing = {user.user.name: [t for access, t in user.grants if access != "read"] for user in USERS_OF_OSLO}
    assert [name for name, topics in writing.items() if "alerts/oslo/#" in topics] == ["alarms"]
    devices = {name: topics for name, topics in writing.items() if name not in SERVICES}
    assert all(topic.startswith("sensors/") for topics in devices.values() for topic in topics)


def test_the_uplink_reads_alarms_and_writes_nothing_but_how_it_does() -> None:
    assert grants("uplink") == {"read alerts/oslo/#", "readwrite status/oslo/uplink"}


def uplink(**changed: Any) -> Any:
    headquarters = Database(url="http://10.100.0.1:8086", name="site_oslo", user="oslo-1", password="secret")
    return uplink_settings(iot(**changed), "oslo", user, influxdb_password="local", headquarters=headquarters)


def test_only_what_is_declared_not_personal_leaves_unrounded() -> None:
    steps = {(group.name, group.quantity): group.step for group in uplink().groups}
    assert steps == {("pens", "temperature"): None, ("pens", "oxygen"): None, ("barge", "humidity"): 2}
    assert all(group.min_sensors >= 5 for group in uplink().groups if group.step)


def test_the_uplinks_settings_show_no_password_in_a_message() -> None:
    shown = repr(uplink())
    assert not [word for word in ("secret", "local'", "uplink's password") if word in shown]


def test_a_sensors_own_limit_takes_the_place_of_its_quantitys() -> None:
    settings = alarm_settings(iot(), "oslo", user, certificates={}, webhook_key="")
    lows = {rule.sensor: rule.low for rule in settings.rules if rule.quantity == "oxygen"}
    assert lows == {"pen1-oxygen": 7, "pen2-oxygen": 6.5}
    assert not [rule for rule in settings.rules if rule.quantity == "humidity"]


def test_a_sensor_that_sends_seldom_may_miss_three_readings_before_it_is_silent() -> None:
    sensors = section("oslo")["iot"]["sensors"]
    sensors[0]["everySeconds"] = 600
    settings = alarm_settings(iot(sensors=sensors), "oslo", user, certificates={}, webhook_key="")
    assert [sensor.silent_seconds for sensor in settings.sensors][:2] == [1800, 120]


def test_each_service_has_a_user_of_its_own() -> None:
    images = Images.parse(section("oslo")["iot"]["images"], file="")
    services = [
        containers.mosquitto(images, []),
        influxdb(images.influxdb),
        containers.telegraf(images),
        *(own_service(name, images.services, memory_mib=64, cpu_shares=256) for name in USERS),
    ]
    assert len({service.user for service in services}) == len(services)
    assert all(service.user > 0 for service in services)


def test_a_mirror_has_the_same_images_under_the_same_digests() -> None:
    digest = "@sha256:" + 64 * "0"
    images = {name: f"docker.io/library/{name}{digest}" for name in ("mosquitto", "telegraf")}
    images["influxdb"] = f"influxdb{digest}"
    mirrored = Images.parse(images | {"mirror": "mirror.example.com:5000/farm"}, file="")
    assert mirrored.pulled("telegraf") == f"mirror.example.com:5000/farm/library/telegraf{digest}"
    assert mirrored.pulled("influxdb") == f"mirror.example.com:5000/farm/influxdb{digest}"
    assert Images.parse(images, file="").pulled("telegraf") == images["telegraf"]


def test_a_canary_is_told_what_the_container_is_and_none_of_its_data() -> None:
    service = containers.mosquitto(site_section("oslo").iot.images, [])  # type: ignore[union-attr]
    [program, told] = canary_files(service)
    assert program.path == "/usr/local/lib/fjord-edge/canary-mosquitto"
    asked = json.loads(told.contents)
    assert asked["files"] == service.configuration_directory
    assert "/srv/fjord-edge" not in told.contents


@pytest.mark.parametrize("service", ["mosquitto", "telegraf"])
def test_a_service_lives_in_a_slice_that_bounds_its_processes(service: str) -> None:
    of = getattr(containers, service)
    images = site_section("oslo").iot.images  # type: ignore[union-attr]
    made = of(images, []) if service == "mosquitto" else of(images)
    [file] = [file for file in made.files({}) if file.path.endswith(".slice")]
    assert file.path == f"/etc/systemd/system/{made.slice}"
    assert "TasksMax=256" in file.contents.splitlines()
