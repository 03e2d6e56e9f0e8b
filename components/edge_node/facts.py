"""What the node is asked to be, and the program that holds the node against it."""

import json
from pathlib import Path
from typing import Any

from components._files import CONFIGURATION, DATA, PROGRAMS, File
from components.edge_node.domain_xml import DATA_DISK_SERIAL
from components.edge_node.host_config import EGRESS_QDISC, sysctls
from components.edge_node.interfaces import uplinks
from config.base import Model
from config.site import Node

DATA_LABEL = "fjord-data"

#: Who listens on a node beyond itself, containers and the tunnel apart.
LISTENING = ["tcp/22 sshd"]

#: Asked by whoever is about to take the node down: may it go down, and are its services stopped?
BEFORE_SHUTDOWN = f"{PROGRAMS}/before-shutdown"

_PROGRAM = f"{PROGRAMS}/facts"
_ASKED = f"{CONFIGURATION}/asked.json"

_DATA_DISK = f"/dev/disk/by-id/virtio-{DATA_DISK_SERIAL}"

#: Prints the facts as JSON; fails when one is not as asked. The file system first follows a data disk that has grown.
READ_FACTS = f"resize2fs {_DATA_DISK} > /dev/null 2>&1; {_PROGRAM} {_ASKED}"

#: Prints the facts as JSON, and fails in the same way, held against facts on standard input; changes nothing.
COMPARE_FACTS = f"sudo {_PROGRAM} /dev/stdin"

#: Facts that change without anybody's hand: the node installs its security upgrades.
UPGRADED_FACTS = ("kernel", "docker")

#: Prints what varies, as JSON: how the node does right now.
LIVE_FACTS = f"sudo {_PROGRAM} --live"


class Disk(Model):
    """One disk of the node."""

    gib: int
    """Size, GiB."""
    discards: bool
    """Whether it gives back what is deleted."""


class Facts(Model):
    """What a node says of itself, read back by `on_node/facts.py`; what varies by the hour is not in it."""

    kernel: str
    """Release of the running kernel."""
    sysctls: dict[str, str]
    """The asked sysctls as the kernel has them; the congestion control is one of them."""
    qdiscs: dict[str, str]
    """Queueing discipline at the root of each uplink."""
    firewall: str
    """What becomes of a packet that no rule lets in."""
    disks: dict[str, Disk]
    """The disks by serial number, or name where there is none."""
    data_disk_gib: int
    """Size of the data disk, GiB."""
    mounts: dict[str, str]
    """Label of the file system at each asked place."""
    docker: str
    """Version of the Docker daemon."""
    listening: tuple[str, ...]
    """Protocol, port and program of whoever listens beyond the node itself."""
    first_boot: str
    """How cloud-init ended."""


def parse_facts(site: str, text: str) -> dict[str, Any]:
    """Read the program's output, typed, as the stack's output holds it.

    Raises:
        ConfigError: the program on the node is not this checkout's.
    """
    return Facts.parse(json.loads(text), file=f"{site}-facts").model_dump(mode="json", by_alias=True)


def asked(node: Node) -> dict[str, object]:
    """What must be found on the node; the shape is that of the facts."""
    return {
        "sysctls": sysctls(node),
        "qdiscs": dict.fromkeys(uplinks(node.network), EGRESS_QDISC),
        "mounts": {DATA: DATA_LABEL},
        "firstBoot": "done",
        "firewall": "drop",
        "dataDiskGib": node.data_disk_gib,
        "listening": LISTENING,
    }


def fact_files(node: Node) -> list[File]:
    """The programs of every node, and what the facts are compared with."""
    programs = Path(__file__).parent / "on_node"
    return [
        File(path=_PROGRAM, contents=(programs / "facts.py").read_text(), mode=0o755),
        File(path=BEFORE_SHUTDOWN, contents=(programs / "before_shutdown.py").read_text(), mode=0o755),
        File(path=_ASKED, contents=json.dumps(asked(node), indent=2) + "\n"),
    ]
