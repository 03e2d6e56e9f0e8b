"""Show what somebody changed by hand at a site since its last update; nothing is changed."""

import argparse
import json
import re
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from components._files import PROGRAMS
from components._services import CONFIG_LABEL
from components.edge_node.facts import COMPARE_FACTS, UPGRADED_FACTS
from config.base import VALUE_LIMIT
from edge.scan import state
from edge.site import EdgeError, Site, refused, table

#: A node that does not tell within it is cut off, as far as this is concerned.
_NODE_SECONDS = 60

#: The engine reads some forty resources; under emulation that takes a minute.
_ENGINE_SECONDS = 300

#: One that is paused after all of these was paused by hand.
_PAUSE_SECONDS = (5, 15)

_CONTAINER = "docker:index/container:Container"

#: All that the node has as Docker's, which cannot be read where the node does not answer.
_DOCKER = "**docker:index**"

#: One line a container: what is changed by hand alone. A restart by Docker's policy keeps all of it.
_FORMAT = (
    '{"name": {{json .Name}}, "status": {{json .State.Status}}, "image": {{json .Image}}, '
    f'"config": {{{{json (index .Config.Labels "{CONFIG_LABEL}")}}}}, "id": {{{{json .Id}}}}}}'
)
_INSPECT = f"""{{ [ -z "$containers" ] || docker inspect --format '{_FORMAT}' $containers; }}"""

#: What brings a fact of the node back, by its first word; all others are of the disks, and of the first boot.
_REMEDIES = {
    **dict.fromkeys(
        ("sysctls", "qdiscs", "firewall"),
        f"on the node: sudo {PROGRAMS}/tuning; a sysctl that shall stay goes into node.sysctls",
    ),
    "listening": "on the node: see who that is by sudo ss -lntup, and stop it",
}
_OTHER_REMEDY = "on the node: look at lsblk and findmnt; what was mounted by hand goes with a reboot"


@dataclass(frozen=True)
class Change:
    """One thing that is not as the last update left it."""

    what: str
    asked: str
    found: str
    todo: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What it understands beside the site."""
    parser.add_argument("--json", action="store_true", help="for scripts")


def run(arguments: argparse.Namespace) -> int:
    """Print every change; the status is 1 when there is one, and when not everything could be looked at."""
    site = Site.of(arguments)
    if "hostKey" not in site.outputs:
        raise site.not_deployed()
    changes, unseen = look(site)
    if arguments.json:
        print(json.dumps({"site": site.name, "drift": [asdict(one) for one in changes], "unseen": unseen}, indent=2))
        return 1 if changes or unseen else 0
    head = ("site", "what", "asked", "found", "what to do")
    if changes:
        print(table([head, *((site.name, one.what, one.asked, one.found, one.todo) for one in changes)]))
    print("".join(f"UNREACHABLE: {line}\n" for line in unseen), end="")
    if not changes:
        print("no drift in what could be looked at" if unseen else "no drift")
    return 1 if changes or unseen else 0


def look(site: Site) -> tuple[list[Change], list[str]]:
    """What was changed, and what could not be looked at and why: a site that is cut off has not drifted.

    Raises:
        EdgeError: the backend does not answer.
    """
    changes: list[Change] = []
    unseen: list[str] = []
    containers = [one for one in _resources(site) if one["type"] == _CONTAINER and not one.get("delete")]
    try:
        changes += _changed_facts(site)
        changes += changed_containers([one["outputs"] for one in containers], _inspected(site))
    except EdgeError as error:
        unseen.append(f"{error}; it may be cut off, {_remedy(site)}")
    try:
        told = {change.what.split()[1] for change in changes if change.what.startswith("container ")}
        changes += changed_resources(_refreshed(site, without_docker=bool(unseen)), site.name, told)
    except EdgeError as error:
        unseen.append(str(error))
    return changes, unseen


def changed_facts(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[Change]:
    """Hold facts against those of the last update.

    Args:
        before: the stack's output, without what upgrades change.
        now: what the node says of itself.
    """
    for key, asked in before.items():
        were, are = dict(_flat(key, asked)), dict(_flat(key, now.get(key)))
        for path in sorted(were.keys() | are.keys()):
            if were.get(path) != are.get(path):
                todo = _REMEDIES.get(key, _OTHER_REMEDY)
                yield Change(path, _short(were.get(path)), _short(are.get(path)), todo)


def changed_containers(asked: Sequence[Mapping[str, Any]], found: Sequence[Mapping[str, Any]]) -> Iterator[Change]:
    """Hold the node's containers against the state; one that was made anew by hand has another id.

    Args:
        asked: the outputs of their resources.
        found: what Docker says of each: name, status, image, config (the label), id.
    """
    there = {one["name"].removeprefix("/"): one for one in found}
    for outputs in asked:
        name = outputs["name"]
        anew = "deploy it again with --refresh: pulumi up"
        one = there.pop(name, None)
        if one is None:
            yield Change(f"container {name}", "running", "gone", anew)
            continue
        if one["status"] not in ("running", "restarting"):
            yield Change(f"container {name}", "running", one["status"], f"on the node: docker start {name}")
        labels = {label["label"]: label["value"] for label in outputs["labels"]}
        for key, value in (("image", outputs["image"]), ("config", labels[CONFIG_LABEL]), ("id", outputs["id"])):
            if one[key] != value:
                yield Change(f"container {name} {key}", _short(value), _short(one[key]), anew)
    for name, one in there.items():
        yield Change(f"container {name}", "none", one["status"], f"on the node: docker rm --force {name}")


def changed_resources(digest: Mapping[str, Any], site: str, containers: Collection[str]) -> Iterator[Change]:
    """What a refresh would write into the state: the providers' own reading, held against what the program asked.

    Args:
        digest: of `pulumi refresh --preview-only --json`.
        site: the stack's name.
        containers: those of which the node itself told already.
    """
    todo = f"pulumi up --refresh --stack {site} puts it back"
    told = 0
    for step in digest.get("steps", ()):
        resource = " ".join(step["urn"].split("::")[-2:]).rpartition(":")[2]
        if step["op"] not in ("delete", "update"):
            continue
        told += 1
        if _CONTAINER in step["urn"] and step["oldState"]["outputs"]["name"] in containers:
            continue
        if step["op"] == "delete":
            yield Change(resource, "there", "gone", todo)
        else:
            asked, now = step["oldState"]["inputs"], {**step["newState"]["outputs"], **step["newState"]["inputs"]}
            for key in dict.fromkeys(re.split(r"[.\[]", path)[0] for path in step["detailedDiff"]):
                yield Change(f"{resource} {key}", _short(asked.get(key)), _short(now.get(key)), todo)
    changed = sum(count for kind, count in digest.get("changeSummary", {}).items() if kind != "same")
    if changed > told:
        yield Change(
            "resources", "as deployed", f"{changed - told} changed", "see which: pulumi refresh --preview-only"
        )


def _changed_facts(site: Site) -> Iterator[Change]:
    before = {key: value for key, value in site.outputs.get("facts", {}).items() if key not in UPGRADED_FACTS}
    if before:
        done = site.on_node(COMPARE_FACTS, stdin=json.dumps(before), limit_seconds=_NODE_SECONDS)
        # One that is not as before is no failure here.
        if not done.stdout:
            raise EdgeError(f"the node does not answer: {done.stderr.strip()}")
        yield from changed_facts(before, json.loads(done.stdout))


def _inspected(site: Site) -> list[dict[str, Any]]:
    """What Docker says; a backup pauses a container for seconds."""
    listed = site.list_containers("--quiet --no-trunc")
    found: list[dict[str, Any]] = []
    for wait in (0, *_PAUSE_SECONDS):
        time.sleep(wait)
        done = site.on_node(f"containers=$({listed}) && {_INSPECT}", limit_seconds=_NODE_SECONDS)
        if done.returncode != 0:
            raise EdgeError(f"the node does not answer: {done.stderr.strip()}")
        found = [json.loads(line) for line in done.stdout.splitlines()]
        if all(one["status"] != "paused" for one in found):
            break
    return found


def _resources(site: Site) -> list[dict[str, Any]]:
    """The state's resources; secrets in it stay encrypted."""
    resources: list[dict[str, Any]] = state(site)["deployment"].get("resources", [])
    return resources


def _refreshed(site: Site, *, without_docker: bool) -> dict[str, Any]:
    """What the engine finds; secrets in it are blinded."""
    words = ["refresh", "--preview-only", "--json", "--non-interactive", "--stack", site.name]
    excluded = ["--exclude", _DOCKER] if without_docker else []
    done = site.engine(*words, "--config-file", str(site.config_file), *excluded, limit_seconds=_ENGINE_SECONDS)
    try:
        digest: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        # It did not begin: nobody at the site was asked.
        raise refused("refresh", site.name, done, site.backend) from None
    if done.returncode != 0:
        said = [one["message"].strip() for one in digest.get("diagnostics", ()) if one["severity"] == "error"]
        raise EdgeError(f"pulumi refresh: {'; '.join(said) or done.stderr.strip()}; {_remedy(site)}")
    return digest


def _remedy(site: Site) -> str:
    """What to look at where a site does not answer."""
    return f"look at it: edge doctor {site.name}" if site.has_node else "see whether it lets you in by SSH"


def _flat(path: str, value: Any) -> Iterator[tuple[str, object]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _flat(f"{path} {key}", item)
    else:
        yield path, value


def _short(value: object) -> str:
    text = "nothing" if value is None else value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= VALUE_LIMIT else f"{text[:VALUE_LIMIT]}…"
