"""`Backup`: a node's data goes off it every night, and comes back to an empty data disk before any service starts."""

from dataclasses import dataclass, field, replace

import pulumi

from components._guest import Guest
from components.backup.restic import APPLY, backup_files
from config.derive import SshKey
from config.site import Backup as BackupSection


@dataclass(frozen=True, kw_only=True)
class BackupArgs:
    """What a backup is made of: where it goes, the keys to it, and the node whose data it is."""

    backup: BackupSection
    epoch: int
    key: SshKey
    password: str = field(repr=False)
    guest: Guest


class Backup(pulumi.ComponentResource):
    """The backup of one site.

    Attributes:
        guest: the node, ready once its data disk holds what it should.
    """

    guest: Guest

    def __init__(self, name: str, args: BackupArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("fjord-edge:index:Backup", name, None, opts)
        files = backup_files(name, args.backup, epoch=args.epoch, key=args.key, password=args.password)
        restored = args.guest.install(f"{name}-backup", files, then=APPLY, parent=self)
        self.guest = replace(args.guest, ready=restored)
        self.register_outputs({})
