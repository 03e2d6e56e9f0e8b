"""Put a snapshot in the place of the data disk; the node is off meanwhile, and what was there becomes a snapshot."""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager

from components._influxdb import APPLY_USERS
from components.edge_node.hypervisor import shut_down, snapshot
from config.iot import QUEUE_HOURS
from edge.site import EdgeError, Site, confirmed

#: The collector drops what the database refuses (ADR 20): it starts once the users of now are there again.
_HOLD = "docker update --restart=no telegraf"
_AS_EVER = "docker update --restart=always telegraf"
_COLLECT = f"{_AS_EVER} && docker start telegraf"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What it understands beside the site."""
    parser.add_argument("snapshot", metavar="SNAPSHOT", help="a name that `edge snapshot --list` shows")
    parser.add_argument("--yes", action="store_true", help="do not ask")


def run(arguments: argparse.Namespace) -> int:
    """Ask, shut down, restore, start, and wait until the node answers; the status is 2 when it was not confirmed.

    A snapshot has the database's users and retention of its time; those of the last update come back at once.
    """
    site = Site.of(arguments)
    names = [each["name"] for each in site.snapshots()]
    if arguments.snapshot not in names:
        raise EdgeError(f"there is no snapshot {arguments.snapshot}; there are: {', '.join(names) or 'none'}")
    print(f"{site.name} goes back to its data of {arguments.snapshot}. What it has now becomes a snapshot too.")
    if not confirmed(site.name, arguments):
        return 2
    with _nothing_collected(site):
        site.ask_hypervisor(shut_down(site.name), answer=False)
        site.ask_hypervisor(snapshot(site.name, site.section.node, "restore", arguments.snapshot))
    print(f"restored; {site.name} starts")
    site.wait_for_node()
    _bring_users(site, arguments.snapshot)
    print(f"it answers; look at it: edge status {site.name}")
    return 0


@contextmanager
def _nothing_collected(site: Site) -> Iterator[None]:
    """From its next boot on; where the node stays as it was, as ever."""
    if site.section.iot and site.on_node(_HOLD).returncode != 0:
        print("the node does not answer: its collector may drop what comes in before the database knows it again")
    try:
        yield
    except EdgeError:
        if site.section.iot:
            site.on_node(_AS_EVER)
        raise


def _bring_users(site: Site, snapshot_name: str) -> None:
    """What the last update brought to the database, once more; then the collector may write."""
    if not (site.section.iot or site.section.summaries):
        return
    command = f"sudo {APPLY_USERS}" + (f" && {_COLLECT}" if site.section.iot else "")
    done = site.on_node(command, limit_seconds=None)
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip()
        raise EdgeError(
            f"the database of {snapshot_name} does not take the users of now: {said}. Until it does, the broker keeps "
            f"what comes in, for {QUEUE_HOURS} hours. See docker logs influxdb, or go back: edge restore {site.name} "
            "and the newest before-restore-… of edge snapshot --list"
        )
