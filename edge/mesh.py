"""Show a site's tunnels: peers, addresses, last handshakes, what went through."""

import argparse
import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from components.wireguard_mesh.conf import SHOW
from config.loader import REGISTRY
from config.registry import Registry, load_registry
from edge.site import EdgeError, Site, table

#: After that long without a handshake a session is over (the WireGuard paper, section 6).
_PRESENT_SECONDS = 180

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What it understands beside the site."""
    shape = parser.add_mutually_exclusive_group()
    shape.add_argument("--json", action="store_true", help="for scripts")
    shape.add_argument("--mermaid", action="store_true", help="as a Mermaid diagram, for a page or a pull request")


def run(arguments: argparse.Namespace) -> int:
    """Print the tunnels; the status is 1 when one of them is down."""
    site = Site.of(arguments)
    registry = load_registry(REGISTRY)
    if site.name not in registry.entries:
        raise EdgeError(f"config/mesh has no {site.name}.yaml; `edge key {site.name}` prints it")
    done = site.on_node(SHOW)
    if done.returncode != 0:
        raise EdgeError(f"the node does not answer: {done.stderr.strip()}; look at its hypervisor: edge doctor")
    found = rows(json.loads(done.stdout), registry)
    if arguments.json:
        print(json.dumps(found, indent=2))
    elif arguments.mermaid:
        print(diagram(site.name, registry, found))
    else:
        head = ("peer", "addresses", "key", "endpoint", "last handshake", "received", "sent")
        print(table([head, *(_cells(row) for row in found)]))
    return 1 if silent(found) else 0


def rows(shown: dict[str, Any], registry: Registry) -> list[dict[str, Any]]:
    """What the node shows, with ages in seconds instead of times, and the peers' addresses."""
    return [
        {
            "peer": session["peer"],
            "addresses": addresses_of(session["peer"], registry),
            **{key: session[key] for key in ("next", "interface", "publicKey", "endpoint", "allowedIps")},
            "handshakeAgeSeconds": max(0, shown["time"] - session["latestHandshake"])
            if session["latestHandshake"]
            else None,
            "receivedBytes": session["receivedBytes"],
            "sentBytes": session["sentBytes"],
        }
        for session in shown["sessions"]
    ]


def silent(found: Sequence[dict[str, Any]]) -> list[str]:
    """The peers that have no session by any of their keys."""
    there = {row["peer"] for row in found if _is_present(row)}
    return sorted({row["peer"] for row in found} - there)


def diagram(site: str, registry: Registry, found: Sequence[dict[str, Any]]) -> str:
    """A Mermaid flowchart: a solid line for a tunnel that is up, a dotted one for one that is not."""
    peers = sorted({row["peer"] for row in found})
    links = []
    for name in peers:
        ages = [row["handshakeAgeSeconds"] for row in found if row["peer"] == name and _is_present(row)]
        links.append(Link(name, age(min(ages)) if ages else "down", is_there=bool(ages)))
    return flowchart(site, {name: addresses_of(name, registry) for name in (site, *peers)}, links)


class Link(NamedTuple):
    """A tunnel in a diagram."""

    peer: str
    label: str
    is_there: bool


def flowchart(hub: str, nodes: Mapping[str, Sequence[str]], links: Sequence[Link]) -> str:
    """A Mermaid flowchart of nodes with their addresses, and of tunnels to the hub: dotted where there is none."""
    lines = ["flowchart LR"]
    for name, addresses in nodes.items():
        lines.append(f'    {_id(name)}["{"<br/>".join((name, *addresses))}"]')
    for peer, label, is_there in links:
        line = f'-- "{label}" ---' if is_there else f'-. "{label}" .-'
        lines.append(f"    {_id(peer)} {line} {_id(hub)}")
    return "\n".join(lines)


def addresses_of(name: str, registry: Registry) -> list[str]:
    """A site's addresses in the mesh; none of one that has left the registry."""
    return [str(interface.ip) for interface in registry.interfaces(name)] if name in registry.entries else []


def _is_present(row: dict[str, Any]) -> bool:
    age = row["handshakeAgeSeconds"]
    return age is not None and age <= _PRESENT_SECONDS


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    return (
        row["peer"],
        ", ".join(row["addresses"]),
        "next" if row["next"] else "current",
        row["endpoint"] or "none yet",
        age(row["handshakeAgeSeconds"]),
        _bytes(row["receivedBytes"]),
        _bytes(row["sentBytes"]),
    )


def age(seconds: int | None) -> str:
    """How long ago, for a person; None is never."""
    if seconds is None:
        return "never"
    minutes, rest = divmod(seconds, 60)
    return f"{minutes} min {rest} s ago" if minutes else f"{rest} s ago"


def _bytes(count: float) -> str:
    for unit in _UNITS:
        if count < 1024 or unit == _UNITS[-1]:
            break
        count /= 1024
    return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"


def _id(name: str) -> str:
    """Mermaid reads two hyphens as a line."""
    return name.replace("-", "_")
