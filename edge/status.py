"""Show what a site is and how it does, by its state and by its node; without a site, all of them side by side."""

import argparse
import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from config.base import ConfigError
from config.loader import REGISTRY
from config.registry import Registry, load_registry
from edge.look import Look, look
from edge.mesh import age, silent
from edge.site import EdgeError, Site, table

#: Sites that are asked at once; each waits for its node, for at most a minute.
_AT_ONCE = 16

_HEAD = ("site", "owner", "ring", "last update", "node", "tunnel", "containers", "alarms", "problems")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What it understands beside the site."""
    parser.add_argument("--json", action="store_true", help="for scripts")


def run(arguments: argparse.Namespace) -> int:
    """Print all of it; the status is 1 when a node does not answer or something on it is not well."""
    registry = load_registry(REGISTRY)
    return _one(arguments, registry) if arguments.site else _all(arguments, registry)


def _one(arguments: argparse.Namespace, registry: Registry) -> int:
    site = Site.of(arguments)
    found = look(site, registry)
    if arguments.json:
        told = {
            "site": site.name,
            "facts": found.facts,
            "lastUpdate": found.last_update,
            "live": found.live if found.answers else None,
            "alarms": found.alarms,
            "services": found.services,
            "containers": found.containers,
            "problems": found.problems,
            "mended": found.mended,
        }
        print(json.dumps(told, indent=2))
    else:
        last_update = ("last update", "", found.last_update)
        print(table([last_update, *_rows(found.facts, "asked and found"), *_rows(found.live, "now")]))
        print(table([("container", name, state) for name, state in found.containers] or [("container", "none", "")]))
        print("".join(f"alarm  {topic}\n" for topic in found.alarms), end="")
        print("".join(f"mended  {each}\n" for each in found.mended), end="")
        print("\n".join(f"PROBLEM: {problem}" for problem in found.problems) or _well(len(found.alarms)))
    return 1 if found.problems else 0


def _well(alarms: int) -> str:
    """Of a node without a problem, whose sensors may have told of some."""
    raised = "1 alarm is raised" if alarms == 1 else f"{alarms} alarms are raised"
    return f"the node is well; {raised}" if alarms else "all is well"


def _all(arguments: argparse.Namespace, registry: Registry) -> int:
    def asked(name: str) -> Look:
        try:
            return look(Site.named(name, arguments, registry.entries[name].backend), registry)
        except (ConfigError, EdgeError) as error:
            return Look({}, "unknown", problems=[str(error)])

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        looks = dict(zip(registry.entries, pool.map(asked, registry.entries), strict=True))
    rows = [_row(name, looks, registry) for name in registry.entries]
    if arguments.json:
        print(json.dumps(rows, indent=2))
    else:
        print(table([_HEAD, *(_cells(row) for row in rows)]))
        print("".join(f"mended: {row['site']}: {each}\n" for row in rows for each in row["mended"]), end="")
        print("".join(f"PROBLEM: {row['site']}: {problem}\n" for row in rows for problem in row["problems"]), end="")
    return 1 if any(row["problems"] for row in rows) else 0


def _row(name: str, looks: Mapping[str, Look], registry: Registry) -> dict[str, Any]:
    entry, found = registry.entries[name], looks[name]
    return {
        "site": name,
        "owner": entry.owner,
        "ring": None if name == registry.hub else entry.ring,
        "lastUpdate": found.last_update,
        "answers": found.answers,
        "tunnel": _hubs_tunnels(found) if name == registry.hub else _tunnel(name, looks, registry),
        "containers": {
            "running": sum(state.startswith("Up") for _, state in found.containers),
            "all": len(found.containers),
        },
        "alarms": found.alarms,
        "problems": found.problems,
        "mended": found.mended,
    }


def _hubs_tunnels(found: Look) -> str:
    peers = {row["peer"] for row in found.tunnels}
    return f"{len(peers) - len(silent(found.tunnels))} of {len(peers)} up" if found.answers else "unknown"


def _tunnel(name: str, looks: Mapping[str, Look], registry: Registry) -> str:
    """As the site sees it; where that does not answer, as headquarters last heard of it."""
    found = looks[name]
    ends = found.tunnels if found.answers else [row for row in looks[registry.hub].tunnels if row["peer"] == name]
    if not found.answers and not looks[registry.hub].answers:
        return "unknown"
    ages = [row["handshakeAgeSeconds"] for row in ends if row["handshakeAgeSeconds"] is not None]
    state = "up" if ends and not silent(ends) else "down"
    return f"{state}, last handshake {age(min(ages, default=None))}"


def _cells(row: dict[str, Any]) -> tuple[object, ...]:
    running, everything = row["containers"].values()
    return (
        row["site"],
        row["owner"],
        row["ring"] or "-",
        row["lastUpdate"],
        "answers" if row["answers"] else "SILENT",
        row["tunnel"],
        f"{running} of {everything} up" if row["answers"] else "unknown",
        len(row["alarms"]) if row["answers"] else "unknown",
        len(row["problems"]) or "none",
    )


def _rows(values: dict[str, Any], kind: str, path: str = "") -> Iterator[tuple[str, str, str]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _rows(value, kind, f"{path}{key} ")
        else:
            yield kind, f"{path}{key}", str(value)
