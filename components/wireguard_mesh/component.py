"""`WireGuardMesh`: a site's end of the tunnels, computed from its seed and the registry."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi

from components._guest import Guest
from components.wireguard_mesh.conf import APPLY, Listener, interface_name, mesh_files, mesh_json
from components.wireguard_mesh.peers import peers, ports
from config.derive import WireGuardKey
from config.registry import Registry


@dataclass(frozen=True, kw_only=True)
class WireGuardMeshArgs:
    """What tunnels are made of: the site's keys, everyone's public facts, and the node that carries them.

    `keys` are the one in use, whose epoch is `epoch`, and the next one while it is rotated; `mtu` is the tunnel's.
    """

    registry: Registry
    keys: Sequence[WireGuardKey]
    epoch: int
    mtu: int
    guest: Guest


class WireGuardMesh(pulumi.ComponentResource):
    """One site's tunnels.

    Attributes:
        addresses: the site's addresses in the mesh with the mesh's prefix lengths.
        peers: names of those at the other ends.
        applied: what is there once the tunnels are as asked.
    """

    addresses: list[str]
    peers: list[str]
    applied: pulumi.Resource

    def __init__(self, name: str, args: WireGuardMeshArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("fjord-edge:index:WireGuardMesh", name, None, opts)
        addresses = args.registry.interfaces(name)
        others = peers(name, args.registry)
        text = mesh_json(addresses, args.mtu, _listeners(name, args), others)
        self.applied = args.guest.install(f"{name}-tunnel", mesh_files(text), then=APPLY, parent=self)
        self.addresses = [str(address) for address in addresses]
        self.peers = [peer.name for peer in others]
        self.register_outputs({"addresses": self.addresses, "peers": self.peers})


def _listeners(site: str, args: WireGuardMeshArgs) -> Mapping[str, Listener]:
    """A site changes its key on its interface; the hub has a second one for its next key."""
    is_hub = site == args.registry.hub
    return {
        interface_name(is_hub=is_hub, epoch=args.epoch + number): Listener(key=key, port=port)
        for number, (key, port) in enumerate(zip(args.keys, ports(site, args.registry), strict=False))
    }
