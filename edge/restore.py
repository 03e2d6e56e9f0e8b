"""Put a snapshot in the place of the data disk; the node is off meanwhile, and what was there becomes a snapshot."""

import argparse

from components.edge_node.hypervisor import shut_down, snapshot
from edge.site import EdgeError, Site, confirmed


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What it understands beside the site."""
    parser.add_argument("snapshot", metavar="SNAPSHOT", help="a name that `edge snapshot --list` shows")
    parser.add_argument("--yes", action="store_true", help="do not ask")


def run(arguments: argparse.Namespace) -> int:
    """Ask, shut down, restore, start, and wait until the node answers; the status is 2 when it was not confirmed."""
    site = Site.of(arguments)
    names = [each["name"] for each in site.snapshots()]
    if arguments.snapshot not in names:
        raise EdgeError(f"there is no snapshot {arguments.snapshot}; there are: {', '.join(names) or 'none'}")
    print(f"{site.name} goes back to its data of {arguments.snapshot}. What it has now becomes a snapshot too.")
    if not confirmed(site.name, arguments):
        return 2
    site.ask_hypervisor(shut_down(site.name), answer=False)
    site.ask_hypervisor(snapshot(site.name, site.section.node, "restore", arguments.snapshot))
    print(f"restored; {site.name} starts")
    site.wait_for_node()
    print(f"it answers; look at it: edge status {site.name}")
    return 0
