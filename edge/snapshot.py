"""Copy the data disk as of this moment, on its hypervisor; the node runs on."""

import argparse
import json
import sys

from components.edge_node.hypervisor import snapshot
from edge.site import Site, confirmed, table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What it understands beside the site."""
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--list", action="store_true", help="show the snapshots there are, the oldest first")
    what.add_argument("--delete", metavar="NAME", help="delete this one")
    parser.add_argument("--yes", action="store_true", help="do not ask before it is deleted")
    parser.add_argument("--json", action="store_true", help="for scripts")


def run(arguments: argparse.Namespace) -> int:
    """Make, show, or ask and delete; the status is 2 when it was not confirmed.

    A snapshot is no backup, since it lies on the same machine.
    """
    site = Site.of(arguments)
    if arguments.list:
        found = site.snapshots()
        if arguments.json:
            print(json.dumps(found, indent=2))
        else:
            print(table([(each["name"], f"{each['gib']} GiB") for each in found]) if found else "there is none")
        return 0
    action, name = ("delete", arguments.delete) if arguments.delete else ("make", "")
    if arguments.delete:
        print(f"The snapshot {name} of {site.name} is deleted; nothing brings it back.", file=sys.stderr)
        if not confirmed(site.name, arguments):
            return 2
    done = site.ask_hypervisor(snapshot(site.name, site.section.node, action, name))
    print(json.dumps(done) if arguments.json else f"{'deleted' if arguments.delete else 'made'} {done['name']}")
    return 0
