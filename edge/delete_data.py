"""Delete the data disk, its snapshots and the pool of a site whose node was destroyed; backups elsewhere stay."""

import argparse

from components.edge_node.hypervisor import data_name, delete_snapshots, pool_path
from edge.site import EdgeError, Site, confirmed


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What it understands beside the site."""
    parser.add_argument("--yes", action="store_true", help="do not ask")


def run(arguments: argparse.Namespace) -> int:
    """Ask, take the protection off, destroy; the status is 2 when it was not confirmed."""
    site = Site.of(arguments)
    node = site.section.node
    found = site.on_hypervisor("virsh", "--connect", "qemu:///system", "domid", site.name)
    site.needs_hypervisor(found)
    if found.returncode == 0:
        raise EdgeError(f"the node of {site.name} is still there; first: edge destroy {site.name}")
    disk = f"{pool_path(site.name, node)}/{data_name(site.name)}"
    print(f"Every reading of {site.name} on {node.hypervisor.host} is deleted: {disk} and its snapshots:")
    print(", ".join(each["name"] for each in site.snapshots()) or "there is none")
    if not confirmed(f"delete {site.name}", arguments):
        return 2
    done = site.on_hypervisor("sh", "-c", f"'{delete_snapshots(site.name, node)}'")
    if done.returncode != 0:
        raise EdgeError(f"its snapshots could not be deleted: {done.stderr.strip()}")
    status = site.pulumi("state", "unprotect", "--all", "--yes")
    return status or site.pulumi("destroy", "--yes", "--skip-preview")
