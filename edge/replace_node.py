"""Make a lost node anew on an empty hypervisor; its data comes back from the last backup, if the site makes any."""

import argparse

from edge import doctor
from edge.site import EdgeError, Site, confirmed


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What it understands beside the site."""
    parser.add_argument("--yes", action="store_true", help="do not ask")


def run(arguments: argparse.Namespace) -> int:
    """Look at the hypervisor, ask, forget what was lost, deploy; the status is 2 when it was not confirmed."""
    site = Site.of(arguments)
    checks = {check["name"]: check for check in doctor.checks(site)}
    if checks["data-disk"]["found"] != "not there yet":
        raise EdgeError(f"the data disk of {site.name} is on this hypervisor; `pulumi up` takes it up: nothing is lost")
    failed = [check for check in checks.values() if check["passed"] is False]
    if failed:
        raise EdgeError("; ".join(f"{check['name']}: {check['found']}: {check['remedy']}" for check in failed))
    if site.node_answers():
        raise EdgeError(f"the node of {site.name} still answers, and two cannot share an address; switch it off first")
    host = site.section.node.hypervisor.host
    print(f"{site.name} is made anew on {host}. {_lost(site)}")
    if not confirmed(site.name, arguments):
        return 2
    # The machine is gone, and with it all that the state tells of; every name and key comes from the stack file.
    for words in (("state", "remove", "--all", "--force", "--yes"), ("up", "--yes", "--skip-preview")):
        status = site.pulumi(*words)
        if status != 0:
            return status
    print(f"it is back; look at it: edge status {site.name}")
    return 0


def _lost(site: Site) -> str:
    if site.section.backup:
        return "What was not in its last backup is lost with the old data disk."
    return "It has no `backup`: all that it kept is lost with the old data disk, and it begins with nothing."
