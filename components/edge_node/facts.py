"""What the node is asked to be, and the program that holds the node against it."""

import json
from pathlib import Path

from components._files import CONFIGURATION, DATA, PROGRAMS, File
from components.edge_node.host_config import EGRESS_QDISC, SYSCTLS
from components.edge_node.interfaces import uplinks
from config.site import Node

DATA_LABEL = "fjord-data"

_PROGRAM = f"{PROGRAMS}/facts"
_ASKED = f"{CONFIGURATION}/asked.json"

#: Prints the facts as JSON; fails when one is not as asked. Root, since the data disk's label is root's to read.
READ_FACTS = f"sudo {_PROGRAM} {_ASKED}"


def asked(node: Node) -> dict[str, object]:
    """What must be found on the node; the shape is that of the facts."""
    return {
        "sysctls": dict(SYSCTLS),
        "qdiscs": dict.fromkeys(uplinks(node.network), EGRESS_QDISC),
        "mounts": {DATA: DATA_LABEL},
        "firstBoot": "done",
    }


def fact_files(node: Node) -> list[File]:
    """The program and what it compares with."""
    program = (Path(__file__).parent / "on_node" / "facts.py").read_text()
    return [
        File(path=_PROGRAM, contents=program, mode=0o755),
        File(path=_ASKED, contents=json.dumps(asked(node), indent=2) + "\n"),
    ]
