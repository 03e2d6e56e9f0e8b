"""`Backup`: a node's data goes off it every night, and comes back to an empty data disk before any service starts."""

from dataclasses import dataclass, field, replace

import pulumi

from components._guest import Guest
from components.backup.restic import APPLY, REMOVE, backup_files
from config.derive import SshKey
from config.site import Backup as BackupSection


@dataclass(frozen=True, kw_only=True)
class BackupArgs:
    """What a backup is made of: where it goes if anywhere, the keys to it, and the node whose data it is."""

    backup: BackupSection | None
    epoch: int
    key: SshKey
    password: str = field(repr=False)
    guest: Guest


class Backup(pulumi.ComponentResource):
    """The backup of one site; where it has none, what is left on the node of one that it had is removed.

    Attributes:
        guest: the node, ready once its data disk holds what it should.
    """

    guest: Guest

    def __init__(self, name: str, args: BackupArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("fjord-edge:index:Backup", name, None, opts)
        files, then = [], REMOVE
        if args.backup:
            files = backup_files(name, args.backup, epoch=args.epoch, key=args.key, password=args.password)
            then = APPLY
        applied = args.guest.install(f"{name}-backup", files, then=then, parent=self)
        self.guest = replace(args.guest, ready=applied)
        self.register_outputs({})
