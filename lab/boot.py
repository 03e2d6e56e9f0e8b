"""From power-on to all containers healthy, and what of it takes longest."""

import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass

from lab import hypervisor
from lab.console import LabError
from lab.sensors import on_node
from lab.stacks import Stack

LIMIT_SECONDS = 600

#: The longest units and modules that are shown.
LONGEST = 8

#: cloud-init 22.4 stumbles over the end of a stage whose beginning it had not logged yet, and logs none.
MODULES = (
    "sudo grep --invert-match --extended-regexp 'finish: [^/]+: ' /var/log/cloud-init.log"
    " | cloud-init analyze blame -i -"
)


@dataclass(frozen=True)
class Analysis:
    """What took longest in a node's last boot, seconds.

    Attributes:
        whole: what `systemd-analyze` says of kernel and user space.
        units: systemd's longest units.
        modules: cloud-init's longest modules, at the node's first boot: later ones do without it.
    """

    whole: str
    units: dict[str, float]
    modules: dict[str, float]


@dataclass(frozen=True)
class Boot:
    """One boot, in seconds since power-on: until SSH answers, until all containers are healthy."""

    ssh: float
    healthy: float
    analysis: Analysis


def boot(stack: Stack) -> Boot:
    """Shut the node down in order, switch it on, and watch.

    Raises:
        LabError: it does not come back.
    """
    on_node(stack, "sudo sync")
    _virsh("shutdown", stack.name)
    _until(lambda: _virsh("domstate", stack.name) == "shut off", "shut down")
    begun = time.monotonic()
    _virsh("start", stack.name)
    _until(lambda: answers(stack, "true"), "answer")
    ssh = time.monotonic() - begun
    await_health(stack)
    return Boot(
        ssh=ssh,
        healthy=time.monotonic() - begun,
        analysis=analysed(stack),
    )


def analysed(stack: Stack) -> Analysis:
    """Ask systemd and cloud-init on the node."""
    return Analysis(
        whole=on_node(stack, "systemd-analyze time").strip().splitlines()[0],
        units=_seconds(on_node(stack, "systemd-analyze blame --no-pager")),
        modules=_seconds(on_node(stack, MODULES)),
    )


def await_health(stack: Stack) -> None:
    """Wait until all its containers say that they are well.

    Raises:
        LabError: they do not within `LIMIT_SECONDS`.
    """
    _until(lambda: healthy(stack), "be healthy")


def healthy(stack: Stack) -> bool:
    """Whether all its containers say that they are; a node without any is, once Docker answers."""
    try:
        said = on_node(stack, "docker ps --all --format '{{.Status}}'").splitlines()
    except (LabError, subprocess.TimeoutExpired):
        return False
    return all("(healthy)" in status for status in said)


def _seconds(text: str) -> dict[str, float]:
    """Read the tables of both programs: seconds in front or within, the name behind."""
    found = {}
    for line in text.splitlines():
        words = line.split()
        if len(words) < 2 or not words[0][0].isdigit():
            continue
        *times, name = words
        found[name] = sum(_parsed(word) for word in times if word[0].isdigit())
    return dict(sorted(found.items(), key=lambda item: -item[1])[:LONGEST])


def _parsed(word: str) -> float:
    for unit, factor in (("min", 60.0), ("ms", 0.001), ("us", 1e-6), ("s", 1.0)):
        if word.endswith(unit):
            return float(word.removesuffix(unit)) * factor
    return 0.0


def answers(stack: Stack, command: str) -> bool:
    """Whether a command succeeds on the node, now."""
    try:
        on_node(stack, command)
    except (LabError, subprocess.TimeoutExpired):
        return False
    return True


def _virsh(*words: str) -> str:
    done = subprocess.run(
        hypervisor.inside_command(["virsh", *words]), capture_output=True, text=True, timeout=60, check=False
    )
    return done.stdout.strip()


def _until(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + LIMIT_SECONDS
    while not holds():
        if time.monotonic() > deadline:
            raise LabError(f"The node did not {what} within {LIMIT_SECONDS} s", "Look at its console: virsh console.")
        time.sleep(0.5)
