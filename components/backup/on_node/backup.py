#!/usr/bin/env python3
"""Runs on the node: brings what the services keep to where backups lie, and back onto an empty data disk."""

import contextlib
import fcntl
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SETTINGS = Path("/etc/fjord-edge/backup/settings.json")
LOCK = Path("/run/fjord-edge-backup.lock")

#: When the last backup was whole; read by the facts.
LAST = Path("/var/lib/fjord-edge/last-backup.json")

#: On the data disk, so that a copy of a file that never changes is a second name of it.
STAGING, RESTORED = ".backup", ".restore"

#: The room that the file system keeps for the broker's user is not for copies.
WITHOUT_RESERVE = ("setpriv", "--bounding-set=-sys_resource")

NO_REPOSITORY = "Is there a repository at the following location?"

USE = "usage: backup run | list | restore-if-empty"


def main(words: list[str]) -> int:
    """Do one of it; what failed is told on standard error."""
    actions = {"run": run, "list": show, "restore-if-empty": restore_if_empty}
    if len(words) != 1 or words[0] not in actions:
        print(USE, file=sys.stderr)
        return 2
    try:
        with alone():
            actions[words[0]](json.loads(SETTINGS.read_text()))
    except FailedError as failed:
        print(f"backup: {failed}", file=sys.stderr)
        return 1
    return 0


class FailedError(Exception):
    """What could not be done, and what to do."""


class NoRepositoryError(FailedError):
    """Nobody has made the repository yet."""


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """One at a time."""
    with LOCK.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FailedError("another backup is at it; wait for its end") from None
        yield


def run(settings: dict[str, Any]) -> None:
    """Stage what is to be kept as of now, send what is new of it, forget what is old."""
    try:
        # What a killed one locked would be in the way.
        restic(settings, "unlock", "--quiet")
    except NoRepositoryError:
        restic(settings, "init")
    staging = Path(settings["data"], STAGING)
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(mode=0o700)
    try:
        for hook in sorted(Path(settings["hooks"]).glob("*")):
            checked([*WITHOUT_RESERVE, str(hook), str(staging)], name=hook.name)
        origin = ["--host", settings["site"], "--tag", disk(settings)]
        said = restic(settings, "backup", "--json", "--quiet", *origin, str(staging))
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    summary = json.loads(said.splitlines()[-1])
    last = {"time": int(time.time()), "snapshot": summary["snapshot_id"], "sentBytes": summary["data_added"]}
    LAST.parent.mkdir(parents=True, exist_ok=True)
    LAST.write_text(json.dumps(last) + "\n")
    print(json.dumps(last))
    # The copies of each data disk apart: those of an empty one push none of the last one's out.
    restic(settings, "forget", "--quiet", "--prune", "--group-by", "host,tags", *settings["keep"])


def show(settings: dict[str, Any]) -> None:
    """Print the copies there are, the oldest first."""
    print(json.dumps([{"time": each["time"], "snapshot": each["short_id"]} for each in snapshots(settings) or []]))


def restore_if_empty(settings: dict[str, Any]) -> None:
    """Take the last copy back when the services never kept anything here; make the repository where there is none.

    What was restored is put in its places only when it is whole, and a second call goes on with that.
    """
    data = Path(settings["data"])
    restored, whole = data / RESTORED, data / RESTORED / "whole"
    if not whole.exists():
        if any(kept(data)):
            print("the data disk holds data: nothing is restored")
            return
        shutil.rmtree(restored, ignore_errors=True)
        copies = snapshots(settings)
        if not copies:
            print("there is no backup yet: nothing is restored")
            if copies is None:
                restic(settings, "init")
            return
        print(f"restore {copies[-1]['short_id']} of {copies[-1]['time']}")
        restic(settings, "restore", copies[-1]["id"], "--target", str(restored))
        os.sync()
        whole.touch()
    for entry in (restored / data.relative_to("/") / STAGING).glob("*"):
        entry.rename(data / entry.name)
    shutil.rmtree(restored)


def kept(data: Path) -> Iterator[Path]:
    """What the services keep on the data disk."""
    return (entry for entry in data.iterdir() if entry.name not in {"lost+found", STAGING, RESTORED})


def disk(settings: dict[str, Any]) -> str:
    """The file system on the data disk, which copies are grouped by."""
    return checked(["findmnt", "--noheadings", "--output", "UUID", "--mountpoint", settings["data"]]).strip()


def snapshots(settings: dict[str, Any]) -> list[dict[str, Any]] | None:
    """The copies there are, the oldest first; None where there is no repository yet."""
    try:
        found = json.loads(restic(settings, "snapshots", "--json", "--host", settings["site"]))
    except NoRepositoryError:
        return None
    return sorted(found, key=lambda each: str(each["time"]))


def restic(settings: dict[str, Any], *words: str) -> str:
    """Run restic on the site's repository."""
    try:
        return checked([*settings["restic"], *words])
    except FailedError as failed:
        if NO_REPOSITORY in str(failed):
            raise NoRepositoryError(str(failed)) from None
        raise


def checked(command: list[str], *, name: str | None = None) -> str:
    """Run a program, which must succeed; what fails is called by its name, or by another."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip()
        raise FailedError(
            f"{name or Path(command[0]).name} failed: {said}. See that the host of `backup` answers, and lets in "
            "the stack's backupKey, then try again"
        )
    return done.stdout


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
