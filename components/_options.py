"""How children of a component are declared: one place for their resource options."""

from collections.abc import Sequence
from typing import Any

import pulumi


def child_options(
    parent: pulumi.Resource, *, depends_on: Sequence[pulumi.Resource] = (), **more: Any
) -> pulumi.ResourceOptions:
    """Options of a component's child; provider and protection come from the parent, what else is said stays."""
    return pulumi.ResourceOptions(parent=parent, depends_on=list(depends_on), **more)
