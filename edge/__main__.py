"""The edge command: `edge SUBCOMMAND SITE`, `edge plan` for all sites.

Exit status 0: all is well; 1: something is not; 2: wrong use.
"""

import argparse
import os
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
    drift,
    env,
    handover,
    key,
    mesh,
    new_site,
    order,
    pin,
    plan,
    preview,
    replace_node,
    reseed,
    restore,
    rollout,
    scan,
    snapshot,
    status,
    unlock,
)
from edge.site import EdgeError

#: What reads a stack file, wherever it lies; `status` is about all sites when it is given none.
OF_A_STACK = (
    doctor,
    status,
    drift,
    mesh,
    scan,
    env,
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
    preview,
    unlock,
)

#: What the engine writes into the checkout's own stack file.
OF_THE_CHECKOUT = (new_site, handover)

#: As of a program that the signal for it ended: nobody reads its output any more.
BROKEN_PIPE = 141

#: What takes no site, since it is about all of them.
OF_ALL_SITES = (plan, order, rollout)


def main(words: Sequence[str] | None = None) -> int:
    """Run one subcommand; what is wrong is told on standard error."""
    arguments = parser().parse_args(words)
    try:
        result: int = arguments.run(arguments)
        sys.stdout.flush()
    except (ConfigError, EdgeError) as error:
        print(f"edge: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        # Else Python tells of it when it flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except OSError as error:
        place = f"{error.filename}: {error.strerror}; see that this user may read or write it there"
        print(f"edge: {place if error.filename else error}", file=sys.stderr)
        return 1
    except UnicodeDecodeError as error:
        print(f"edge: a file that is read here is no text in UTF-8: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("edge: interrupted", file=sys.stderr)
        return 130
    return result


def parser() -> argparse.ArgumentParser:
    """The words that the command understands."""
    whole = argparse.ArgumentParser(prog="edge", description="What a team does with its site beside `pulumi up`.")
    commands = whole.add_subparsers(required=True, metavar="SUBCOMMAND")
    for module in (*OF_THE_CHECKOUT, *OF_A_STACK, *OF_ALL_SITES):
        name, text = module.__name__.rpartition(".")[2].replace("_", "-"), str(module.__doc__).splitlines()[0]
        command = commands.add_parser(name, help=text, description=module.__doc__)
        if module not in OF_ALL_SITES:
            command.add_argument("site", nargs="?" if module is status else None, help="the stack's name")
        if module not in OF_THE_CHECKOUT:
            command.add_argument(
                "--config-file", type=Path, help="another file than Pulumi.<site>.yaml; <site> in it is the name"
            )
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    return whole


if __name__ == "__main__":
    sys.exit(main())
