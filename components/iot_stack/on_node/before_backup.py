#!/usr/bin/env python3
"""Runs on the node before a backup: puts into a folder on the data disk what the services keep, as of one moment.

The database is paused meanwhile, as at a power cut: what it was told it has in its log. Its old files never change and
get a second name; the rest is copied. The collector waits, and the broker keeps what comes in. The broker's database is
copied by SQLite's own means.
"""

import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

DATA = Path("/srv/fjord-edge")
DATABASE = "influxdb"
BROKER = "mosquitto/mosquitto.sqlite"

#: InfluxDB writes a file of these once and then only reads or deletes it.
NEVER_CHANGED = {".tsm", ".tsi"}


def main(staging: Path) -> int:
    """Stage both."""
    if (DATA / DATABASE).is_dir():
        with paused(DATABASE):
            copy(DATA / DATABASE, staging / DATABASE)
    if (DATA / BROKER).is_file():
        target = staging / BROKER
        target.parent.mkdir(mode=0o700)
        origin, copied = sqlite3.connect(f"file:{DATA / BROKER}?mode=ro", uri=True), sqlite3.connect(target)
        with contextlib.closing(origin), contextlib.closing(copied):
            origin.backup(copied)
        owner_and_mode((DATA / BROKER).parent, target.parent)
        owner_and_mode(DATA / BROKER, target)
    return 0


@contextlib.contextmanager
def paused(container: str) -> Iterator[None]:
    """Hold a container still, if it runs."""
    held = subprocess.run(["docker", "pause", container], capture_output=True, check=False).returncode == 0
    try:
        yield
    finally:
        if held:
            subprocess.run(["docker", "unpause", container], stdout=subprocess.DEVNULL, check=True)


def copy(origin: Path, target: Path) -> None:
    """Copy a tree with owners and modes."""
    target.mkdir()
    owner_and_mode(origin, target)
    for entry in origin.iterdir():
        if entry.is_dir():
            copy(entry, target / entry.name)
        elif entry.suffix in NEVER_CHANGED:
            os.link(entry, target / entry.name)
        else:
            shutil.copyfile(entry, target / entry.name)
            owner_and_mode(entry, target / entry.name)


def owner_and_mode(origin: Path, target: Path) -> None:
    """As the origin's, times too, by which a later backup knows what did not change."""
    shutil.copystat(origin, target)
    status = origin.stat()
    os.chown(target, status.st_uid, status.st_gid)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
