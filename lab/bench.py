"""How long a preview takes, how much of it is our own code, and how long a big registry takes."""

import base64
import pstats
import tempfile
import time
from ipaddress import IPv4Address, IPv4Network, IPv6Address
from pathlib import Path
from statistics import median

import yaml

from components.wireguard_mesh.conf import mesh_json
from components.wireguard_mesh.peers import peers
from config.registry import load_registry
from lab.paths import CHECKOUT, STATE
from lab.stacks import Stack

RUNS = 5

#: Of the registry that is measured.
SITES = 500

_PROFILING = Path(__file__).parent / "profiling"
_PROFILE = STATE / "preview.pstats"


def preview_breakdown(stack: Stack) -> dict[str, float]:
    """Preview `RUNS` times plainly and once profiled.

    Returns:
        Seconds: `preview`, the median of the plain ones, whole; `program`, the Python process under the profiler;
        `own`, what the profiler saw in this checkout's code, with the built-in functions it calls, and in all that
        `load_site` calls (so what is in both counts twice). The profiler slows `own` down: it is an upper bound.
    """
    plain = []
    for _ in range(RUNS):
        begun = time.monotonic()
        stack.preview()
        plain.append(time.monotonic() - begun)
    stack.preview(environment={"PYTHONPATH": str(_PROFILING), "FJORD_EDGE_PROFILE": str(_PROFILE)})
    stats = pstats.Stats(str(_PROFILE))
    return {"preview": median(plain), "program": stats.total_tt, "own": own_seconds(stats)}  # type: ignore[attr-defined]


def registry_seconds() -> str:
    """How long a registry of `SITES` takes to be read, validated and rendered for its hub; the best of `RUNS`."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write_registry(folder)
        read, rendered = [], []
        for _ in range(RUNS):
            begun = time.perf_counter()
            registry = load_registry(folder)
            done = time.perf_counter()
            mesh_json(registry.interfaces("hq"), 1420, {}, peers("hq", registry))
            read.append(done - begun)
            rendered.append(time.perf_counter() - done)
    return f"read and validated in {min(read):.2f} s, rendered in {min(rendered):.3f} s"


def _write_registry(folder: Path) -> None:
    """Headquarters and its sites, each with two families and a network of its own."""
    hub = {"mesh": "10.64.0.0/16", "mesh6": "fd5c:9a1e:27d4::/64", "endpoint": "hq.example.com:51820"}
    for number in range(1, SITES + 1):
        name = "hq" if number == 1 else f"site-{number}"
        entry = {
            "role": "hub" if number == 1 else "site",
            "owner": f"@fjord-edge/{name}",
            "address": str(IPv4Address("10.64.0.0") + number),
            "address6": str(IPv6Address("fd5c:9a1e:27d4::") + number),
            "tunnelKey": base64.b64encode(number.to_bytes(32, "big")).decode(),
            "identityKey": base64.b64encode((number + SITES).to_bytes(32, "big")).decode(),
            "networks": [str(IPv4Network((int(IPv4Address("172.24.0.0")) + 256 * number, 24)))],
            **(hub if number == 1 else {}),
        }
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(entry))


def own_seconds(stats: pstats.Stats) -> float:
    """Sum the time in our own functions, in the built-ins they call, and in everything below `load_site`."""
    total = 0.0
    for (file, _, name), (_, _, own, cumulative, callers) in stats.stats.items():  # type: ignore[attr-defined]
        if is_ours(file):
            total += cumulative if name == "load_site" else own
        elif file == "~":
            total += sum(spent[2] for (caller, _, _), spent in callers.items() if is_ours(caller))
    return total


def is_ours(file: str) -> bool:
    """Whether a source file is this checkout's own, and not one of its virtual environment."""
    path = Path(file)
    return path.is_relative_to(CHECKOUT) and not path.is_relative_to(CHECKOUT / ".venv")
