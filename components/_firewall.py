"""The firewall's table that is ours, by nft(8): what may come out of the tunnels, on a node as on another machine."""

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from components._files import CONFIGURATION

NFTABLES = f"{CONFIGURATION}/nftables.conf"

#: The tunnels' interfaces, of which a hub has two while its key is changed.
_MESH = 'iifname { "wg0", "wg1" }'


@dataclass(frozen=True, kw_only=True)
class Inbound:
    """Whom a node lets in, containers and its own administration apart."""

    tunnel_ports: Sequence[int]
    """UDP ports of WireGuard."""
    administrators: Sequence[IPv4Address | IPv6Address] = ()
    """Headquarters' addresses in the mesh, from which a site is administered; none at headquarters itself."""
    published: Sequence[tuple[IPv4Address, int]] = ()
    """Own addresses and TCP ports in the mesh at which containers serve the other sites."""
    device_ports: Sequence[int] = ()
    """TCP ports at which sensors reach the broker."""


def mesh_input(inbound: Inbound) -> list[str]:
    """What of the tunnels' packets may come in: headquarters' people, and answers."""
    return [
        *(
            f"{_MESH} {'ip' if address.version == 4 else 'ip6'} saddr {address} tcp dport 22 accept"
            for address in inbound.administrators
        ),
        f"{_MESH} drop",
    ]


#: What one device may send to the broker: some 4,000 readings a second. More is dropped on the way, before any of it is
#: acknowledged, and TCP slows it down.
_DEVICE_RATE, _DEVICE_BURST = "512 kbytes/second", "1 mbytes"

_SENDERS = [
    "set senders {",
    "    type ipv4_addr",
    "    size 65535",
    "    flags dynamic,timeout",
    "    timeout 1m",
    "}",
]


def flood_limit(ports: Sequence[int]) -> list[str]:
    """What keeps one device's flood from the others; counted.

    Only what is sent to a published port: containers' own packets pass here too (br_netfilter), and none is slowed.
    """
    if not ports:
        return []
    published = f"meta l4proto tcp ct original proto-dst {{ {', '.join(map(str, ports))} }}"
    return [
        f"ct status dnat ct direction original {published} "
        f"add @senders {{ ip saddr limit rate over {_DEVICE_RATE} burst {_DEVICE_BURST} }} counter drop"
    ]


def mesh_forward(inbound: Inbound) -> list[str]:
    """What of them may go on, to a container: what is published in the mesh; nothing goes on to another site."""
    return [
        *flood_limit(inbound.device_ports),
        "ct state established,related accept",
        *(
            f"{_MESH} meta l4proto tcp ct original ip daddr {address} ct original proto-dst {port} accept"
            for address, port in inbound.published
        ),
        f"{_MESH} drop",
    ]


def table(
    *,
    input_policy: str,
    input_rules: Sequence[str],
    forward_rules: Sequence[str],
    prerouting_rules: Sequence[str] = (),
) -> str:
    """Render the table, made anew in one transaction; all others stay, Docker's among them."""
    prerouting = _chain("prerouting", "type filter hook prerouting priority raw; policy accept;", prerouting_rules)
    return (
        "table inet fjord_edge\ndelete table inet fjord_edge\ntable inet fjord_edge {\n"
        + "".join(f"    {line}\n" for line in _SENDERS)
        + (prerouting if prerouting_rules else "")
        + _chain("input", f"type filter hook input priority filter; policy {input_policy};", input_rules)
        + _chain("forward", "type filter hook forward priority filter - 10; policy accept;", forward_rules)
        + "}\n"
    )


def _chain(name: str, hook: str, rules: Sequence[str]) -> str:
    return f"    chain {name} {{\n" + "".join(f"        {line}\n" for line in (hook, *rules)) + "    }\n"
