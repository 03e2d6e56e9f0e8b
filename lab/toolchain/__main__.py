"""Make the whole toolchain and say where it is: `python -m lab.toolchain`."""

import sys

from lab.console import LabError, say
from lab.toolchain import ensure, services
from lab.toolchain.versions import ENGINE, PLUGINS


def main() -> int:
    """Build or find everything, and print origin, versions and paths."""
    try:
        toolchain = ensure()
        say(f"pulumi {ENGINE} ({toolchain.origin}): {toolchain.pulumi}")
        for name, version in PLUGINS.items():
            say(f"  plugin {name} {version}, in {toolchain.plugins}")
        for name, executable in services().items():
            say(f"{name}: {executable}")
    except LabError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
