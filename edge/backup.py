"""Send what the services keep to where backups lie, now; it is done each night anyway."""

import argparse
import json

from components.backup.restic import PROGRAM
from edge.site import EdgeError, Site, table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What it understands beside the site."""
    parser.add_argument("--list", action="store_true", help="show the backups there are, the oldest first")
    parser.add_argument("--json", action="store_true", help="for scripts")


def run(arguments: argparse.Namespace) -> int:
    """Back up or show."""
    site = Site.of(arguments)
    site.needs_backup()
    done = site.on_node(f"sudo {PROGRAM} {'list' if arguments.list else 'run'}", limit_seconds=None)
    if done.returncode != 0:
        said = done.stderr.strip() or "the node did not answer"
        raise EdgeError(f"{said}; look at the node (edge status {site.name}), and at where `backup` in its file says")
    told = json.loads(done.stdout)
    if arguments.json:
        print(json.dumps(told, indent=2))
    elif arguments.list:
        print(table([(each["snapshot"][:8], each["time"][:19]) for each in told]) if told else "there is none")
    else:
        print(f"backup {told['snapshot'][:8]}: {told['sentBytes'] / (1 << 20):.1f} MiB were new")
    return 0
