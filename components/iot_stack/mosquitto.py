"""The broker's configuration: TLS alone, nobody anonymous, each sensor its own topics, a queue that survives."""

from collections.abc import Sequence
from dataclasses import dataclass

from components.iot_stack.containers import MQTT_TLS_PORT
from config.derive import CertifiedKey, MqttUser

#: Messages that may be on their way to the collector unacknowledged; at least its batch (pipeline: inflight trap).
MAX_INFLIGHT = 1000

#: Messages kept for a collector that is away.
MAX_QUEUED = 100_000

COLLECTOR = "telegraf"
HEALTH = "health"

_CONF = f"""\
allow_anonymous false
password_file /mosquitto/config/passwords
acl_file /mosquitto/config/acl
max_inflight_messages {MAX_INFLIGHT}
max_queued_messages {MAX_QUEUED}
set_tcp_nodelay true
log_dest stdout
log_type error
log_type warning
log_type notice
connection_messages false

plugin /usr/lib/mosquitto_persist_sqlite.so
plugin_opt_db_file /mosquitto/data/mosquitto.sqlite
plugin_opt_flush_period 0
"""

_LISTENER = """
listener {port}
tls_version tlsv1.2
certfile /mosquitto/config/server.crt
keyfile /mosquitto/config/server.key
"""


@dataclass(frozen=True, kw_only=True)
class BrokerUsers:
    """Everyone who may log in."""

    sensors: Sequence[MqttUser]
    collector: MqttUser
    health: MqttUser


def mosquitto_files(
    users: BrokerUsers, authority: CertifiedKey, server: CertifiedKey, ports: Sequence[int]
) -> dict[str, str]:
    """Render the broker's files by name; it listens at these ports of its container."""
    everyone = [*users.sensors, users.collector, users.health]
    return {
        "mosquitto.conf": _CONF + "".join(_LISTENER.format(port=port) for port in ports),
        "passwords": "".join(f"{user.name}:{user.password_hash}\n" for user in everyone),
        "acl": acl(users),
        "ca.crt": authority.certificate,
        "server.crt": server.certificate,
        "server.key": server.private,
        "mosquitto_sub": _client_options(users.health),
    }


def acl(users: BrokerUsers) -> str:
    """Render mosquitto.conf(5)'s acl_file: a sensor writes its own readings, the collector reads them all."""
    grants = {
        users.collector.name: ["read sensors/+/+"],
        users.health.name: ["read $SYS/broker/uptime"],
        **{sensor.name: [f"write sensors/{sensor.name}/+"] for sensor in users.sensors},
    }
    return "\n".join(
        "\n".join([f"user {name}", *(f"topic {topic}" for topic in topics)]) + "\n" for name, topics in grants.items()
    )


def _client_options(user: MqttUser) -> str:
    """Render mosquitto_sub(1)'s own config file, so that the health check's password is on no command line."""
    return f"-h localhost\n-p {MQTT_TLS_PORT}\n--cafile /mosquitto/config/ca.crt\n-u {user.name}\n-P {user.password}\n"
