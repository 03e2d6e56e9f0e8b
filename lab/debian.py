"""Root file systems made of Debian packages, as tarballs."""

import tarfile
from collections.abc import Sequence
from pathlib import Path

from lab.console import run

#: Documentation and translations: nobody reads them there.
UNREAD = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/info/*", "/usr/share/locale/*")

REMEDY = "Check that Debian's packages can be reached from this machine, then run the command again."


def bootstrap(
    tarball: Path,
    *,
    suite: str,
    packages: Sequence[str],
    variant: str = "minbase",
    options: Sequence[str] = (),
    log: str,
) -> None:
    """Install packages and what they depend on, without what they only recommend, into a tarball.

    Args:
        tarball: the file to write, uncompressed.
        suite: Debian's name of a release, as `bookworm` or `sid`.
        packages: names of packages.
        variant: the set of packages below them, in mmdebstrap's words.
        options: further options of mmdebstrap, hooks for instance.
        log: the log's name, without folder and suffix.

    Raises:
        LabError: a package was not to be had.
    """
    run(
        [
            "mmdebstrap",
            f"--variant={variant}",
            "--format=tar",
            f"--include={','.join(packages)}",
            # A mirror may lag behind the few days for which sid's index calls itself valid.
            '--aptopt=Acquire::Check-Valid-Until "false"',
            *(f"--dpkgopt=path-exclude={pattern}" for pattern in UNREAD),
            *options,
            suite,
            tarball,
        ],
        log=log,
        remedy=REMEDY,
    )


def pack(folder: Path, tarball: Path) -> None:
    """Write a folder's files as root's, with the modes git knows, so that every checkout gives the same bytes."""

    def normalised(entry: tarfile.TarInfo) -> tarfile.TarInfo:
        entry.uid = entry.gid = entry.mtime = 0
        entry.uname = entry.gname = "root"
        entry.mode = 0o755 if entry.isdir() or entry.mode & 0o100 else 0o644
        return entry

    with tarfile.open(tarball, "w", format=tarfile.GNU_FORMAT) as archive:
        for path in sorted(folder.rglob("*")):
            archive.add(path, path.relative_to(folder), recursive=False, filter=normalised)
