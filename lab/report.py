"""What runs in the lab, where, and the last readings as the database in the guest answers them."""

import json
import time
from collections.abc import Sequence
from typing import Any

from lab.sensors import last_readings, on_node
from lab.stacks import Stack

_ARRIVAL_SECONDS = 30


def facts(stack: Stack) -> dict[str, Any]:
    """What one stack says of itself, and what is read on its node now."""
    outputs = stack.outputs
    return {
        "endpoints": outputs["endpoints"],
        "facts": outputs["facts"],
        "mesh": outputs["mesh"] | {"latestHandshake": _handshake(stack)},
        "containers": _containers(stack),
        "readings": _readings(stack) if stack.site.iot else [],
        "nextSteps": [_typed_here(stack.name, step) for step in outputs["nextSteps"]],
    }


def report(stacks: Sequence[Stack], *, as_json: bool) -> None:
    """Print the facts of all stacks."""
    everything = {stack.name: facts(stack) for stack in stacks}
    if as_json:
        print(json.dumps(everything, indent=2))
        return
    for name, found in everything.items():
        _print(name, found)


def _print(name: str, found: dict[str, Any]) -> None:
    handshake = found["mesh"]["latestHandshake"]
    age = f"last handshake {time.time() - handshake:.0f} s ago" if handshake else "no handshake yet"
    print(f"\n{name}: Linux {found['facts']['kernel']}, Docker {found['facts']['docker']}")
    print(f"  mesh      {', '.join(found['mesh']['addresses'])} with {', '.join(found['mesh']['peers'])}: {age}")
    for kind, endpoint in found["endpoints"].items():
        print(f"  {kind:<9} {endpoint}")
    for container, status in found["containers"].items():
        print(f"  container {container:<11} {status}")
    for row in found["readings"]:
        when = time.strftime("%H:%M:%S", time.gmtime(row["time"] / 1000))
        print(f"  reading   {row['pen']:<7} {row['sensor']:<14} {row['quantity']:<12} {row['value']:>7} at {when} UTC")
    for line in found["nextSteps"]:
        print(f"  next      {line}")


def _typed_here(name: str, step: str) -> str:
    """A stack's next step as it is typed on this machine, from which the lab's network is not reached."""
    what, _, command = step.partition(": ")
    match command.split():
        case ["ssh", _]:
            words = f"ssh {name}"
        case ["bin/edge", *rest]:
            words = f"edge {' '.join(rest)}"
        case _:
            words = f"ssh {name} {command}"
    return f"{what}: .venv/bin/python -m lab {words}"


def _handshake(stack: Stack) -> int:
    """The newest handshake with any peer, epoch seconds; 0 when there was none."""
    lines = on_node(stack, "sudo wg show all latest-handshakes").splitlines()
    return max((int(line.split()[2]) for line in lines), default=0)


def _containers(stack: Stack) -> dict[str, str]:
    lines = on_node(stack, "docker ps --all --format '{{.Names}}\t{{.Status}}'").splitlines()
    return dict(sorted(line.split("\t", 1) for line in lines))


def _readings(stack: Stack) -> list[dict[str, Any]]:
    """The last readings, once those just published have arrived."""
    sensors = len(stack.site.iot.sensors) if stack.site.iot else 0
    deadline = time.monotonic() + _ARRIVAL_SECONDS
    while len(rows := last_readings(stack)) < sensors and time.monotonic() < deadline:
        time.sleep(0.5)
    return rows
