"""What the policy pack says of a plan's resources, where there is a pack."""

import importlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol, cast

from config.loader import CHECKOUT
from edge.recorder.recording import Registered

#: The pack's own module for this: pulumi/actions loads `policy/__main__.py`, which runs a server.
PACK = "policy.plan"


class Violation(NamedTuple):
    """One resource that breaks one rule."""

    policy: str
    resource: str
    message: str
    is_mandatory: bool
    """Whether it must not be merged."""


class Pack(Protocol):
    """What a pack's module has."""

    def violations(self, resources: Sequence[Registered]) -> Sequence[Violation]:
        """What the resources of one site break."""


def violations(plans: Mapping[str, Sequence[Registered]]) -> list[tuple[str, Violation]] | None:
    """What each site's resources break, with the site; None where the checkout has no pack that is asked this way."""
    if not (CHECKOUT / f"{PACK.replace('.', '/')}.py").is_file():
        return None
    pack = cast("Pack", importlib.import_module(PACK))
    return [(site, violation) for site, resources in plans.items() for violation in pack.violations(resources)]
