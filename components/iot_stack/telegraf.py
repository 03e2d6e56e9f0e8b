"""The collector's configuration: readings from the broker into the database, each once, with its own time and tags."""

import json
from collections.abc import Sequence

from components._influxdb import INFLUXDB_PORT
from components._services import LOOPBACK
from components.iot_stack.containers import HEALTH_PORT, MQTT_TLS_PORT, TUNNEL_HEALTH_PORT
from components.iot_stack.mosquitto import MAX_INFLIGHT
from config.derive import CertifiedKey, MqttUser
from config.site import Sensor

#: Readings in one write; not more than the broker lets be unacknowledged.
BATCH = MAX_INFLIGHT

DATABASE = "iot_data"
MEASUREMENT = "reading"

_CONF = """\
[agent]
interval = "10s"
flush_interval = "200ms"
metric_batch_size = {batch}
metric_buffer_limit = {buffer}
omit_hostname = true
quiet = true

[[inputs.mqtt_consumer]]
servers = ["ssl://mosquitto:{mqtt_port}"]
tls_ca = "/etc/telegraf/ca.crt"
username = {mqtt_user}
password = {mqtt_password}
client_id = "telegraf"
persistent_session = true
qos = 1
max_undelivered_messages = {batch}
topics = ["sensors/+/+"]
topic_tag = ""
name_override = "{measurement}"
data_format = "json_v2"

[[inputs.mqtt_consumer.topic_parsing]]
topic = "sensors/+/+"
tags = "_/sensor/quantity"

[[inputs.mqtt_consumer.json_v2]]

[[inputs.mqtt_consumer.json_v2.field]]
path = "value"
type = "float"

# Optional, which the parser's own timestamp_path cannot be.
[[inputs.mqtt_consumer.json_v2.field]]
path = "time"
type = "int"
optional = true

[[processors.starlark]]
namepass = ["{measurement}"]
order = 1
source = '''
def apply(metric):
    milliseconds = metric.fields.pop("time", None)
    if milliseconds != None:
        metric.time = milliseconds * 1000000
    return metric
'''

[[processors.lookup]]
namepass = ["{measurement}"]
order = 2
files = ["/etc/telegraf/pens.json"]
format = "json"
key = '{{{{.Tag "sensor"}}}}'
"""

#: Into the database, and to Docker's health check.
_OUTPUTS = """
[[inputs.internal]]
collect_memstats = false

[[outputs.influxdb]]
namepass = ["{measurements}"]
urls = ["http://{host}:{influxdb_port}"]
database = "{database}"
skip_database_creation = true
username = "telegraf"
password = {password}
timeout = "5s"

[[outputs.health]]
namepass = ["internal_agent"]
service_address = "http://{loopback}:{health_port}"
"""


def telegraf_files(
    sensors: Sequence[Sensor], user: MqttUser, influxdb_password: str, authority: CertifiedKey
) -> dict[str, str]:
    """Render the collector's files by name."""
    return {
        "telegraf.conf": _CONF.format(
            batch=BATCH,
            buffer=10 * BATCH,
            mqtt_port=MQTT_TLS_PORT,
            mqtt_user=_toml(user.name),
            mqtt_password=_toml(user.password),
            measurement=MEASUREMENT,
        )
        + _outputs(MEASUREMENT, host="influxdb", password=influxdb_password, health_port=HEALTH_PORT),
        "pens.json": json.dumps({sensor.id: {"pen": sensor.pen} for sensor in sensors}, indent=2) + "\n",
        "ca.crt": authority.certificate,
    }


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


def tunnel_files(influxdb_password: str) -> dict[str, str]:
    """Render the files of the tunnels' collector by name."""
    return {
        "telegraf.conf": _TUNNEL_CONF
        + _outputs("wireguard_*", host=str(LOOPBACK), password=influxdb_password, health_port=TUNNEL_HEALTH_PORT)
    }


def _outputs(measurements: str, *, host: str, password: str, health_port: int) -> str:
    return _OUTPUTS.format(
        measurements=measurements,
        host=host,
        influxdb_port=INFLUXDB_PORT,
        database=DATABASE,
        password=_toml(password),
        loopback=LOOPBACK,
        health_port=health_port,
    )


def _toml(text: str) -> str:
    """A TOML basic string; JSON's escapes are a subset of TOML's."""
    return json.dumps(text)
