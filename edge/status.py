"""Show what a node is and how it does: the facts of the last update, and what it says of itself now."""

import argparse
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from components.edge_node.facts import LIVE_FACTS
from edge.site import Site, table

_CONTAINERS = "docker ps --all --format '{{json .}}'"


#: One is made each day; a single one may fail while the line is cut.
_BACKUP_SECONDS = 2 * 24 * 3600


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What it understands beside the site."""
    parser.add_argument("--json", action="store_true", help="for scripts")


def run(arguments: argparse.Namespace) -> int:
    """Print all of it; the status is 1 when the node does not answer or something on it is not well."""
    site = Site.of(arguments)
    facts = site.outputs["facts"]
    answer = site.on_node(f"{LIVE_FACTS} && {_CONTAINERS}")
    live, containers = _read(answer.stdout) if answer.returncode == 0 else (None, [])
    problems = list(_problems(live, containers, answer.stderr.strip()))
    if live and site.section.backup:
        problems += _backup_problems(live)
    if arguments.json:
        told = {"site": site.name, "facts": facts, "live": live, "containers": containers, "problems": problems}
        print(json.dumps(told, indent=2))
    else:
        print(table([*_rows(facts, "asked and found"), *_rows(live or {}, "now")]))
        print(table([("container", name, state) for name, state in containers] or [("container", "none", "")]))
        print("\n".join(f"PROBLEM: {problem}" for problem in problems) or "all is well")
    return 1 if problems else 0


def _read(text: str) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    first, *rest = text.strip().splitlines()
    rows = [json.loads(line) for line in rest]
    return json.loads(first), sorted((row["Names"], row["Status"]) for row in rows)


def _problems(live: dict[str, Any] | None, containers: list[tuple[str, str]], said: str) -> Iterator[str]:
    if live is None:
        yield f"the node does not answer: {said}. What is above is of the last update; look at it: edge doctor"
        return
    for name, state in containers:
        if not state.startswith("Up") or "unhealthy" in state:
            yield f"{name} is {state}; look at its log: docker logs {name}"
    for unit in live["failedUnits"]:
        yield f"{unit} has failed; look at its log: journalctl --unit {unit}"
    if live["rebootRequired"]:
        yield "upgrades wait for a reboot, which the node put off; look why: journalctl --unit fjord-edge-upgrades"
    for each in live["mended"]:
        when = datetime.fromtimestamp(each["time"], UTC)
        yield f"{when:%Y-%m-%d %H:%M} UTC: {each['what']}; look at the disk: journalctl --dmesg --priority err"
    if not live["clockSynchronized"]:
        yield "the clock is not synchronised; see that a time server of node.timeServers answers"


def _backup_problems(live: dict[str, Any]) -> Iterator[str]:
    last = live["lastBackup"]
    remedy = "start one and see what it says: edge backup"
    if last is None and live["uptimeSeconds"] > _BACKUP_SECONDS:
        yield f"there is no backup yet; {remedy}"
    elif last and last["ageSeconds"] > _BACKUP_SECONDS:
        yield f"the last backup is {last['ageSeconds'] // 3600} hours old; {remedy}"


def _rows(values: dict[str, Any], kind: str, path: str = "") -> Iterator[tuple[str, str, str]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _rows(value, kind, f"{path}{key} ")
        else:
            yield kind, f"{path}{key}", str(value)
