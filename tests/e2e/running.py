"""What runs on a node."""

from lab.sensors import on_node
from lab.stacks import Stack


def containers(stack: Stack) -> dict[str, str]:
    """The id of each running container, by its name."""
    found = on_node(stack, "docker ps --no-trunc --format '{{.Names}} {{.ID}}'")
    return dict(line.split() for line in found.splitlines())
