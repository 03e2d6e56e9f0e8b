"""Show in which order a change is deployed: which sites it touches, and the rings that they are in."""

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from config.loader import REGISTRY
from config.registry import Entry, Registry, load_registry, shown
from edge import site as command
from edge.site import EdgeError, table
from edge.touched import touched

_KEYS = (("tunnelKey", "nextTunnelKey"), ("identityKey", "nextIdentityKey"))


@dataclass(frozen=True)
class Step:
    """Sites that are deployed side by side, once those of the step before are well."""

    name: str
    sites: tuple[str, ...]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What it understands."""
    parser.add_argument("--base", required=True, metavar="REVISION", help="what is deployed: a commit, branch or tag")
    parser.add_argument("--json", action="store_true", help="for scripts")


def run(arguments: argparse.Namespace) -> int:
    """Print the steps."""
    found = since(arguments.base)
    if arguments.json:
        print(json.dumps([{"step": step.name, "sites": step.sites} for step in found], indent=2))
    else:
        rows = [(number, step.name, ", ".join(step.sites)) for number, step in enumerate(found, 1)]
        print(table(rows) if rows else f"nothing that changed since {arguments.base} is deployed anywhere")
    return 0


def since(base: str) -> list[Step]:
    """The steps that bring the checkout as it is now to all sites that have `base`.

    Raises:
        EdgeError: there is no such revision.
        ConfigError: what is wrong in the registry.
    """
    registry = load_registry(REGISTRY)
    changed = dict(_changed(base))
    entries = {shown(name): name for name in registry.entries}
    before = {
        entries[path]: yaml.safe_load(_git("show", f"{base}:./{path}")) or {}
        for path, kind in changed.items()
        if path in entries and kind == "M"
    }
    return steps(touched(changed, registry.entries, registry.hub), registry, before)


def steps(sites: Sequence[str], registry: Registry, before: Mapping[str, Mapping[str, Any]]) -> list[Step]:
    """Put sites in the order in which they are deployed.

    Headquarters is first: it lets new sites and next keys in. A key that takes the former one's place goes the other
    way round (ADR 14): its site before headquarters, and headquarters' own key last of all.

    Args:
        sites: those that the change touches.
        registry: as it is after the change.
        before: the registry files that the change edits, as they were.
    """
    changing = [site for site in sites if site in before and _takes_its_next_key(before[site], registry.entries[site])]
    hub = [Step("headquarters", (registry.hub,))] if registry.hub in sites else []
    rest = [site for site in sites if site != registry.hub and site not in changing]
    if registry.hub in changing:
        return [*_rings([site for site in sites if site != registry.hub], registry), *hub]
    first = [Step("key change", tuple(changing))] if changing else []
    return [*first, *hub, *_rings(rest, registry)]


def _rings(sites: Sequence[str], registry: Registry) -> list[Step]:
    by_ring: dict[int, list[str]] = {}
    for site in sites:
        by_ring.setdefault(registry.entries[site].ring, []).append(site)
    return [Step(f"ring {number}", tuple(names)) for number, names in sorted(by_ring.items())]


def _takes_its_next_key(before: Mapping[str, Any], after: Entry) -> bool:
    now = after.model_dump(by_alias=True)
    return any(before.get(following) and before[following] == now[key] for key, following in _KEYS)


def _changed(base: str) -> list[tuple[str, str]]:
    """Path and kind (A, D, M, T) of each file that is not as in `base`; what git does not know yet is not in it."""
    listed = _git("diff", "--name-status", "--no-renames", "--relative", "-z", base, "--").split("\0")
    return list(zip(listed[1::2], listed[0::2], strict=False))


def _git(*words: str) -> str:
    done = command.run(["git", *words])
    if done.returncode != 0:
        raise EdgeError(f"git {words[0]}: {done.stderr.strip()}; --base names what is deployed now")
    return done.stdout
