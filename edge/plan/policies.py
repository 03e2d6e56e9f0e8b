"""What the policy pack says of a plan's resources."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from pulumi.runtime.rpc import UNKNOWN

from edge.plan.steps import COMPUTED
from edge.recorder.recording import Registered, Secret
from policy import plan
from policy.plan import Violation


def violations(plans: Mapping[str, Sequence[Registered]]) -> list[tuple[str, Violation]]:
    """What each site's resources break, with the site."""
    return [
        (site, violation)
        for site, resources in plans.items()
        for violation in plan.violations([_as_previewed(each) for each in resources])
    ]


def _as_previewed(resource: Registered) -> Registered:
    """A resource in which the recorder's names for what only a provider knows are unknown, as in a preview."""
    return replace(resource, inputs=_unknown(resource.inputs))


def _unknown(value: Any) -> Any:
    match value:
        case str():
            return UNKNOWN if COMPUTED.fullmatch(value) else value
        case Secret():
            return Secret(_unknown(value.value))
        case Mapping():
            return {key: _unknown(item) for key, item in value.items()}
        case list():
            return [_unknown(item) for item in value]
        case _:
            return value
