#!/usr/bin/env python3
"""Runs on the hypervisor for ever: starts a node again whose QEMU was killed or crashed.

One that was shut down or destroyed on purpose stays off. libvirt itself starts nodes after the hypervisor's reboot.
"""

import fcntl
import subprocess
import sys
import time
from collections import deque
from pathlib import Path

#: A node is ours when what it was made of is written down here.
RECORDS = Path("/var/lib/fjord-edge")
LOCK = Path("/run/fjord-edge-keep-running.lock")

LOOK_SECONDS = 5
#: No more starts than this in that time: a node that crashes again and again needs a look.
STARTS, WITHIN_SECONDS = 5, 600

CRASHED = {"shut off (crashed)", "shut off (failed)"}


def main() -> int:
    """Look every few seconds; a second keeper leaves at once."""
    lock = LOCK.open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return 0
    started: dict[str, deque[float]] = {}
    while True:
        for record in RECORDS.glob("*.json"):
            look(record.stem, started.setdefault(record.stem, deque(maxlen=STARTS)), time.monotonic())
        time.sleep(LOOK_SECONDS)


def look(domain: str, started: deque[float], now: float) -> None:
    """Start the domain if it crashed and was not started too often."""
    if virsh("domstate", domain, "--reason") not in CRASHED:
        return
    if len(started) == STARTS and now - started[0] < WITHIN_SECONDS:
        return
    started.append(now)
    virsh("start", domain)
    tell(f"{domain} had crashed and was started again")
    if len(started) == STARTS and now - started[0] < WITHIN_SECONDS:
        tell(f"{domain} crashed {STARTS} times in {WITHIN_SECONDS} s; next time it stays off: virsh start {domain}")


def virsh(*words: str) -> str:
    """Ask libvirt; a domain that is not there says nothing."""
    command = ["virsh", "--connect", "qemu:///system", *words]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False)
    return done.stdout.strip()


def tell(message: str) -> None:
    """To the journal, or the log where there is none."""
    subprocess.run(["logger", "--tag", "fjord-edge", message], check=False)


if __name__ == "__main__":
    sys.exit(main())
