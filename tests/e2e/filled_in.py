"""A new site's stack file as a person fills it in: with the lab's hypervisor, images and keys."""

from pathlib import Path

import yaml

from config.loader import PROJECT
from lab.stacks import Stack

#: Of oslo's network what a neighbour cannot have too.
_OSLOS_OWN = ("address6", "gateway6", "lan", "backup")


def fill_in(path: Path, like: Stack) -> None:
    """Say in a stack file what a deployed site's says, but for its seed, its addresses and its backup."""
    content, others = yaml.safe_load(path.read_text()), yaml.safe_load(like.config_file.read_text())
    section = others["config"][f"{PROJECT}:site"]
    for key in ("allowPublishedSeed", "backup"):
        del section[key]
    del section["node"]["hypervisor"]["knownHosts"]
    network = section["node"]["network"]
    for key in _OSLOS_OWN:
        del network[key]
    network["address"] = "10.20.0.13/24"
    content["config"][f"{PROJECT}:site"] = section
    path.write_text(yaml.safe_dump(content))
