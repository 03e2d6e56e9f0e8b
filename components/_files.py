"""Files for the node as one archive: owner, mode and contents arrive together by standard input, never in a command."""

import base64
import hashlib
import io
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass, field

#: Where the services' own data lies on the node: the data disk, which outlives the VM.
DATA = "/srv/fjord-edge"

#: Where configuration lies on the node; services get theirs mounted read-only.
CONFIGURATION = "/etc/fjord-edge"

#: Where the programs that run on the node lie.
PROGRAMS = "/usr/local/lib/fjord-edge"

#: Unpacks `archive` from standard input, then runs its one argument; see node_image/rootfs.
INSTALL = f"sudo {PROGRAMS}/install-files"


@dataclass(frozen=True, kw_only=True)
class File:
    """A file on the node; `contents` may be secret and is never shown."""

    path: str
    contents: str = field(repr=False)
    mode: int = 0o644
    owner: int = 0


@dataclass(frozen=True, kw_only=True)
class Directory:
    """A directory on the node, made when missing."""

    path: str
    mode: int = 0o755
    owner: int = 0


def archive(entries: Iterable[File | Directory]) -> str:
    """Pack files and directories as base64 of a tar archive: same entries, same text."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for entry in sorted(entries, key=lambda entry: entry.path):
            member = tarfile.TarInfo(entry.path.lstrip("/"))
            member.mode = entry.mode
            member.uid = member.gid = entry.owner
            if isinstance(entry, Directory):
                member.type = tarfile.DIRTYPE
                tar.addfile(member)
            else:
                contents = entry.contents.encode()
                member.size = len(contents)
                tar.addfile(member, io.BytesIO(contents))
    return base64.b64encode(packed.getvalue()).decode()


def digest(entries: Iterable[File | Directory]) -> str:
    """SHA-256 of the archive, hex: changes exactly when a file does."""
    return hashlib.sha256(archive(entries).encode()).hexdigest()
