"""What a node is asked for."""

import json
from dataclasses import replace
from ipaddress import IPv4Address, ip_interface, ip_network

import pytest

from components._files import Directory, File
from components.wireguard_mesh.conf import APPLY, Listener, interface_name, mesh_files, mesh_json
from components.wireguard_mesh.peers import Peer
from config.derive import wireguard_key
from tests.judges import judge
from tests.sites import SEED

KEY = wireguard_key(SEED, "oslo", 1)
ADDRESSES = [ip_interface("10.100.0.2/24"), ip_interface("fd5c::2/64")]
HUB = Peer(
    name="hq",
    public_key=wireguard_key(SEED, "hq", 1).public,
    address=IPv4Address("10.100.0.1"),
    allowed_ips=(ip_network("10.100.0.0/24"), ip_network("fd5c::/64")),
    endpoint="192.0.2.1:51820",
    keepalive=25,
)
TEXT = mesh_json(ADDRESSES, 1420, {"wg0": Listener(key=KEY, port=51820)}, [HUB])


def test_the_file_says_what_the_node_shall_be() -> None:
    assert json.loads(TEXT) == {
        "addresses": ["10.100.0.2", "fd5c::2"],
        "mtu": 1420,
        "interfaces": {"wg0": {"privateKey": KEY.private, "port": 51820}},
        "peers": [
            {
                "name": "hq",
                "keys": [HUB.public_key],
                "address": "10.100.0.1",
                "allowedIps": ["10.100.0.0/24", "fd5c::/64"],
                "endpoint": "192.0.2.1:51820",
                "keepalive": 25,
            }
        ],
    }


def test_a_peers_next_key_comes_after_its_first() -> None:
    both = json.loads(mesh_json(ADDRESSES, 1420, {}, [replace(HUB, next_key="BBBB")]))
    assert both["peers"][0]["keys"] == [HUB.public_key, "BBBB"]


@pytest.mark.parametrize(
    ("is_hub", "epoch", "name"), [(False, 1, "wg0"), (False, 2, "wg0"), (True, 1, "wg0"), (True, 2, "wg1")]
)
def test_a_key_of_the_hub_keeps_its_interface(is_hub: bool, epoch: int, name: str) -> None:
    assert interface_name(is_hub=is_hub, epoch=epoch) == name
    assert not is_hub or interface_name(is_hub=True, epoch=epoch + 1) != name


def test_the_private_key_is_roots_alone() -> None:
    entries = mesh_files(TEXT)
    holding = [entry for entry in entries if isinstance(entry, File) and KEY.private in entry.contents]
    assert [(file.path, file.mode, file.owner) for file in holding] == [("/etc/fjord-edge/mesh/mesh.json", 0o600, 0)]
    assert [entry.mode for entry in entries if isinstance(entry, Directory)] == [0o700]


def test_the_command_is_one_that_a_shell_reads_and_holds_no_secret() -> None:
    judge("bash", "-n", stdin=APPLY)
    assert KEY.private not in APPLY
