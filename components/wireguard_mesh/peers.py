"""Who talks to whom: hub and spokes, computed from the registry."""

from dataclasses import dataclass
from ipaddress import IPv4Network

from config.registry import Registry

PORT = 51820

#: Seconds; keeps a NAT's mapping open (wg(8) recommends 25).
KEEPALIVE_SECONDS = 25


@dataclass(frozen=True, kw_only=True)
class Peer:
    """The other end of a tunnel."""

    name: str
    public_key: str
    allowed_ips: tuple[IPv4Network, ...]
    endpoint: str | None = None
    keepalive: int | None = None


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
        allowed_ips=(IPv4Network(entry.address), *entry.networks),
        endpoint=entry.endpoint,
    )


def _hub(registry: Registry) -> Peer:
    """The hub as a site sees it: the whole mesh lies behind it, and the site keeps the way to it open."""
    entry = registry.entries[registry.hub]
    return Peer(
        name=registry.hub,
        public_key=entry.tunnel_key,
        allowed_ips=(registry.network, *entry.networks),
        endpoint=entry.endpoint,
        keepalive=KEEPALIVE_SECONDS,
    )
