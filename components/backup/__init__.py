"""Copies of a site's data off its node, and the way back."""

from components.backup.component import Backup, BackupArgs

__all__ = ["Backup", "BackupArgs"]
