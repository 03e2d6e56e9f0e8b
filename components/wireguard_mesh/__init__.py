"""The tunnels between sites and headquarters: keys, peers, configuration."""

from components.wireguard_mesh.component import WireGuardMesh, WireGuardMeshArgs
from components.wireguard_mesh.peers import mtu, ports

__all__ = ["WireGuardMesh", "WireGuardMeshArgs", "mtu", "ports"]
