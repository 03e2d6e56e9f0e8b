"""`WireGuardMesh`: a site's end of the tunnels, computed from its seed and the registry."""

from dataclasses import dataclass
from ipaddress import IPv4Interface

import pulumi

from components._guest import Guest
from components.wireguard_mesh.conf import apply_command, mesh_files
from components.wireguard_mesh.peers import peers
from config.derive import WireGuardKey
from config.registry import Registry


@dataclass(frozen=True, kw_only=True)
class WireGuardMeshArgs:
    """What a tunnel is made of: the site's key, everyone's public facts, and the node that carries it."""

    registry: Registry
    key: WireGuardKey
    guest: Guest


class WireGuardMesh(pulumi.ComponentResource):
    """One site's tunnels.

    Attributes:
        address: the site's address in the mesh with the mesh's prefix length.
        peers: names of those at the other ends.
    """

    address: str
    peers: list[str]

    def __init__(self, name: str, args: WireGuardMeshArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("fjord-edge:index:WireGuardMesh", name, None, opts)
        prefix = args.registry.network.prefixlen
        address = IPv4Interface(f"{args.registry.entries[name].address}/{prefix}")
        others = peers(name, args.registry)
        args.guest.install(
            f"{name}-tunnel", mesh_files(args.key, address, others), then=apply_command(address, others), parent=self
        )
        self.address = str(address)
        self.peers = [peer.name for peer in others]
        self.register_outputs({"address": self.address, "peers": self.peers})
