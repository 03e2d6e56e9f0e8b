"""Show who holds the lock of a site's stack, and clear one that a killed update has left."""

import argparse
import json
import socket
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path

from config.loader import PROJECT
from edge import site as command
from edge.site import EdgeError, Site, confirmed

#: No update takes as long; a lock that is older was probably left, and one of another machine's may be cleared.
STALE_SECONDS = 3600


@dataclass(frozen=True)
class Lock:
    """What the engine wrote when an operation began (pkg/backend/diy/lock.go)."""

    pid: int
    user: str
    host: str
    since: datetime

    @classmethod
    def parse(cls, text: str) -> "Lock":
        """Read the file of a lock."""
        told = json.loads(text)
        return cls(told["pid"], told["username"], told["hostname"], datetime.fromisoformat(told["timestamp"]))

    @property
    def age_seconds(self) -> int:
        """How long it is held."""
        return int(time.time() - self.since.timestamp())

    @property
    def is_elsewhere(self) -> bool:
        """Whether another machine made it, whose processes are not to be seen from here."""
        return self.host != socket.gethostname()

    @property
    def is_probably_held(self) -> bool:
        """Whether an update may well run on another machine."""
        return self.is_elsewhere and self.age_seconds < STALE_SECONDS

    @property
    def is_held(self) -> bool:
        """Whether the process that made it runs on this machine; another program may have its number by now."""
        if self.is_elsewhere:
            return False
        return "pulumi" in command.run(["ps", "-o", "comm=", "-p", str(self.pid)]).stdout

    def __str__(self) -> str:
        minutes = self.age_seconds // 60
        age = f"{minutes} min" if minutes < 120 else f"{minutes // 60} h"
        return f"{self.user}@{self.host}, process {self.pid}, since {self.since:%Y-%m-%d %H:%M:%S%z} ({age})"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What it understands beside the site."""
    parser.add_argument("--yes", action="store_true", help="do not ask")


def run(arguments: argparse.Namespace) -> int:
    """Tell each lock; the status is 1 when one is held, 2 when nobody said that it may go."""
    site = Site.of(arguments)
    backend = folder(site.backend)
    if backend is None:
        raise EdgeError(
            "this backend is no folder: whose the lock is says the update that did not begin; once that has ended, "
            f"pulumi cancel --stack {site.name}"
        )
    found = locks(site.name, backend)
    if not found:
        print(f"nobody holds the lock of {site.name}")
        return 0
    for lock in found:
        print(f"{site.name} is locked by {lock}: {_verdict(lock)}")
    if any(lock.is_held for lock in found):
        raise EdgeError(f"an update of {site.name} runs; wait for it, or end it by Ctrl-C where it was started")
    for lock in found:
        if lock.is_probably_held:
            raise EdgeError(_too_young(site.name, lock))
    if not confirmed(site.name, arguments):
        return 2
    return site.pulumi("cancel", "--yes")


@cache
def folder(backend: str | None) -> Path | None:
    """Where the engine keeps its state, if that is a folder; in other backends only the engine sees a lock.

    Args:
        backend: None for the shell's.

    Raises:
        EdgeError: the engine is logged in nowhere.
    """
    done = command.run(["pulumi", "whoami", "--output", "json"], environment=command.at_backend(backend))
    if done.returncode != 0:
        raise EdgeError(f"pulumi whoami: {done.stderr.strip()}\n{command.told_backend(backend)}")
    scheme, _, place = json.loads(done.stdout)["url"].partition("://")
    return Path(place.partition("?")[0]).expanduser() if scheme == "file" else None


def locks(stack: str, backend: Path) -> list[Lock]:
    """The locks of a stack in a backend that is a folder; one that goes meanwhile is none."""
    found = []
    for path in sorted((backend / ".pulumi" / "locks" / "organization" / PROJECT / stack).glob("*.json")):
        try:
            found.append(Lock.parse(path.read_text()))
        except FileNotFoundError:
            continue
    return found


def _too_young(stack: str, lock: Lock) -> str:
    stale = lock.since + timedelta(seconds=STALE_SECONDS)
    return (
        f"{lock.user} probably updates {stack} from {lock.host}, and a second update beside it would harm the state; "
        f"ask there. From {stale:%H:%M:%S%z} on, when it is {STALE_SECONDS // 60} min old, this clears it; if you know "
        f"that nothing runs on {lock.host}: pulumi cancel --stack {stack}"
    )


def _verdict(lock: Lock) -> str:
    if lock.is_held:
        return "it runs"
    if lock.is_elsewhere:
        return f"whether it runs is only to be seen on {lock.host}; ask there first"
    return "it has ended and left the lock; what it had begun, the next update shows"
