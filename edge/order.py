"""Show in which order a change is deployed: which sites it touches, and the rings that they are in."""

import argparse
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from config.loader import CHECKOUT, REGISTRY
from config.registry import Entry, Registry, load_registry
from edge.plan.revisions import Repository, Revision, touched
from edge.site import EdgeError, table

_KEYS = ("tunnelKey", "identityKey")


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
    registry, repository = load_registry(REGISTRY), Repository(CHECKOUT)
    with tempfile.TemporaryDirectory() as folder:
        try:
            before = repository.extract(base, Path(folder))
        except EdgeError as error:
            raise EdgeError(f"{error}; --base names what is deployed now") from None
        after = Revision(repository.folder)
        found = touched(repository.changed(base), before, after) & after.sites
        return steps([site for site in registry.entries if site in found], registry, before.registry)


def steps(sites: Sequence[str], registry: Registry, before: Mapping[str, Mapping[str, Any]]) -> list[Step]:
    """Put sites in the order in which they are deployed.

    Headquarters is first: it lets new sites and next keys in. A key that takes the former one's place goes the other
    way round (ADR 14): its site before headquarters, and headquarters' own key last of all.

    Args:
        sites: those that the change touches.
        registry: as it is after the change.
        before: the registry's files as they were.
    """
    changing = [site for site in sites if site in before and _changes_a_key(before[site], registry.entries[site])]
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


def _changes_a_key(before: Mapping[str, Any], after: Entry) -> bool:
    """Whether it takes another key: what was deployed may be from before that one was announced."""
    now = after.model_dump(by_alias=True)
    return any(before.get(key) and before[key] != now[key] for key in _KEYS)
