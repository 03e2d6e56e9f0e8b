"""Drills: what a power cut costs. Acknowledged, stored, missing: a difference of two sets of times."""

import contextlib
import json
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from components.iot_stack.containers import MQTT_TLS_PORT
from config import derive
from lab import hypervisor
from lab.boot import healthy
from lab.console import LabError
from lab.paths import CHECKOUT, STATE
from lab.sensors import query
from lab.stacks import Stack

#: Readings a second: a hundred sensors that each send one in five seconds.
RATE = 20

#: A cut comes after so many seconds of load, at random.
LOAD_SECONDS = (8.0, 20.0)

#: How long a node may take until all is healthy again, under emulation, and its collector until all is stored.
BACK_SECONDS = 420
STORED_SECONDS = 60

#: When so long nothing more is stored, nothing more comes.
QUIET_SECONDS = 10

SENSOR, QUANTITY = "pen2-temp", "temperature"


@dataclass(frozen=True)
class Cut:
    """One power cut under load.

    Attributes:
        acknowledged: readings whose PUBACK had come.
        missing: those acknowledged that the database does not have afterwards.
        age: how long before the cut the oldest missing one was acknowledged, seconds; 0 where none is missing.
        back: seconds until all containers were healthy again.
    """

    acknowledged: int
    missing: int
    age: float
    back: float


def kill_qemu(domain: str) -> None:
    """As the power goes: nothing in the guest is told, what QEMU had handed to the disk is on it."""
    line = f"kill -9 $(cat /run/libvirt/qemu/{domain}.pid)"
    subprocess.run(hypervisor.inside_command(["sh", "-c", line]), check=True)


def power_cuts(stack: Stack, count: int, *, cut: Callable[[str], None] = kill_qemu) -> Iterator[Cut]:
    """Cut a node's power under load, `count` times; it comes back by itself each time.

    Raises:
        LabError: it does not come back.
    """
    for _ in range(count):
        yield _power_cut(stack, cut)


def _power_cut(stack: Stack, cut: Callable[[str], None]) -> Cut:
    with _generator(stack) as log:
        time.sleep(random.uniform(*LOAD_SECONDS))  # noqa: S311  a drill, not a secret
        moment, begun = time.time_ns() // 1_000_000, time.monotonic()
        cut(stack.name)
    acknowledged = {int(stamp): int(at) for stamp, at in map(str.split, log.read_text().splitlines())}
    _wait(lambda: healthy(stack), BACK_SECONDS)
    back = time.monotonic() - begun
    missing = _missing(stack, set(acknowledged))
    return Cut(
        acknowledged=len(acknowledged),
        missing=len(missing),
        age=max((moment - acknowledged[stamp] for stamp in missing), default=0) / 1000,
        back=back,
    )


@contextlib.contextmanager
def _generator(stack: Stack) -> Iterator[Path]:
    """A sensor that publishes until the block ends; the log of what was acknowledged lies outside the guest."""
    folder = STATE / "drill"
    folder.mkdir(exist_ok=True, mode=0o700)
    authority, settings, log = folder / "ca.crt", folder / "settings.json", folder / f"{time.time_ns()}.log"
    authority.write_text(stack.outputs["certificateAuthority"])
    user = derive.mqtt_user(stack.seed, stack.name, SENSOR, stack.site.epochs.passwords)
    settings.touch(mode=0o600)
    settings.write_text(
        json.dumps(
            {
                "host": str(stack.site.node.network.address.ip),
                "port": MQTT_TLS_PORT,
                "authority": str(authority),
                "user": user.name,
                "password": user.password,
                "topic": f"sensors/{SENSOR}/{QUANTITY}",
                "log": str(log),
                "rate": RATE,
            }
        )
    )
    command = hypervisor.operator_command([sys.executable, "-m", "lab.generator", settings])
    with subprocess.Popen(command, cwd=CHECKOUT) as running:
        try:
            yield log
        finally:
            running.kill()


def _missing(stack: Stack, times: set[int]) -> set[int]:
    """What the database does not have once the collector has had its time."""
    deadline = quiet = time.monotonic() + STORED_SECONDS
    before: set[int] = set()
    while (missing := times - _stored(stack, min(times), max(times))) and time.monotonic() < min(deadline, quiet):
        if missing != before:
            before, quiet = missing, time.monotonic() + QUIET_SECONDS
        time.sleep(1)
    return missing


def _stored(stack: Stack, first: int, last: int) -> set[int]:
    where = f"sensor = '{SENSOR}' AND quantity = '{QUANTITY}' AND time >= {first}ms AND time <= {last}ms"
    return {int(row["time"]) for row in query(stack, f"SELECT value FROM reading WHERE {where}")}  # noqa: S608


def _wait(holds: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise LabError(f"The node was not healthy {seconds:.0f} s after the cut", "Look at its console.")
        time.sleep(1)
