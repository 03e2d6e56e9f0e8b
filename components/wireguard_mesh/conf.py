"""The tunnel's files on the node, and the command that puts them in force without dropping it."""

from collections.abc import Sequence
from ipaddress import IPv4Interface, IPv4Network

from components._files import File
from components.wireguard_mesh.peers import PORT, Peer
from config.derive import WireGuardKey

INTERFACE = "wg0"

_UNIT = f"wg-quick@{INTERFACE}.service"

#: The endpoint's name may not resolve while the fibre is cut: try again, for ever.
_RETRY = """\
[Unit]
StartLimitIntervalSec=0

[Service]
Restart=on-failure
RestartSec=10
"""


def wg_conf(key: WireGuardKey, address: IPv4Interface, peers: Sequence[Peer]) -> str:
    """Render wg-quick(8)'s configuration; without SaveConfig, which would overwrite it from the running state."""
    interface = ["[Interface]", f"Address = {address}", f"ListenPort = {PORT}", f"PrivateKey = {key.private}"]
    return "\n".join([*interface, *(line for peer in peers for line in _peer(peer))]) + "\n"


def _peer(peer: Peer) -> list[str]:
    lines = ["", f"# {peer.name}", "[Peer]", f"PublicKey = {peer.public_key}"]
    lines.append("AllowedIPs = " + ", ".join(str(network) for network in peer.allowed_ips))
    if peer.endpoint:
        lines.append(f"Endpoint = {peer.endpoint}")
    if peer.keepalive:
        lines.append(f"PersistentKeepalive = {peer.keepalive}")
    return lines


def mesh_files(key: WireGuardKey, address: IPv4Interface, peers: Sequence[Peer]) -> list[File]:
    """The files of the tunnel; the private key is root's alone."""
    return [
        File(path=f"/etc/wireguard/{INTERFACE}.conf", contents=wg_conf(key, address, peers), mode=0o600),
        File(path=f"/etc/systemd/system/{_UNIT}.d/fjord-edge.conf", contents=_RETRY),
    ]


def apply_command(address: IPv4Interface, peers: Sequence[Peer]) -> str:
    """The idempotent command that brings a node to its files.

    An interface that is up is changed in place: address, peers by `wg syncconf`, routes. One that is not is started,
    and goes on being tried while the hub's name does not resolve.
    """
    routes = [network for peer in peers for network in peer.allowed_ips if not _on_link(network, address)]
    in_place = [
        f"ip address replace {address} dev {INTERFACE}",
        f"bash -c 'wg syncconf {INTERFACE} <(wg-quick strip {INTERFACE})'",
        *(f"ip route replace {network} dev {INTERFACE}" for network in routes),
    ]
    return (
        f"systemctl daemon-reload && systemctl --quiet enable {_UNIT} && "
        f"if ip link show {INTERFACE} > /dev/null 2>&1; then {' && '.join(in_place)}; "
        f"else systemctl start --no-block {_UNIT}; fi"
    )


def _on_link(network: IPv4Network, address: IPv4Interface) -> bool:
    """The kernel makes the route to the interface's own network itself."""
    return network.subnet_of(address.network)
