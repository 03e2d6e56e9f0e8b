"""The broker's configuration: nobody anonymous, each sensor its own topics and session, a queue that survives."""

from collections.abc import Sequence

from components._services import Port
from components.iot_stack.containers import MEMORY_MIB, MQTT_PORT, MQTT_TLS_PORT, RESERVED_BYTES
from components.iot_stack.telegraf import UNDELIVERED
from components.iot_stack.users import BrokerUser
from config.derive import CertifiedKey, MqttUser

#: Messages on their way to a reader that it has not acknowledged: as many as the collector lets be. With 65,535, all
#: identifiers that MQTT 3.1.1 has (2.3.1), 400,000 readings at 20,000/s took 21.8 s and not 20.2.
MAX_INFLIGHT = UNDELIVERED

#: The biggest packet that is let in, bytes: an alarm with the readings before it; a reading has a tenth.
MAX_PACKET = 8192

#: What the broker takes of its memory without a queue, and for each message of it beside the payload.
OWN_MIB, MESSAGE_BYTES = 48, 480

#: Who logs in, or fails to, is logged: three lines a session. 1,000 sessions are 0.4 MB of the 30 that Docker keeps.
_CONF = """\
allow_anonymous false
password_file /mosquitto/config/passwords
acl_file /mosquitto/config/acl
max_inflight_messages {inflight}
max_queued_messages {queued}
max_queued_bytes {queued_bytes}
max_packet_size {packet}
set_tcp_nodelay true
sys_interval 5
log_dest stdout
log_type error
log_type warning
log_type notice
connection_messages true

plugin /usr/lib/mosquitto_persist_sqlite.so
plugin_opt_db_file /mosquitto/data/mosquitto.sqlite
plugin_opt_flush_period 0
plugin_opt_sync full
"""

#: Its user's name is a client's session: nobody can take the collector's by its name.
_LISTENER = """
listener {port}
use_username_as_clientid true
"""

_TLS = """\
tls_version tlsv1.2
certfile /mosquitto/config/server.crt
keyfile /mosquitto/config/server.key
"""


def mosquitto_files(
    users: Sequence[BrokerUser],
    authority: CertifiedKey,
    server: CertifiedKey,
    *,
    ports: Sequence[Port],
    queued_messages: int,
) -> dict[str, str]:
    """Render the broker's files by name.

    Args:
        users: who may log in.
        authority: whose certificate clients trust.
        server: the broker's own key.
        ports: where devices reach it; it listens at the one for plain MQTT in any case, for the containers beside it.
        queued_messages: how many it keeps for a reader that is away.
    """
    [health] = [user.user for user in users if user.user.name == "health"]
    conf = _CONF.format(
        inflight=MAX_INFLIGHT, queued=queued_messages, queued_bytes=queued_bytes(queued_messages), packet=MAX_PACKET
    )
    conf += _LISTENER.format(port=MQTT_PORT)
    for port in ports:
        if port.external != MQTT_PORT:
            conf += _LISTENER.format(port=port.internal) + _TLS
    return {
        "mosquitto.conf": conf,
        "passwords": "".join(f"{user.user.name}:{user.user.password_hash}\n" for user in users),
        "acl": acl(users),
        "ca.crt": authority.certificate,
        "server.crt": server.certificate,
        "server.key": server.private,
        "mosquitto_sub": _client_options(health),
    }


def queued_bytes(queued_messages: int) -> int:
    """What the payloads of a queue may take together: the broker's memory holds them, and its part of the disk.

    What is beyond is dropped and counted, as beyond `max_queued_messages`, and raises the alarm `queue`. Without this
    limit messages of the biggest size would take three times the memory, and the broker would be killed for it.
    """
    memory = ((MEMORY_MIB - OWN_MIB) << 20) - queued_messages * MESSAGE_BYTES
    return min(memory, queued_messages * RESERVED_BYTES // 2)


def acl(users: Sequence[BrokerUser]) -> str:
    """Render mosquitto.conf(5)'s acl_file."""
    return "\n".join(
        "\n".join([f"user {user.user.name}", *(f"topic {access} {topic}" for access, topic in user.grants)]) + "\n"
        for user in users
    )


def _client_options(user: MqttUser) -> str:
    """Render mosquitto_sub(1)'s own config file, so that the health check's password is on no command line."""
    return f"-h localhost\n-p {MQTT_TLS_PORT}\n--cafile /mosquitto/config/ca.crt\n-u {user.name}\n-P {user.password}\n"
