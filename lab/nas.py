"""The farm's NAS, where backups go: an SFTP server in the hypervisor's namespaces, on the farm's own network."""

from collections.abc import Sequence

from config import derive
from lab.hypervisor.keys import HOST_PUBLIC_KEY
from lab.hypervisor.root import ROOT
from lab.stacks import Stack

#: Its folder outlives the hypervisor's disks.
FOLDER = ROOT / "srv/nas/backups"

_KEYS = ROOT / "etc/ssh/nas_keys"


def host_key() -> str:
    """Its SSH host key as in known_hosts."""
    return " ".join(HOST_PUBLIC_KEY.read_text().split()[:2])


def admit(stacks: Sequence[Stack]) -> None:
    """Let in the nodes of those sites that have a backup."""
    keys = [
        derive.backup_ssh_key(stack.seed, stack.name, stack.site.epochs.backup).public
        for stack in stacks
        if stack.site.backup
    ]
    _KEYS.write_text("".join(f"restrict {key}\n" for key in keys))
