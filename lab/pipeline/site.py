"""What the pipeline runs: the programs and files of a made-up site as the components render them, or those of the seed.

The one place that knows how the components render; `component.py` of the iot_stack is its model.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from ipaddress import IPv4Address
from typing import Literal

from components._files import File
from components._influxdb import ADMIN, INFLUXDB_CONF, Grant, Retention, influxdb, user_files
from components._services import Service
from components.iot_stack import containers
from components.iot_stack.mosquitto import mosquitto_files
from components.iot_stack.telegraf import DATABASE, telegraf_files
from components.iot_stack.users import READ, BrokerUser, broker_users
from config import derive
from config.derive import Seed
from config.iot import Iot

Kind = Literal["ours", "seed"]

NAME = "bench"
QUANTITY = "temperature"

#: Reads what the sensors write, beside the collector; the bench's own.
SUBSCRIBER = "subscriber"

_SEED = Seed(bytes(range(32)))
_DAYS = (date(2026, 1, 1), date(2035, 12, 31))
_IMAGE = f"registry.example.com/{{}}@sha256:{64 * '0'}"

#: With 5,000 sensors the broker's queue is then near the most that the config allows.
_EVERY_SECONDS = 300


@dataclass(frozen=True, kw_only=True)
class Program:
    """One program in the root folder of its image.

    Attributes:
        files: by their paths in the container.
        data: the folder it may write to.
    """

    command: Sequence[str]
    user: int
    files: Mapping[str, str] = field(repr=False)
    data: str | None
    environment: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class Site:
    """All that a pipeline is made of, and what its clients must know.

    Attributes:
        programs: by the names of their images, in the order in which they start.
        users: the database's users as `user_files` renders them; none in the seed.
        passwords: the sensors' and the subscriber's at the broker; None in the seed, which asks nobody.
        authority: what clients trust, PEM; None without TLS.
        reader: user and password at the database.
        reserve: the command that keeps room for the broker on the data disk; does nothing in the seed.
        series: the measurement of readings, and the tag that tells sensors apart.
    """

    programs: Mapping[str, Program]
    users: Sequence[File]
    passwords: Mapping[str, str | None] = field(repr=False)
    authority: str | None
    port: int
    reader: tuple[str, str] | None = field(repr=False)
    series: tuple[str, str]
    reserve: str = "true"


def site(kind: Kind, sensors: int) -> Site:
    """Render a site of so many sensors, each of one quantity."""
    names = [f"sensor-{number}" for number in range(sensors)]
    return _ours(names) if kind == "ours" else _seed(names)


def _ours(names: Sequence[str]) -> Site:
    iot = _iot(names)
    not_before, not_after = _DAYS
    authority = derive.certificate_authority(_SEED, NAME, 1, not_before=not_before, not_after=not_after)
    server = derive.server_certificate(
        _SEED,
        NAME,
        1,
        authority=authority,
        names=["mosquitto", "localhost"],
        addresses=[],
        not_before=not_before,
        not_after=not_after,
    )
    subscriber = BrokerUser(user=_mqtt_user(SUBSCRIBER), grants=[(READ, "sensors/+/+")])
    users = [*broker_users(iot, NAME, _mqtt_user), subscriber]
    ports = containers.broker_ports([IPv4Address("127.0.0.1")], None)
    broker = mosquitto_files(users, authority, server, ports=ports, queued_messages=iot.queued_messages)
    secrets = {name: derive.influxdb_password(_SEED, NAME, name, 1) for name in (ADMIN, "telegraf", "reader")}
    grants = {
        "telegraf": Grant(databases=[DATABASE], privilege="WRITE", password=secrets["telegraf"]),
        "reader": Grant(databases=[DATABASE], privilege="READ", password=secrets["reader"]),
    }
    kept = Retention(days=iot.storage.retention_days, shard_hours=iot.storage.shard_hours)
    collector = telegraf_files(iot, _mqtt_user("telegraf"), secrets["telegraf"], authority)
    return Site(
        programs={
            "mosquitto": _program(containers.mosquitto(iot.images, ports), broker),
            "influxdb": _program(influxdb(iot.images.influxdb), {"influxdb.conf": INFLUXDB_CONF}),
            "telegraf": _program(containers.telegraf(iot.images), collector),
        },
        users=user_files(grants, admin=secrets[ADMIN], retention={DATABASE: kept}),
        passwords={user.user.name: user.user.password for user in users if user.user.name in {*names, SUBSCRIBER}},
        authority=authority.certificate,
        port=containers.MQTT_TLS_PORT,
        reader=("reader", secrets["reader"]),
        series=("reading", "sensor"),
        reserve=containers.reserve(iot.queued_messages),
    )


def _iot(names: Sequence[str]) -> Iot:
    return Iot.parse(
        {
            "certificates": dict(zip(("notBefore", "notAfter"), map(str, _DAYS), strict=True)),
            "pens": ["pen-1"],
            "quantities": {QUANTITY: {"unit": "°C"}},
            "sensors": [
                {"id": name, "pen": "pen-1", "quantities": [QUANTITY], "everySeconds": _EVERY_SECONDS} for name in names
            ],
            "images": {name: _IMAGE.format(name) for name in ("mosquitto", "telegraf", "influxdb", "services")},
        },
        file="lab/pipeline/site.py",
    )


def _mqtt_user(name: str) -> derive.MqttUser:
    return derive.mqtt_user(_SEED, NAME, name, 1)


def _program(service: Service, files: Mapping[str, str]) -> Program:
    return Program(
        command=service.command,
        user=service.user,
        files={f"{service.configuration}/{name}": text for name, text in files.items()},
        data=service.data,
        environment=service.environment,
    )


#: The seed gives none: its Mosquitto 1.6 listened for everybody by itself, 2.x does with these two lines.
SEED_MOSQUITTO = "listener 1883\nallow_anonymous true\n"

#: What the official image's own file says; the seed gives none.
SEED_INFLUXDB = """\
[meta]
dir = "/var/lib/influxdb/meta"

[data]
dir = "/var/lib/influxdb/data"
wal-dir = "/var/lib/influxdb/wal"
"""

#: As the seed has it, to the letter.
SEED_TELEGRAF = """\
[agent]
interval = "10s"
round_interval = true
metric_batch_size = 1000
metric_buffer_limit = 10000
collection_jitter = "0s"
flush_interval = "10s"
flush_jitter = "0s"
[[inputs.mqtt_consumer]]
servers = ["tcp://mosquitto:1883"]
topics = [
"sensors/+/temperature",
"sensors/+/humidity"
]
data_format = "json"
[[outputs.influxdb]]
urls = ["http://influxdb:8086"]
database = "iot_data"
timeout = "5s"
"""


def _seed(names: Sequence[str]) -> Site:
    def program(command: str, user: int, path: str, text: str, data: str | None = None) -> Program:
        return Program(command=command.split(), user=user, files={path: text}, data=data)

    return Site(
        programs={
            "mosquitto": program(
                "/usr/sbin/mosquitto -c /mosquitto/config/mosquitto.conf",
                containers.MOSQUITTO_USER,
                "/mosquitto/config/mosquitto.conf",
                SEED_MOSQUITTO,
                "/mosquitto/data",
            ),
            "influxdb": program(
                "/usr/bin/influxd -config /etc/influxdb/influxdb.conf",
                8086,
                "/etc/influxdb/influxdb.conf",
                SEED_INFLUXDB,
                "/var/lib/influxdb",
            ),
            "telegraf": program(
                "/usr/bin/telegraf --config /etc/telegraf/telegraf.conf",
                containers.TELEGRAF_USER,
                "/etc/telegraf/telegraf.conf",
                SEED_TELEGRAF,
            ),
        },
        users=(),
        passwords=dict.fromkeys([*names, SUBSCRIBER]),
        authority=None,
        port=containers.MQTT_PORT,
        reader=None,
        series=("mqtt_consumer", "topic"),
    )
