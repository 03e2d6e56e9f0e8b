"""What a node's end of the tunnels is asked to be, and the program that brings it there and keeps it there."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from components._files import CONFIGURATION, PROGRAMS, Directory, File
from components.wireguard_mesh.peers import Peer
from config.derive import WireGuardKey
from config.registry import IPInterface

PROGRAM = f"{PROGRAMS}/mesh"

_FOLDER = f"{CONFIGURATION}/mesh"
_UNIT = "fjord-edge-mesh.service"

#: In force before Docker, which binds to the mesh's address; without a name server, or the other end, it starts too.
_SERVICE = f"""\
[Unit]
Description=WireGuard tunnels of the mesh
After=network-pre.target fjord-edge-tuning.service
Wants=network-pre.target
Before=docker.service
StartLimitIntervalSec=0

[Service]
Type=notify
NotifyAccess=all
ExecStart={PROGRAM} watch
Restart=always
RestartSec=2

[Install]
WantedBy=multi-user.target
"""

#: Puts the files in force and says whether they hold; what breaks a tunnel that worked is taken back by the node.
APPLY = f"systemctl daemon-reload && systemctl --quiet enable {_UNIT} && {PROGRAM} apply"

#: Prints the tunnels as they are, as JSON.
SHOW = f"sudo {PROGRAM} show"


@dataclass(frozen=True, kw_only=True)
class Listener:
    """A WireGuard interface: its key and its UDP port."""

    key: WireGuardKey
    port: int


def interface_name(*, is_hub: bool, epoch: int) -> str:
    """A site keeps its one interface; the hub's have turns, so that a key keeps its interface when it is promoted."""
    return f"wg{(epoch - 1) % 2}" if is_hub else "wg0"


def mesh_json(
    addresses: Sequence[IPInterface], mtu: int, listeners: Mapping[str, Listener], peers: Sequence[Peer]
) -> str:
    """Render the file; it holds the private keys.

    Args:
        addresses: the node's own in the mesh.
        mtu: of the interfaces, bytes.
        listeners: by the interface's name, the one in use first.
        peers: the other ends, on each interface.
    """
    wanted = {
        "addresses": [str(address.ip) for address in addresses],
        "mtu": mtu,
        "interfaces": {
            name: {"privateKey": listener.key.private, "port": listener.port} for name, listener in listeners.items()
        },
        "peers": [
            {
                "name": peer.name,
                "keys": [peer.public_key, *([peer.next_key] if peer.next_key else [])],
                "address": str(peer.address),
                "allowedIps": [str(network) for network in peer.allowed_ips],
                "endpoint": peer.endpoint,
                "keepalive": peer.keepalive,
            }
            for peer in peers
        ],
    }
    return json.dumps(wanted, indent=2) + "\n"


def mesh_files(text: str) -> list[File | Directory]:
    """The files of the tunnels; the private keys are root's alone.

    Args:
        text: what `mesh_json` rendered.
    """
    program = (Path(__file__).parent / "on_node" / "mesh.py").read_text()
    return [
        File(path=PROGRAM, contents=program, mode=0o755),
        Directory(path=_FOLDER, mode=0o700),
        File(path=f"{_FOLDER}/mesh.json", contents=text, mode=0o600),
        File(path=f"/etc/systemd/system/{_UNIT}", contents=_SERVICE),
    ]
