"""The versions that everything in the toolchain has in common with the Python packages of the program."""

import re

from lab.paths import CHECKOUT


def pinned(package: str, requirements: str) -> str:
    """Return the version of a package in a requirements file.

    Raises:
        ValueError: the package is not pinned there.
    """
    match = re.search(rf"^{re.escape(package)}==([^\s;]+)", requirements, re.MULTILINE)
    if match is None:
        raise ValueError(f"{package} is not pinned in requirements.txt")
    return match[1]


_requirements = (CHECKOUT / "requirements.txt").read_text()

ENGINE = pinned("pulumi", _requirements)

PLUGINS = {name: pinned(f"pulumi-{name}", _requirements) for name in ("command", "docker", "libvirt")}


def plugin_executable(name: str) -> str:
    """Return a plugin's place below Pulumi's folder of plugins."""
    return f"resource-{name}-v{PLUGINS[name]}/pulumi-resource-{name}"
