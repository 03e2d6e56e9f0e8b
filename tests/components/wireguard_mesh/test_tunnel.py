"""Peers and the tunnel's files: who talks to whom, and what `wg` makes of it."""

import os
from ipaddress import IPv4Interface, IPv4Network
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from components.wireguard_mesh.conf import apply_command, mesh_files, wg_conf
from components.wireguard_mesh.peers import Peer, peers
from config.derive import WireGuardKey, wireguard_key
from config.registry import Registry, load_registry
from tests.judges import judge
from tests.sites import SEED, entries, write_registry

KEY = wireguard_key(SEED, "oslo", 1)
ADDRESS = IPv4Interface("10.100.0.2/24")
HUB = Peer(
    name="hq",
    public_key=wireguard_key(SEED, "hq", 1).public,
    allowed_ips=(IPv4Network("10.100.0.0/24"), IPv4Network("10.50.0.0/16")),
    endpoint="192.0.2.1:51820",
    keepalive=25,
)


def bergen() -> dict[str, Any]:
    key = wireguard_key(SEED, "bergen", 1).public
    return {
        "role": "site",
        "owner": "@fjord-edge/bergen",
        "address": "10.100.0.3",
        "tunnelKey": key,
        "identityKey": key,
        "networks": ["192.168.30.0/24"],
        "endpoint": "bergen.example.com:51820",
    }


@pytest.fixture
def three_sites(tmp_path: Path) -> Registry:
    write_registry(tmp_path, entries() | {"bergen": bergen()})
    return load_registry(tmp_path)


def test_the_hub_has_every_site_as_a_peer(three_sites: Registry) -> None:
    found = peers("hq", three_sites)
    assert [(peer.name, peer.allowed_ips, peer.endpoint, peer.keepalive) for peer in found] == [
        (
            "bergen",
            (IPv4Network("10.100.0.3/32"), IPv4Network("192.168.30.0/24")),
            "bergen.example.com:51820",
            None,
        ),
        ("oslo", (IPv4Network("10.100.0.2/32"),), None, None),
    ]


@pytest.mark.parametrize("site", ["oslo", "bergen"])
def test_a_site_has_the_hub_alone_and_the_whole_mesh_behind_it(three_sites: Registry, site: str) -> None:
    [hub] = peers(site, three_sites)
    assert hub == Peer(
        name="hq",
        public_key=three_sites.entries["hq"].tunnel_key,
        allowed_ips=(IPv4Network("10.100.0.0/24"),),
        endpoint="hq.example.com:51820",
        keepalive=25,
    )


def test_the_hubs_peers_share_no_address(three_sites: Registry) -> None:
    networks = sorted(network for peer in peers("hq", three_sites) for network in peer.allowed_ips)
    assert not [pair for pair in pairwise(networks) if pair[0].overlaps(pair[1])]


def test_the_configuration_is_wg_quicks() -> None:
    behind_nat = Peer(name="oslo", public_key="AAAA", allowed_ips=(IPv4Network("10.100.0.2/32"),))
    assert wg_conf(WireGuardKey(private="PRIVATE", public=""), ADDRESS, [HUB, behind_nat]) == (
        "[Interface]\n"
        "Address = 10.100.0.2/24\n"
        "ListenPort = 51820\n"
        "PrivateKey = PRIVATE\n"
        "\n"
        "# hq\n"
        "[Peer]\n"
        f"PublicKey = {HUB.public_key}\n"
        "AllowedIPs = 10.100.0.0/24, 10.50.0.0/16\n"
        "Endpoint = 192.0.2.1:51820\n"
        "PersistentKeepalive = 25\n"
        "\n"
        "# oslo\n"
        "[Peer]\n"
        "PublicKey = AAAA\n"
        "AllowedIPs = 10.100.0.2/32\n"
    )


def test_nothing_overwrites_the_configuration_from_the_running_state() -> None:
    assert "SaveConfig" not in wg_conf(KEY, ADDRESS, [HUB])


@pytest.mark.skipif(os.geteuid() != 0, reason="wg-quick asks for root's password")
def test_wg_reads_every_line(tmp_path: Path) -> None:
    """`wg setconf` parses before it looks for the interface: with a line that it does not know, it says so instead."""
    configuration, stripped = tmp_path / "wg0.conf", tmp_path / "stripped"
    configuration.touch(mode=0o600)
    configuration.write_text(wg_conf(KEY, ADDRESS, [HUB]))
    stripped.write_text(judge("wg-quick", "strip", configuration))
    assert stripped.read_text().count("[Peer]") == 1
    answer = judge("wg", "setconf", "no-such-link", stripped, expected_status=1)
    assert answer.startswith("Unable to modify interface: ")


def test_the_private_key_is_roots_alone() -> None:
    modes = {file.path: (file.mode, file.owner) for file in mesh_files(KEY, ADDRESS, [HUB])}
    assert modes == {
        "/etc/wireguard/wg0.conf": (0o600, 0),
        "/etc/systemd/system/wg-quick@wg0.service.d/fjord-edge.conf": (0o644, 0),
    }


def test_a_tunnel_that_is_up_is_changed_in_place() -> None:
    assert apply_command(ADDRESS, [HUB]) == (
        "systemctl daemon-reload && systemctl --quiet enable wg-quick@wg0.service && "
        "if ip link show wg0 > /dev/null 2>&1; then "
        "ip address replace 10.100.0.2/24 dev wg0 && "
        "bash -c 'wg syncconf wg0 <(wg-quick strip wg0)' && "
        "ip route replace 10.50.0.0/16 dev wg0; "
        "else systemctl start --no-block wg-quick@wg0.service; fi"
    )


def test_the_meshs_own_network_needs_no_route() -> None:
    alone = Peer(name="hq", public_key="AAAA", allowed_ips=(IPv4Network("10.100.0.0/24"),))
    assert "ip route" not in apply_command(ADDRESS, [alone])


def test_the_command_is_one_that_a_shell_reads() -> None:
    judge("bash", "-n", stdin=apply_command(ADDRESS, [HUB]))


def test_the_command_holds_no_secret() -> None:
    assert KEY.private not in apply_command(ADDRESS, [HUB])
