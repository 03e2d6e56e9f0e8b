"""How long a preview takes, how much of it is our own code, and how long a big registry and its plan take."""

import base64
import os
import pstats
import shutil
import subprocess
import tempfile
import time
from ipaddress import IPv4Address, IPv4Network, IPv6Address
from pathlib import Path
from statistics import median

import yaml

from components.wireguard_mesh.conf import mesh_json
from components.wireguard_mesh.peers import peers
from config.codeowners import codeowners_text
from config.loader import PROJECT
from config.registry import load_registry
from config.versions import IMAGES
from edge.plan import compare
from edge.plan.approvals import FILE as CODEOWNERS
from edge.plan.markdown import markdown
from edge.plan.revisions import Repository
from lab.paths import CHECKOUT, STATE
from lab.stacks import Stack

RUNS = 5

#: Of the registry that is measured.
SITES = 500

#: Of the plan that is measured, headquarters among them.
PLANNED_SITES = 200

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
        write_registry(folder, SITES)
        read, rendered = [], []
        for _ in range(RUNS):
            begun = time.perf_counter()
            registry = load_registry(folder)
            done = time.perf_counter()
            mesh_json(registry.interfaces("hq"), 1420, {}, peers("hq", registry))
            read.append(done - begun)
            rendered.append(time.perf_counter() - done)
    return f"read and validated in {min(read):.2f} s, rendered in {min(rendered):.3f} s"


def write_registry(folder: Path, sites: int) -> None:
    """Headquarters and the other sites, each with two families and a network of its own."""
    hub = {"mesh": "10.64.0.0/16", "mesh6": "fd5c:9a1e:27d4::/64", "endpoint": "hq.example.com:51820"}
    for number in range(1, sites + 1):
        name = "hq" if number == 1 else f"site-{number}"
        entry = {
            "role": "hub" if number == 1 else "site",
            "owner": f"@fjord-edge/{name}",
            "address": str(IPv4Address("10.64.0.0") + number),
            "address6": str(IPv6Address("fd5c:9a1e:27d4::") + number),
            "tunnelKey": base64.b64encode(number.to_bytes(32, "big")).decode(),
            "identityKey": base64.b64encode((number + sites).to_bytes(32, "big")).decode(),
            "networks": [str(IPv4Network((int(IPv4Address("172.24.0.0")) + 256 * number, 24)))],
            **(hub if number == 1 else {}),
        }
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(entry))


def plan_seconds() -> str:
    """How long the plan of a change takes that touches each of `PLANNED_SITES`."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_repository(folder, PLANNED_SITES)
        section = folder / "components" / "edge_node" / "host_config.py"
        section.write_text(f"{section.read_text()}\n# another revision\n")
        begun = time.monotonic()
        plan = compare(Repository(folder), "HEAD")
        seconds = time.monotonic() - begun
        text = markdown(plan)
    return f"{len(plan.sites)} sites by {os.cpu_count()} processors in {seconds:.1f} s, {len(text)} characters"


def copy_program(folder: Path) -> None:
    """What a revision's plan is made of, but its stack files."""
    for part in ("components", "config", "node_image/rootfs", "services"):
        shutil.copytree(CHECKOUT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    for part in (".gitignore", "Pulumi.yaml", "__main__.py", "requirements.txt"):
        shutil.copy(CHECKOUT / part, folder)


def write_repository(folder: Path, sites: int) -> None:
    """A git repository of this program with headquarters and so many sites, which are like the committed ones."""
    copy_program(folder)
    registry = folder / "config" / "mesh"
    shutil.rmtree(registry)
    registry.mkdir()
    write_registry(registry, sites)
    stack_files = {name: _pinned_stack_file(name) for name in ("hq", "oslo")}
    for path in registry.iterdir():
        stack_file = stack_files["hq" if path.stem == "hq" else "oslo"]
        (folder / f"Pulumi.{path.stem}.yaml").write_text(stack_file)
    codeowners = folder / CODEOWNERS
    codeowners.parent.mkdir()
    codeowners.write_text(codeowners_text(load_registry(registry)))
    for words in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "--message", "all"]):
        identity = ["-c", "user.name=lab", "-c", "user.email=lab@example.com"]
        subprocess.run(["git", *identity, *words], cwd=folder, check=True)


def _pinned_stack_file(name: str) -> str:
    content = yaml.safe_load((CHECKOUT / f"Pulumi.{name}.yaml").read_text())
    pinned = {image: f"registry.example.com/{image}@sha256:{64 * '0'}" for image in IMAGES}
    site = content["config"][f"{PROJECT}:site"]
    if "iot" in site:
        site["iot"]["images"] = pinned
    else:
        site["summaries"] |= {"image": pinned["influxdb"], "services": pinned["services"]}
    return yaml.safe_dump(content, sort_keys=False)


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
