"""The lab's hypervisor: libvirt, QEMU, sshd and an image registry in namespaces and a root file system of their own.

The machine's own libvirt, Docker and network are never touched: the hypervisor is one process tree that ends, with its
mounts and its network, when its first process is killed. What libvirt keeps (domains, disks) lies below `ROOT` and is
there again at the next start, so `stop` and `start` are a hypervisor's power cut.
"""

from lab.hypervisor.accelerator import accelerator
from lab.hypervisor.keys import AGENT, CLIENT_KEY, HOST_PUBLIC_KEY, KNOWN_HOSTS, REGISTRY_CA
from lab.hypervisor.namespaces import inside_command, operator_command
from lab.hypervisor.requirements import require_root, require_space
from lab.hypervisor.root import ROOT
from lab.hypervisor.service import ADDRESS, BRIDGE, LIBVIRT_URI, NETWORK, answers, start, stop

__all__ = [
    "ADDRESS",
    "AGENT",
    "BRIDGE",
    "CLIENT_KEY",
    "HOST_PUBLIC_KEY",
    "KNOWN_HOSTS",
    "LIBVIRT_URI",
    "NETWORK",
    "REGISTRY_CA",
    "ROOT",
    "accelerator",
    "answers",
    "inside_command",
    "operator_command",
    "require_root",
    "require_space",
    "start",
    "stop",
]
