"""What runs on a site beside the database, as plain values: one `Service` for each container."""

from collections.abc import Sequence
from ipaddress import IPv4Address
from pathlib import Path

from components._files import CONFIGURATION, DATA, File
from components._own import own_service
from components._services import HealthCheck, Port, Service
from config.iot import Images
from config.site import Network

#: The second is without TLS: for the containers beside the broker, published only where a site asks for it (ADR 19).
MQTT_TLS_PORT, MQTT_PORT = 8883, 1883

#: Where Docker asks whether a collector works: in its own container, and of the tunnels' on the node's loopback.
HEALTH_PORT = 8080
TUNNEL_HEALTH_PORT = 8081

#: The broker's.
MEMORY_MIB = 288

#: Users that exist in no image; official images and others then behave the same.
MOSQUITTO_USER = 1883
TELEGRAF_USER = 8125


def mosquitto(images: Images, ports: Sequence[Port]) -> Service:
    """The broker, at these ports of the node."""
    return Service(
        name="mosquitto",
        image=images.pulled("mosquitto"),
        user=MOSQUITTO_USER,
        command=["/usr/sbin/mosquitto", "-c", "/mosquitto/config/mosquitto.conf"],
        memory_mib=MEMORY_MIB,
        cpu_shares=2048,
        health_check=HealthCheck(
            command=["mosquitto_sub", "-t", "$SYS/broker/uptime", "-C", "1", "-W", "10"], start_period="10s"
        ),
        configuration="/mosquitto/config",
        data="/mosquitto/data",
        ports=ports,
        environment=["XDG_CONFIG_HOME=/mosquitto/config"],
    )


def broker_addresses(network: Network) -> list[IPv4Address]:
    """Where sensors reach the broker: at the node's own address, and on the farm's own network where there is one."""
    return [interface.address.ip for interface in (network, network.lan) if interface]


def broker_ports(addresses: Sequence[IPv4Address], plain: IPv4Address | None) -> list[Port]:
    """TLS at each of these addresses, and plain MQTT at one where the site asks for it.

    Each leads to a listener of its own: a container with one internal port at two addresses would be made anew by every
    update (kreuzwerker/terraform-provider-docker#909).
    """
    tls = [
        Port(address=address, external=MQTT_TLS_PORT, internal=MQTT_TLS_PORT + number)
        for number, address in enumerate(addresses)
    ]
    return [*tls, *([Port(address=plain, external=MQTT_PORT, internal=MQTT_PORT)] if plain else [])]


def telegraf(images: Images) -> Service:
    """The collector: from the broker into the database."""
    return Service(
        name="telegraf",
        image=images.pulled("telegraf"),
        user=TELEGRAF_USER,
        command=["/usr/bin/telegraf", "--config", "/etc/telegraf/telegraf.conf"],
        memory_mib=256,
        cpu_shares=1024,
        health_check=HealthCheck(command=["curl", "-fsS", f"http://127.0.0.1:{HEALTH_PORT}"], start_period="10s"),
        configuration="/etc/telegraf",
    )


def tunnel_figures(images: Images) -> Service:
    """A collector of its own for the tunnels' figures: from the kernel into the database.

    To ask WireGuard takes the node's own network and CAP_NET_ADMIN, and a capability reaches no user but root. It reads
    nothing that anybody sends, and the collector of readings has neither.
    """
    return Service(
        name="telegraf-mesh",
        image=images.pulled("telegraf"),
        user=0,
        command=["/usr/bin/telegraf", "--config", "/etc/telegraf/telegraf.conf"],
        memory_mib=96,
        cpu_shares=256,
        health_check=HealthCheck(
            command=["curl", "-fsS", f"http://127.0.0.1:{TUNNEL_HEALTH_PORT}"], start_period="10s"
        ),
        configuration="/etc/telegraf",
        capabilities=["CAP_NET_ADMIN"],
        host_network=True,
    )


def alarms(images: Images) -> Service:
    """Our own: alarms from the broker's messages."""
    return own_service("alarms", images.pulled("services"), memory_mib=64, cpu_shares=2048)


def uplink(images: Images) -> Service:
    """Our own: summaries to headquarters."""
    return own_service("uplink", images.pulled("services"), memory_mib=64, cpu_shares=512)


#: Of the data disk, what is kept for the broker alone: so much for each message that it may have to keep, log included.
RESERVED_BYTES = 2048

_BLOCK_BYTES = 4096

#: Prints the topics of the alarms that are raised, as JSON.
RAISED_ALARMS = f"sudo {CONFIGURATION}/before-shutdown.d/iot-stack raised"

#: Prints what the services said of themselves, as JSON by service.
SERVICE_STATUSES = f"sudo {CONFIGURATION}/before-shutdown.d/iot-stack statuses"


def hook_files() -> list[File]:
    """What the node calls before it goes down, and before a backup."""
    programs = Path(__file__).parent / "on_node"
    return [
        *(
            File(
                path=f"{CONFIGURATION}/{event}.d/iot-stack",
                contents=(programs / f"{event.replace('-', '_')}.py").read_text(),
                mode=0o755,
            )
            for event in ("before-backup", "before-shutdown")
        ),
    ]


def reserve(queued_messages: int) -> str:
    """The command that keeps room on the data disk for the broker alone, which can then always write so many messages.

    It would acknowledge what it cannot write. Every other user finds the disk full before: tune2fs(8).
    """
    blocks = queued_messages * RESERVED_BYTES // _BLOCK_BYTES
    return (
        f"tune2fs -u {MOSQUITTO_USER} -r {blocks} $(findmnt --noheadings --output=SOURCE {DATA}) > /dev/null && "
        f"mount -o remount,resuid={MOSQUITTO_USER} {DATA}"
    )
