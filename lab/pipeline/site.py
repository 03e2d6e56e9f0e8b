"""What the pipeline runs: the programs and files of a site as the components render them, or those of the seed.

The one place that knows how the components render, with farm.py; `component.py` of the iot_stack is its model.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from ipaddress import IPv4Address
from typing import Any, Literal

from components._files import File
from components._influxdb import (
    ADMIN,
    INFLUXDB_CONF,
    INFLUXDB_PORT,
    Grant,
    Privilege,
    Retention,
    influxdb,
    user_files,
)
from components._services import Service
from components.iot_stack import containers
from components.iot_stack.mosquitto import mosquitto_files
from components.iot_stack.telegraf import DATABASE, telegraf_files
from components.iot_stack.users import READ, BrokerUser, broker_users
from config import derive
from config.derive import CertifiedKey, Seed
from config.iot import Iot
from services._settings import Database

Kind = Literal["ours", "seed"]

NAME = "bench"
QUANTITY = "temperature"

#: Reads what the sensors write, beside the collector; the bench's own.
SUBSCRIBER = "subscriber"

SEED = Seed(bytes(range(32)))
LIFE: Any = {"not_before": date(2026, 1, 1), "not_after": date(2035, 12, 31)}
LOOPBACK = IPv4Address("127.0.0.1")
_IMAGE = f"registry.example.com/{{}}@sha256:{64 * '0'}"

#: With 5,000 sensors the broker's queue is then near the most that the config allows.
_EVERY_SECONDS = 300


@dataclass(frozen=True, kw_only=True)
class Program:
    """One program in the root folder of its image.

    Attributes:
        files: by their paths in the container.
        data: the folder it may write to.
        image: its name in lab/services/images.py, where it is not the program's own.
        at_once: whether it starts with the pipeline, and not when somebody starts it.
    """

    command: Sequence[str]
    user: int
    files: Mapping[str, str] = field(repr=False)
    data: str | None
    environment: Sequence[str] = ()
    image: str | None = None
    at_once: bool = True


@dataclass(frozen=True, kw_only=True)
class Site:
    """All that a pipeline is made of, and what its clients must know.

    Attributes:
        programs: by name, in the order in which they start.
        users: the database's users as `user_files` renders them; none in the seed.
        passwords: the sensors' and the subscriber's at the broker; None in the seed, which asks nobody.
        authority: what clients trust, PEM; None without TLS.
        port: where the generator publishes.
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
    return ours(iot_of(names)) if kind == "ours" else _seed(names)


def ours(iot: Iot, more: Mapping[str, Grant] | None = None) -> Site:
    """A site of ours; `more` are further users of the database."""
    signer = authority()
    server = derive.server_certificate(
        SEED, NAME, 1, authority=signer, names=["mosquitto", "localhost"], addresses=[], **LIFE
    )
    subscriber = BrokerUser(user=mqtt_user(SUBSCRIBER), grants=[(READ, "sensors/+/+"), (READ, f"alerts/{NAME}/#")])
    users = [*broker_users(iot, NAME, mqtt_user), subscriber]
    ports = containers.broker_ports([LOOPBACK], None)
    broker = mosquitto_files(users, signer, server, ports=ports, queued_messages=iot.queued_messages)
    writer, writers = derive.collector_account(SEED, NAME, 1)
    grants = {
        writer: Grant(databases=[DATABASE], privilege="WRITE", password=writers),
        "reader": grant("reader", "READ", DATABASE),
        **(more or {}),
    }
    kept = Retention(days=iot.storage.retention_days, shard_hours=iot.storage.shard_hours)
    collector = telegraf_files(iot, mqtt_user(derive.COLLECTOR), (writer, writers))
    return Site(
        programs={
            "mosquitto": program(containers.mosquitto(iot.images, ports), broker),
            "influxdb": program(influxdb(iot.images.influxdb), {"influxdb.conf": INFLUXDB_CONF}),
            "telegraf": program(containers.telegraf(iot.images), collector),
        },
        users=user_files(grants, admin=password(ADMIN), retention={DATABASE: kept}),
        passwords={
            user.user.name: user.user.password for user in users if user.user.name in {*iot.devices, SUBSCRIBER}
        },
        authority=signer.certificate,
        port=containers.MQTT_TLS_PORT,
        reader=("reader", password("reader")),
        series=("reading", "sensor"),
        reserve=containers.reserve(iot.queued_messages),
    )


def iot_of(names: Sequence[str], limits: Mapping[str, Any] | None = None, **sections: Mapping[str, Any]) -> Iot:
    """Sensors of one quantity, with limits or without, and further sections."""
    return Iot.parse(
        {
            "certificates": {"notBefore": str(LIFE["not_before"]), "notAfter": str(LIFE["not_after"])},
            "pens": ["pen-1"],
            "quantities": {QUANTITY: {"unit": "°C", **(limits or {})}},
            "sensors": [
                {"id": name, "pen": "pen-1", "quantities": [QUANTITY], "everySeconds": _EVERY_SECONDS} for name in names
            ],
            "images": {name: _IMAGE.format(name) for name in ("mosquitto", "telegraf", "influxdb", "services")},
            **sections,
        },
        file="lab/pipeline/site.py",
    )


def mqtt_user(name: str) -> derive.MqttUser:
    """A user of the broker."""
    return derive.mqtt_user(SEED, NAME, name, 1)


def password(user: str) -> str:
    """Of a user of the database."""
    return derive.influxdb_password(SEED, NAME, user, 1)


def grant(user: str, privilege: Privilege, *databases: str) -> Grant:
    """What a user of the database may do."""
    return Grant(databases=databases, privilege=privilege, password=password(user))


def store(name: str, user: str, address: IPv4Address = LOOPBACK) -> Database:
    """A database as one of its users reaches it."""
    return Database(url=f"http://{address}:{INFLUXDB_PORT}", name=name, user=user, password=password(user))


def authority() -> CertifiedKey:
    """Who signs the site's certificates."""
    return derive.certificate_authority(SEED, NAME, 1, **LIFE)


def program(service: Service, files: Mapping[str, str], image: str | None = None) -> Program:
    """A container's program with its files by name."""
    return Program(
        image=image,
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
