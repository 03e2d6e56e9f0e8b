"""Who talks to whom, and what `wg` makes of it."""

from ipaddress import IPv4Address, ip_interface, ip_network
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from components.wireguard_mesh.peers import Peer, mtu, peers, ports
from config.derive import identity_key, wireguard_key
from config.registry import Registry, load_registry
from tests.sites import SEED, entries, write_registry


def bergen(**changed: Any) -> dict[str, Any]:
    return {
        "role": "site",
        "owner": "@fjord-edge/bergen",
        "address": "10.100.0.3",
        "address6": "fd5c:9a1e:27d4::3",
        "tunnelKey": wireguard_key(SEED, "bergen", 1).public,
        "identityKey": identity_key(SEED, "bergen", 1).public,
        "networks": ["192.168.30.0/24", "fd30::/48"],
        "endpoint": "bergen.example.com:51830",
        **changed,
    }


def registered(folder: Path, **files: Any) -> Registry:
    write_registry(folder, entries() | {"bergen": bergen()} | files)
    return load_registry(folder)


@pytest.fixture
def three_sites(tmp_path: Path) -> Registry:
    return registered(tmp_path)


def texts(peer: Peer) -> list[str]:
    return [str(network) for network in peer.allowed_ips]


def test_the_hub_has_every_site_as_a_peer(three_sites: Registry) -> None:
    assert [(peer.name, texts(peer), peer.endpoint, peer.keepalive) for peer in peers("hq", three_sites)] == [
        (
            "bergen",
            ["10.100.0.3/32", "fd5c:9a1e:27d4::3/128", "192.168.30.0/24", "fd30::/48"],
            "bergen.example.com:51830",
            None,
        ),
        ("oslo", ["10.100.0.2/32", "fd5c:9a1e:27d4::2/128"], None, None),
    ]


@pytest.mark.parametrize("site", ["oslo", "bergen"])
def test_a_site_has_the_hub_alone_and_the_whole_mesh_behind_it(three_sites: Registry, site: str) -> None:
    [hub] = peers(site, three_sites)
    assert hub == Peer(
        name="hq",
        public_key=three_sites.entries["hq"].tunnel_key,
        address=IPv4Address("10.100.0.1"),
        allowed_ips=(ip_network("10.100.0.0/24"), ip_network("fd5c:9a1e:27d4::/64")),
        endpoint="hq.example.com:51820",
        keepalive=25,
    )


def test_the_hubs_peers_share_no_address(three_sites: Registry) -> None:
    networks = [network for peer in peers("hq", three_sites) for network in peer.allowed_ips]
    assert not [
        (one, other) for one, other in combinations(networks, 2) if one.version == other.version and one.overlaps(other)
    ]


def test_the_hub_knows_a_sites_next_key_and_a_site_not_the_hubs(tmp_path: Path) -> None:
    key = wireguard_key(SEED, "any", 2).public
    hub = entries()["hq"] | {"nextTunnelKey": key, "nextEndpoint": "hq.example.com:51821"}
    both = registered(tmp_path, hq=hub, bergen=bergen(nextTunnelKey=wireguard_key(SEED, "bergen", 2).public))
    assert [peer.next_key for peer in peers("hq", both)] == [wireguard_key(SEED, "bergen", 2).public, None]
    assert [(peer.next_key, peer.endpoint) for peer in peers("oslo", both)] == [(None, "hq.example.com:51820")]


def test_everybody_listens_where_the_registry_says(tmp_path: Path) -> None:
    hub = entries()["hq"] | {
        "nextTunnelKey": wireguard_key(SEED, "hq", 2).public,
        "nextEndpoint": "[2001:db8::1]:51821",
    }
    both = registered(tmp_path, hq=hub)
    assert (ports("hq", both), ports("bergen", both), ports("oslo", both)) == ([51820, 51821], [51830], [51820])


def test_a_site_has_its_addresses_with_the_meshs_lengths(three_sites: Registry) -> None:
    assert three_sites.interfaces("bergen") == (ip_interface("10.100.0.3/24"), ip_interface("fd5c:9a1e:27d4::3/64"))


@pytest.mark.parametrize(("first", "second", "expected"), [(1500, 1500, 1420), (1500, 1430, 1350), (1492, 9000, 1412)])
def test_the_tunnels_packets_fit_through_the_narrowest_uplink(first: int, second: int, expected: int) -> None:
    assert mtu([first, second]) == expected
