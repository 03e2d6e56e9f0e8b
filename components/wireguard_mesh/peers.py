"""Who talks to whom: hub and spokes, computed from the registry."""

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address

from config.registry import DEFAULT_PORT, OVERHEAD_BYTES, IPNetwork, Registry, port_of

#: Seconds; keeps a NAT's mapping open (wg(8) recommends 25).
KEEPALIVE_SECONDS = 25


@dataclass(frozen=True, kw_only=True)
class Peer:
    """The other end of a tunnel."""

    name: str
    public_key: str
    address: IPv4Address
    """Its own address in the mesh, at which it is asked whether it is there."""
    allowed_ips: tuple[IPNetwork, ...]
    next_key: str | None = None
    """The key that takes its public key's place."""
    endpoint: str | None = None
    keepalive: int | None = None
    """Seconds."""


def peers(site: str, registry: Registry) -> list[Peer]:
    """The peers of a site, by name: the hub has every site, a site has the hub alone."""
    if site == registry.hub:
        return [_site(name, registry) for name in sorted(registry.entries) if name != site]
    return [_hub(registry)]


def _site(name: str, registry: Registry) -> Peer:
    entry = registry.entries[name]
    return Peer(
        name=name,
        public_key=entry.tunnel_key,
        next_key=entry.next_tunnel_key,
        address=entry.address,
        allowed_ips=entry.allowed_ips,
        endpoint=entry.endpoint,
    )


def _hub(registry: Registry) -> Peer:
    """The hub as a site sees it: the whole mesh lies behind it, and the site keeps the way to it open.

    Its next key is on another port, which a site dials once it is the hub's only one.
    """
    entry = registry.entries[registry.hub]
    return Peer(
        name=registry.hub,
        public_key=entry.tunnel_key,
        address=entry.address,
        allowed_ips=(*registry.networks, *entry.networks),
        endpoint=entry.endpoint,
        keepalive=KEEPALIVE_SECONDS,
    )


def ports(site: str, registry: Registry) -> list[int]:
    """The UDP ports on which a site listens: of the key in use, and of the hub's next one."""
    entry = registry.entries[site]
    first = port_of(entry.endpoint) if entry.endpoint else DEFAULT_PORT
    return [first, *([port_of(entry.next_endpoint)] if entry.next_endpoint else [])]


def mtu(uplinks: Sequence[int]) -> int:
    """The largest packet that fits into the tunnel, whichever uplink carries it, bytes.

    Args:
        uplinks: the largest packet of each, bytes.
    """
    return min(uplinks) - OVERHEAD_BYTES
