"""The edge command: `edge SUBCOMMAND SITE`. Exit status 0: all is well; 1: something is not; 2: wrong use."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from config.base import ConfigError
from edge import (
    backup,
    delete_data,
    destroy,
    device,
    doctor,
    key,
    mesh,
    pin,
    replace_node,
    reseed,
    restore,
    scan,
    snapshot,
    status,
)
from edge.site import EdgeError

SUBCOMMANDS = (
    doctor,
    status,
    mesh,
    scan,
    device,
    pin,
    key,
    reseed,
    backup,
    snapshot,
    restore,
    replace_node,
    destroy,
    delete_data,
)


def main(words: Sequence[str] | None = None) -> int:
    """Run one subcommand; what is wrong is told on standard error."""
    arguments = parser().parse_args(words)
    try:
        result: int = arguments.run(arguments)
    except (ConfigError, EdgeError) as error:
        print(f"edge: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("edge: interrupted", file=sys.stderr)
        return 130
    return result


def parser() -> argparse.ArgumentParser:
    """The words that the command understands."""
    whole = argparse.ArgumentParser(prog="edge", description="What a team does with its site beside `pulumi up`.")
    commands = whole.add_subparsers(required=True, metavar="SUBCOMMAND")
    for module in SUBCOMMANDS:
        name, text = module.__name__.rpartition(".")[2].replace("_", "-"), str(module.__doc__).splitlines()[0]
        command = commands.add_parser(name, help=text, description=module.__doc__)
        command.add_argument("site", help="the stack's name")
        command.add_argument("--config-file", type=Path, help="another file than Pulumi.<site>.yaml")
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    return whole


if __name__ == "__main__":
    sys.exit(main())
