"""What is known of a site at one moment: from its stack's state, and from its node."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from components.edge_node.facts import LIVE_FACTS
from components.iot_stack.containers import RAISED_ALARMS, SERVICE_STATUSES
from components.summary_store.services import WATCH_STATUS
from components.wireguard_mesh.conf import SHOW
from config.registry import Registry
from edge import mesh
from edge.site import EdgeError, Site
from edge.unlock import STALE_SECONDS, folder, locks
from services._webhook import LATE_SECONDS

#: A node that takes longer to tell how it does is not well.
_LIMIT_SECONDS = 60

#: One is made each day; a single one may fail while the line is cut.
_BACKUP_SECONDS = 2 * 24 * 3600


@dataclass
class Look:
    """One site; what its node says is empty where it does not answer."""

    facts: dict[str, Any]
    """Of the last update; none of a machine that is somebody else's."""
    last_update: str
    """When the engine last worked on the stack, and how that ended."""
    answers: bool = False
    live: dict[str, Any] = field(default_factory=dict)
    tunnels: list[dict[str, Any]] = field(default_factory=list)
    """As `edge mesh` shows them."""
    alarms: list[str] = field(default_factory=list)
    """Topics of those that are raised."""
    services: dict[str, Any] = field(default_factory=dict)
    """What each said last of itself."""
    containers: list[tuple[str, str]] = field(default_factory=list)
    """Name, and what Docker says of it."""
    problems: list[str] = field(default_factory=list)
    """Each with what to do."""
    mended: list[str] = field(default_factory=list)
    """What the node repaired by itself in the last week: to be looked into, but over."""


def look(site: Site, registry: Registry) -> Look:
    """Ask the backend and the node; of a backend that is out of reach what it told before.

    Raises:
        EdgeError: nothing is known of the site, or it was never deployed.
    """
    known = site.known
    if "hostKey" not in known.outputs:
        raise site.not_deployed(known.unsure)
    found = Look(known.outputs.get("facts", {}), "unknown" if known.unsure else _last_update(site))
    found.problems += [known.unsure] if known.unsure else []
    has_node = site.has_node
    raises_alarms = has_node and site.section.iot is not None
    watched = WATCH_STATUS if site.stack_section.summaries else "false"
    statuses = f"{SERVICE_STATUSES} | grep ." if raises_alarms else watched
    asked = (
        LIVE_FACTS if has_node else "echo '{}'",
        SHOW,
        # A node that has yet to be updated cannot tell.
        f"{{ {RAISED_ALARMS} || echo '[]'; }}" if raises_alarms else "echo '[]'",
        # It says nothing then, and that all is well.
        f"{{ {statuses} || echo '{{}}'; }}",
        site.list_containers("--format '{{json .}}'"),
    )
    try:
        answer = site.on_node(" && ".join(asked), limit_seconds=_LIMIT_SECONDS)
        said = answer.stderr.strip()
        found.answers = answer.returncode == 0
    except EdgeError as error:
        said = str(error)
    if found.answers:
        live, tunnels, alarms, services, *containers = answer.stdout.strip().splitlines()
        found.live, found.alarms, found.services = json.loads(live), json.loads(alarms), json.loads(services)
        found.mended = list(_mended(found.live))
        found.tunnels = mesh.rows(json.loads(tunnels), registry)
        found.containers = sorted((row["Names"], row["Status"]) for row in map(json.loads, containers))
    else:
        remedy = "look at it: edge doctor" if has_node else "see whether it is up, and lets you in by SSH"
        found.problems.append(f"the node does not answer: {said}. Known is the last update; {remedy}")
    found.problems += [*_problems(found), *(() if known.unsure else _stale_locks(site))]
    if site.name != registry.hub:
        found.problems += [f"no tunnel to {peer}; look at it: edge mesh" for peer in mesh.silent(found.tunnels)]
    if found.live and has_node and site.section.backup:
        found.problems += _backup_problems(found.live)
    return found


def _last_update(site: Site) -> str:
    last = next(iter(site.operations), None)
    return f"{last['startTime'][:16].replace('T', ' ')} UTC, {last['kind']} {last['result']}" if last else "never"


def _problems(found: Look) -> Iterator[str]:
    for name, state in found.containers:
        if not state.startswith("Up") or "unhealthy" in state:
            yield f"{name} is {state}; look at its log: docker logs {name}"
    for name in ("alarms", "watch"):
        yield from _webhook_problems(name, found.services.get(name, {}))
    left = found.services.get("watch", {}).get("certificateDays")
    if left is not None:
        yield f"the page's certificate ends in {left} days; move its last day: docs/operations.md, node/certificates"
    if not found.live:
        return
    for unit in found.live["failedUnits"]:
        yield f"{unit} has failed; look at its log: journalctl --unit {unit}"
    if found.live["rebootRequired"]:
        yield "upgrades wait for a reboot, which the node put off; look why: journalctl --unit fjord-edge-upgrades"
    if not found.live["clockSynchronized"]:
        yield "the clock is not synchronised; see that a time server of node.timeServers answers"


def _webhook_problems(name: str, status: dict[str, Any]) -> Iterator[str]:
    """By the node's clock alone: the operator's may be another."""
    since = status.get("outboxSince")
    if since is not None and status.get("time", since) - since > LATE_SECONDS * 1000:
        dropped = f"; {status['outboxDropped']} were dropped" if status.get("outboxDropped") else ""
        when = f"{datetime.fromtimestamp(since / 1000, UTC):%Y-%m-%d %H:%M} UTC"
        yield f"messages to the webhook wait since {when}: {status['outbox']}{dropped}; see why: docker logs {name}"


def _mended(live: dict[str, Any]) -> Iterator[str]:
    for each in live.get("mended", ()):
        when = datetime.fromtimestamp(each["time"], UTC)
        yield f"{when:%Y-%m-%d %H:%M} UTC: {each['what']}; look at the disk: journalctl --dmesg --priority err"


def _stale_locks(site: Site) -> Iterator[str]:
    backend = folder(site.backend)
    for lock in locks(site.name, backend) if backend else ():
        if lock.age_seconds > STALE_SECONDS:
            yield f"the stack is locked by {lock}; look whether it still runs: edge unlock {site.name}"


def _backup_problems(live: dict[str, Any]) -> Iterator[str]:
    last = live["lastBackup"]
    remedy = "start one and see what it says: edge backup"
    if last is None and live["uptimeSeconds"] > _BACKUP_SECONDS:
        yield f"there is no backup yet; {remedy}"
    elif last and last["ageSeconds"] > _BACKUP_SECONDS:
        yield f"the last backup is {last['ageSeconds'] // 3600} hours old; {remedy}"
