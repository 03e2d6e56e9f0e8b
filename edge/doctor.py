"""Check whether a site's hypervisor can carry its node, before an update does; nothing is changed."""

import argparse
import json
from typing import Any

from components.edge_node.hypervisor import preflight
from config.loader import REGISTRY
from config.registry import load_registry
from edge.site import EdgeError, Site, table

#: How a check ended; a skipped one is neither.
_WORDS = {True: "ok", False: "FAILED", None: "skipped"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What it understands beside the site."""
    parser.add_argument("--json", action="store_true", help="the checks as a list, for scripts")


def run(arguments: argparse.Namespace) -> int:
    """Print every check; the status is 1 when one failed."""
    found = checks(Site.of(arguments))
    if arguments.json:
        print(json.dumps(found, indent=2))
    else:
        print(table([(check["name"], _WORDS[check["passed"]], check["found"], check["remedy"]) for check in found]))
    return 1 if any(check["passed"] is False for check in found) else 0


def checks(site: Site) -> list[dict[str, Any]]:
    """Look at the hypervisor: name, whether it passed (null: skipped), what was found, the remedy.

    Raises:
        EdgeError: it does not answer.
    """
    program = preflight(site.name, site.section.node, load_registry(REGISTRY).networks)
    done = site.on_hypervisor("python3", "-", stdin=program)
    try:
        found: list[dict[str, Any]] = json.loads(done.stdout)
    except ValueError:
        host = site.section.node.hypervisor.host
        raise EdgeError(f"the hypervisor {host} did not answer: {done.stderr.strip()}") from None
    return found
