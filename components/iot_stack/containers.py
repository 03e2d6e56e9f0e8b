"""What runs on a site, as plain values: one `Service` for each container."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path

from components._files import CONFIGURATION, DATA, Directory, File
from config.site import Images

NETWORK = "fjord-edge"

MQTT_TLS_PORT = 8883
INFLUXDB_PORT = 8086
LOOPBACK = IPv4Address("127.0.0.1")

#: Users that exist in no image; official images and others then behave the same.
MOSQUITTO_USER = 1883
INFLUXDB_USER = 8086
TELEGRAF_USER = 8125


@dataclass(frozen=True, kw_only=True)
class HealthCheck:
    """How Docker knows that a service works: a command without a shell."""

    command: Sequence[str]
    start_period: str


@dataclass(frozen=True, kw_only=True)
class Port:
    """A port at one of the node's addresses, and the container's own to which it leads."""

    address: IPv4Address
    external: int
    internal: int


@dataclass(frozen=True, kw_only=True)
class Service:
    """One container: always its own user, a read-only root, no capabilities, bounded memory."""

    name: str
    image: str
    user: int
    command: Sequence[str]
    memory_mib: int
    health_check: HealthCheck
    configuration: str
    """Where the image expects its configuration."""
    data: str | None = None
    """Where the service keeps its data, if it has any."""
    ports: Sequence[Port] = ()
    """What is published."""
    environment: Sequence[str] = ()
    """NAME=value; never a secret."""

    @property
    def data_directory(self) -> Directory:
        """The service's own directory on the data disk."""
        return Directory(path=f"{DATA}/{self.name}", mode=0o700, owner=self.user)

    @property
    def configuration_directory(self) -> str:
        """The service's own configuration on the node."""
        return f"{CONFIGURATION}/{self.name}"

    def files(self, contents: Mapping[str, str]) -> list[File | Directory]:
        """The service's configuration for its user alone, and its place on the data disk."""
        directory = self.configuration_directory
        return [
            Directory(path=directory, mode=0o500, owner=self.user),
            *(
                File(path=f"{directory}/{name}", contents=text, mode=0o400, owner=self.user)
                for name, text in contents.items()
            ),
            *([self.data_directory] if self.data else []),
        ]


def mosquitto(images: Images, addresses: Sequence[IPv4Address]) -> Service:
    """The broker: sensors reach it over TLS at each of these addresses of the node.

    Each leads to a listener of its own: a container with one internal port at two addresses would be made anew by every
    update (kreuzwerker/terraform-provider-docker#909).
    """
    return Service(
        name="mosquitto",
        image=images.mosquitto,
        user=MOSQUITTO_USER,
        command=["/usr/sbin/mosquitto", "-c", "/mosquitto/config/mosquitto.conf"],
        memory_mib=256,
        health_check=HealthCheck(
            command=["mosquitto_sub", "-t", "$SYS/broker/uptime", "-C", "1", "-W", "10"], start_period="10s"
        ),
        configuration="/mosquitto/config",
        data="/mosquitto/data",
        ports=[
            Port(address=address, external=MQTT_TLS_PORT, internal=MQTT_TLS_PORT + number)
            for number, address in enumerate(addresses)
        ],
        environment=["XDG_CONFIG_HOME=/mosquitto/config"],
    )


def influxdb(images: Images) -> Service:
    """The database: reached by the collector, and from the node itself."""
    return Service(
        name="influxdb",
        image=images.influxdb,
        user=INFLUXDB_USER,
        command=["/usr/bin/influxd", "-config", "/etc/influxdb/influxdb.conf"],
        memory_mib=768,
        health_check=HealthCheck(
            command=["curl", "-fsS", f"http://127.0.0.1:{INFLUXDB_PORT}/ping"], start_period="20s"
        ),
        configuration="/etc/influxdb",
        data="/var/lib/influxdb",
        ports=[Port(address=LOOPBACK, external=INFLUXDB_PORT, internal=INFLUXDB_PORT)],
    )


def telegraf(images: Images) -> Service:
    """The collector: from the broker into the database."""
    return Service(
        name="telegraf",
        image=images.telegraf,
        user=TELEGRAF_USER,
        command=["/usr/bin/telegraf", "--config", "/etc/telegraf/telegraf.conf"],
        memory_mib=256,
        health_check=HealthCheck(command=["curl", "-fsS", "http://127.0.0.1:8080"], start_period="10s"),
        configuration="/etc/telegraf",
    )


def hook_files() -> list[File]:
    """What the node calls before it goes down, and before a backup."""
    programs = Path(__file__).parent / "on_node"
    return [
        File(
            path=f"{CONFIGURATION}/{event}.d/iot-stack",
            contents=(programs / f"{event.replace('-', '_')}.py").read_text(),
            mode=0o755,
        )
        for event in ("before-backup", "before-shutdown")
    ]
