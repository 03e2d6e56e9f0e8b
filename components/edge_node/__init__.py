"""The guest of a site: libvirt domain, disks, first boot, facts."""

from components.edge_node.component import EdgeNode, EdgeNodeArgs
from components.edge_node.libvirt import hypervisor_provider

__all__ = ["EdgeNode", "EdgeNodeArgs", "hypervisor_provider"]
