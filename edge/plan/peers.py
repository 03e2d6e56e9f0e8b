"""The mesh's diagram where a change makes other peers."""

import re
from collections.abc import Mapping
from typing import Any

from edge.mesh import Link, flowchart
from edge.plan.revisions import Revision

#: What of a registry file makes a peer another one.
_OF_A_PEER = (
    "address",
    "address6",
    "endpoint",
    "identityKey",
    "mesh",
    "mesh6",
    "networks",
    "nextEndpoint",
    "nextIdentityKey",
    "nextTunnelKey",
    "role",
    "tunnelKey",
)

#: More would be no diagram.
_PEERS = 20


def diagram(before: Revision, after: Revision) -> str | None:
    """A Mermaid flowchart of headquarters and the peers that change; None where none does."""
    names = sorted(before.registry.keys() | after.registry.keys())
    changes = {name: _change(before.registry.get(name), after.registry.get(name)) for name in names}
    hubs = sorted(after.hubs or before.hubs)
    if not any(changes.values()) or not hubs:
        return None
    hub = hubs[0]
    peers = [name for name in names if changes[name] and name != hub]
    shown = [hub, *peers[:_PEERS]]
    nodes = {name: _addresses(after.registry.get(name) or before.registry[name]) for name in shown}
    if changes[hub]:
        nodes[hub].append(changes[hub])
    links = [Link(name, changes[name], is_there=name in after.registry) for name in shown[1:]]
    more = len(peers) - len(links)
    return flowchart(hub, nodes, links) + (f'\n    more["{more} peers more"]' if more else "")


def _change(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> str:
    if before is None:
        return "new"
    if after is None:
        return "gone"
    return ", ".join(f"other {key}" for key in _OF_A_PEER if before.get(key) != after.get(key))


def _addresses(entry: Mapping[str, Any]) -> list[str]:
    """As they are written, in characters that mean nothing to Mermaid."""
    return [re.sub(r"[^\w.:/-]", "", str(entry[key])) for key in ("address", "address6") if key in entry]
