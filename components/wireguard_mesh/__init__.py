"""The tunnel between a site and headquarters: keys, peers, configuration."""

from components.wireguard_mesh.component import WireGuardMesh, WireGuardMeshArgs
from components.wireguard_mesh.peers import PORT

__all__ = ["PORT", "WireGuardMesh", "WireGuardMeshArgs"]
