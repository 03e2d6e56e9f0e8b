"""The tunnel between a site and headquarters: keys, peers, configuration."""

from components.wireguard_mesh.component import WireGuardMesh, WireGuardMeshArgs

__all__ = ["WireGuardMesh", "WireGuardMeshArgs"]
