"""Take a site's node down in order and remove it; the data disk and its pool stay for the next `pulumi up`."""

import argparse

from components.edge_node.hypervisor import data_name, pool_path, shut_down, snapshot
from edge.site import EdgeError, Site, confirmed


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What it understands beside the site."""
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument("--force", action="store_true", help="also when the node has a reason to stay up, or is dead")
    parser.add_argument(
        "--lost-state",
        action="store_true",
        help="the stack is new and knows nothing of it; the data becomes a snapshot",
    )


def run(arguments: argparse.Namespace) -> int:
    """Ask, shut down, destroy; the status is 2 when it was not confirmed."""
    site = Site.of(arguments)
    if arguments.lost_state and "hostKey" in site.outputs:
        raise EdgeError(f"the state of {site.name} knows its node; without --lost-state: edge destroy {site.name}")
    kept = f"{pool_path(site.name, site.section.node)}/{data_name(site.name)}"
    print(f"The node of {site.name} goes, with its containers. Its data disk {kept} stays.")
    if not confirmed(site.name, arguments):
        return 2
    done = site.on_hypervisor("python3", "-", stdin=shut_down(site.name))
    if done.returncode != 0 and not arguments.force:
        site.needs_hypervisor(done)
        raise EdgeError(f"{done.stderr.strip()} To pull the plug instead: edge destroy --force {site.name}")
    if arguments.lost_state:
        if arguments.force:
            site.on_hypervisor("virsh", "--connect", "qemu:///system", "destroy", site.name)
        return _release(site)
    return site.pulumi("destroy", "--yes", "--skip-preview", "--exclude-protected")


def _release(site: Site) -> int:
    """Without a state, the engine finds nothing to destroy, and its next update would meet what is there."""
    kept = site.ask_hypervisor(snapshot(site.name, site.section.node, "release")).get("name")
    print(f"Its data is the snapshot {kept}." if kept else "It had no data disk.")
    print(f"Next: pulumi up --stack {site.name}" + (f", then edge restore {site.name} {kept}" if kept else ""))
    return 0
