"""Say as JSON what the engine would do to a site, for `edge plan --previews`; a site that is cut off is no failure.

Whoever refuses was reached: a backend that lets nobody in, a host key that is another, a login that is denied.
"""

import argparse
import json
import re
import sys
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from components.edge_node.libvirt import STAND_IN
from config.site import HostSection
from edge.plan.previews import judged, silent, stale
from edge.site import NO_STACK, NOT_REACHED, EdgeError, Site, refused

#: What ssh says where it ends with `NOT_REACHED` although the other end answered, or before it asked anyone.
_REFUSED = re.compile(
    r"permission denied|host key verification failed|host identification has changed|no \S+ host key is known"
    r"|too many authentication failures|no matching .* found|bad configuration option",
    re.IGNORECASE,
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What it understands beside the site."""
    parser.add_argument(
        "--libvirt",
        metavar="URI",
        default="test:///default",
        help="a libvirt of this machine, dialled in place of a hypervisor that does not answer; default: %(default)s",
    )


def run(arguments: argparse.Namespace) -> int:
    """Print it: verdicts and names, never a value."""
    print(json.dumps(preview(Site.of(arguments), arguments.libvirt), indent=2))
    return 0


def preview(site: Site, stand_in: str) -> dict[str, Any]:
    """Have the engine preview a site: against the site if it answers, else by its state alone, with a `stand_in`.

    Returns:
        What `edge.plan.previews` folds into a plan.

    Raises:
        EdgeError: the preview fails although the site answers; the site, or its state's backend, refuses whom it asks.
    """
    try:
        contact = next((each["startTime"] for each in site.operations if each["result"] == "succeeded"), "")
    except EdgeError as error:
        if NO_STACK not in str(error):
            raise
        _warn(site, str(error))
        return silent(site.name, "")
    if not _answers(site):
        return _of_the_state(site, contact, stand_in)
    try:
        return judged(site.name, _digest(site))
    except EdgeError as error:
        if _answers(site) and _node_answers(site):
            raise
        _warn(site, str(error))
        return _of_the_state(site, contact, stand_in)


def _of_the_state(site: Site, contact: str, stand_in: str) -> dict[str, Any]:
    if not contact:
        return silent(site.name, "")
    try:
        return stale(site.name, contact, _digest(site, {STAND_IN: stand_in}))
    except EdgeError as error:
        print(f"edge: {site.name}: no preview of its state with {stand_in}: {error}", file=sys.stderr)
        return silent(site.name, contact)


def _digest(site: Site, environment: Mapping[str, str] = MappingProxyType({})) -> dict[str, Any]:
    words = ["preview", "--json", "--non-interactive", "--stack", site.name]
    done = site.engine(*words, "--config-file", str(site.config_file), environment=environment)
    try:
        digest: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        raise refused("preview", site.name, done, site.backend) from None
    if done.returncode != 0:
        said = [each["message"].strip() for each in digest.get("diagnostics", ()) if each["severity"] == "error"]
        raise EdgeError(f"pulumi preview of {site.name}: {'; '.join(said) or done.stderr.strip()}")
    return digest


def _answers(site: Site) -> bool:
    """Whether the machine answers that the providers dial first: the hypervisor, or the host that was there already.

    Raises:
        EdgeError: it does, and refuses.
    """
    if isinstance(site.stack_section, HostSection) and "hostKey" not in site.outputs:
        return False
    done = site.on_node("true") if isinstance(site.stack_section, HostSection) else site.on_hypervisor("true")
    if done.returncode != NOT_REACHED:
        return True
    said = done.stderr.strip()
    if _REFUSED.search(said):
        raise EdgeError(
            f"{site.name} answers, and refuses: {said}; look at its host key (config/known_hosts) and at the key that "
            "logs in (an SSH agent, node.hypervisor.keyFile)"
        )
    _warn(site, said)
    return False


def _node_answers(site: Site) -> bool:
    return isinstance(site.stack_section, HostSection) or site.node_answers()


def _warn(site: Site, why: str) -> None:
    print(f"edge: {site.name} does not answer: {why}", file=sys.stderr)
