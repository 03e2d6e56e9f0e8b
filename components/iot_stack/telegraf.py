"""The collector's configuration: readings from the broker into the database, each once, with its own time and tags."""

import json
from pathlib import Path

from components._influxdb import INFLUXDB_PORT
from components._services import LOOPBACK
from components.iot_stack.containers import HEALTH_PORT, MQTT_PORT, TUNNEL_HEALTH_PORT
from config.derive import MqttUser
from config.iot import Iot

#: Readings in one write, and those that may be unacknowledged: as many as the broker lets be.
BATCH, UNDELIVERED = 1000, 5000

#: How far before its time a reading may be; clocks of sensors are not synchronised.
FUTURE_SECONDS = 300

#: Of each minute, sensor and reason so many payloads that are no readings are kept, cut to so many bytes.
KEPT_REJECTED, KEPT_BYTES = 10, 200

#: InfluxDB drops what is older than the retention without a word; so close to it a reading is refused, and counted.
_EDGE_MS = 3_600_000

DATABASE = "iot_data"
MEASUREMENT = "reading"
REJECTED = "rejected"

_CONF = """\
[agent]
interval = "10s"
flush_interval = "50ms"
metric_batch_size = {batch}
metric_buffer_limit = {buffer}
omit_hostname = true
quiet = true

[[inputs.mqtt_consumer]]
servers = ["tcp://mosquitto:{mqtt_port}"]
username = {mqtt_user}
password = {mqtt_password}
client_id = "telegraf"
persistent_session = true
qos = 1
max_undelivered_messages = {undelivered}
max_reconnect_interval = "5s"
startup_error_behavior = "retry"
topics = ["sensors/+/+"]
topic_tag = ""
name_override = "{measurement}"
data_format = "value"
data_type = "string"

[[inputs.mqtt_consumer.topic_parsing]]
topic = "sensors/+/+"
tags = "_/sensor/quantity"

[[processors.starlark]]
namepass = ["{measurement}"]
script = "/etc/telegraf/readings.star"
"""

#: Into the database, and to Docker's health check.
_OUTPUTS = """
[[inputs.internal]]
collect_memstats = false

[[outputs.influxdb]]
namepass = {measurements}
urls = ["http://{host}:{influxdb_port}"]
database = "{database}"
skip_database_creation = true
username = {user}
password = {password}
timeout = "5s"

[[outputs.health]]
namepass = ["internal_agent"]
service_address = "http://{loopback}:{health_port}"
"""


def telegraf_files(iot: Iot, user: MqttUser, account: tuple[str, str]) -> dict[str, str]:
    """Render the collector's files by name."""
    return {
        "telegraf.conf": _CONF.format(
            batch=BATCH,
            undelivered=UNDELIVERED,
            buffer=2 * UNDELIVERED,
            mqtt_port=MQTT_PORT,
            mqtt_user=_toml(user.name),
            mqtt_password=_toml(user.password),
            measurement=MEASUREMENT,
        )
        + _outputs([MEASUREMENT, REJECTED], host="influxdb", account=account, health_port=HEALTH_PORT),
        "readings.star": readings_star(iot),
    }


def readings_star(iot: Iot) -> str:
    """Render the program that makes readings of messages: Starlark, with the site's sensors in it."""
    sensors = {sensor.id: [sensor.pen, dict.fromkeys(sensor.quantities, 1)] for sensor in iot.sensors}
    program = (Path(__file__).parent / "readings.star").read_text()
    return (
        f"{program}\n"
        f"FUTURE_MS = {FUTURE_SECONDS * 1000}\n"
        f"RETENTION_MS = {iot.storage.retention_days * 86_400_000 - _EDGE_MS}\n"
        f"KEPT = {KEPT_REJECTED}\n"
        f"PAYLOAD_BYTES = {KEPT_BYTES}\n"
        f"SENSORS = {json.dumps(sensors, indent=4)}\n"
    )


_TUNNEL_CONF = """\
[agent]
interval = "30s"
flush_interval = "10s"
metric_buffer_limit = 2000
omit_hostname = true
quiet = true

# Those that are there: the hub has a second one while its key is changed.
[[inputs.wireguard]]
"""


def tunnel_files(account: tuple[str, str]) -> dict[str, str]:
    """Render the files of the tunnels' collector by name."""
    return {
        "telegraf.conf": _TUNNEL_CONF
        + _outputs(["wireguard_*"], host=str(LOOPBACK), account=account, health_port=TUNNEL_HEALTH_PORT)
    }


def _outputs(measurements: list[str], *, host: str, account: tuple[str, str], health_port: int) -> str:
    user, password = account
    return _OUTPUTS.format(
        measurements=json.dumps(measurements),
        host=host,
        influxdb_port=INFLUXDB_PORT,
        database=DATABASE,
        user=_toml(user),
        password=_toml(password),
        loopback=LOOPBACK,
        health_port=health_port,
    )


def _toml(text: str) -> str:
    """A TOML basic string; JSON's escapes are a subset of TOML's."""
    return json.dumps(text)
