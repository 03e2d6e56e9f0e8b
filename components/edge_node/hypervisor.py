"""What is asked of the hypervisor, as programs that a Python there reads from standard input; nothing is installed."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from components.edge_node.domain_xml import stylesheet
from components.edge_node.interfaces import mac_address, named
from config.registry import IPNetwork
from config.site import Node

GIB = 1 << 30

#: The base image takes less.
_IMAGE_BYTES = 2 * GIB

_PROGRAMS = Path(__file__).parent / "on_hypervisor"


def pool_name(site: str) -> str:
    """The site's pool, as libvirt on the hypervisor calls it."""
    return f"fjord-edge-{site}"


def pool_path(site: str, node: Node) -> str:
    """Directory of the site's pool on the hypervisor."""
    return f"{node.hypervisor.pool}/{site}"


def image_name(site: str, node: Node) -> str:
    """File of the base image; another image is another file."""
    return f"{site}-image-{node.image.sha256[:12]}.qcow2"


def root_name(site: str, node: Node) -> str:
    """File of the root disk: another VM has another one, or the old one's containers would be there already."""
    return f"{site}-root-{_digest(json.dumps(_vm(site, node)))}.qcow2"


def data_name(site: str) -> str:
    """File of the data disk; there is one for ever."""
    return f"{site}-data.qcow2"


def first_boot_name(site: str, node: Node) -> str:
    """File of the first-boot disk."""
    return f"{site}-first-boot-{node.generation}.iso"


def preflight(site: str, node: Node, mesh: Sequence[IPNetwork]) -> str:
    """The program that checks, before anything is made, whether the hypervisor can carry the node."""
    return _program(
        "preflight",
        {
            "skipChecks": list(node.hypervisor.skip_checks),
            "bridges": [each.bridge for each in named(node.network).values() if each.bridge],
            "networks": [each.libvirt_network for each in named(node.network).values() if each.libvirt_network],
            "pool": pool_path(site, node),
            "bytes": (node.root_disk_gib + node.data_disk_gib) * GIB + _IMAGE_BYTES,
            "image": {"path": f"{pool_path(site, node)}/{image_name(site, node)}", "sha256": node.image.sha256},
            "dataDisk": _data_disk(site, node),
            "mesh": [str(network) for network in mesh],
        },
    )


def before_start(site: str, node: Node) -> str:
    """The program that shuts the old guest down in order when another is to take its place."""
    first_boot = f"{pool_path(site, node)}/{first_boot_name(site, node)}"
    return _program(
        "before_start", {"domain": site, "firstBoot": first_boot, "record": _record(site), "vm": root_name(site, node)}
    )


def shut_down(site: str) -> str:
    """The program that shuts the guest down in order."""
    return _program("before_start", {"domain": site}, call="take_down")


def after_start(site: str, node: Node) -> str:
    """The program that takes the first-boot disk out, grows the data disk, and keeps the node running."""
    return _program(
        "after_start",
        {
            "domain": site,
            "dataDisk": _data_disk(site, node),
            "record": _record(site),
            "vm": root_name(site, node),
            "keeper": (_PROGRAMS / "keep_running.py").read_text(),
        },
    )


def snapshot(site: str, node: Node, action: str, name: str = "") -> str:
    """The program that makes, shows, deletes or restores (`action`) snapshots of the data disk, or makes it one."""
    folder = pool_path(site, node)
    asked = {
        "domain": site,
        "dataDisk": f"{folder}/{data_name(site)}",
        "folder": f"{folder}/snapshots",
        "name": name,
        "pool": pool_name(site),
        "record": _record(site),
    }
    return _program("snapshot", asked, call=action)


def delete_snapshots(site: str, node: Node) -> str:
    """A command that deletes all of them; a pool goes only when it is empty."""
    return f"rm --recursive --force {pool_path(site, node)}/snapshots"


def check_image(site: str, node: Node) -> str:
    """A command that holds the uploaded base image against its pinned checksum."""
    path = f"{pool_path(site, node)}/{image_name(site, node)}"
    return f"echo '{node.image.sha256}  {path}' | sha256sum --check --quiet -"


def _program(name: str, asked: Mapping[str, Any], call: str = "main") -> str:
    source = (_PROGRAMS / f"{name}.py").read_text()
    return f"{source}\n\nsys.exit({call}(json.loads({json.dumps(json.dumps(asked))})))\n"


def _data_disk(site: str, node: Node) -> dict[str, Any]:
    return {"path": f"{pool_path(site, node)}/{data_name(site)}", "bytes": node.data_disk_gib * GIB}


def _record(site: str) -> str:
    return f"/var/lib/fjord-edge/{site}.json"


def _vm(site: str, node: Node) -> dict[str, Any]:
    """All that makes another VM when it changes."""
    return {
        "cpus": node.cpus,
        "memoryMib": node.memory_mib,
        "image": node.image.sha256,
        "rootDiskGib": node.root_disk_gib,
        "generation": node.generation,
        "accelerator": node.hypervisor.accelerator,
        "interfaces": [
            [each.bridge, each.libvirt_network, mac_address(site, name, each)]
            for name, each in named(node.network).items()
        ],
        "stylesheet": _digest(stylesheet()),
    }


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]
