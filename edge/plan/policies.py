"""What the policy pack says of a plan's resources."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pulumi.runtime.rpc import UNKNOWN

from edge.plan.steps import COMPUTED
from edge.recorder.recording import Registered, Secret
from policy import plan
from policy.plan import Violation


@dataclass(frozen=True)
class Broken:
    """What breaks a policy at a site."""

    site: str
    violation: Violation
    as_before: bool
    """Whether it does so without the change, too."""

    @property
    def fails(self) -> bool:
        """Whether the change must not be merged for it."""
        return self.violation.is_mandatory and not self.as_before


def broken(site: str, before: Sequence[Registered], after: Sequence[Registered]) -> list[Broken]:
    """What a site's resources break, what the change breaks first."""
    violations = _violations(after)
    already = set(_violations(before)) if violations else set()
    found = [Broken(site, violation, violation in already) for violation in violations]
    return sorted(found, key=lambda each: each.as_before)


def _violations(resources: Sequence[Registered]) -> list[Violation]:
    return plan.violations([_as_previewed(each) for each in resources])


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
