"""The rules on what a program registers without an engine, for `edge plan` and the tests."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from policy import rules
from policy.rules import Resource


class Registered(Protocol):
    """A recorded request to register a resource; a secret in its inputs is an object with a `value`."""

    @property
    def type(self) -> str:
        """The engine's token."""

    @property
    def name(self) -> str:
        """Its name in the stack."""

    @property
    def inputs(self) -> Mapping[str, Any]:
        """In the engine's spelling."""

    @property
    def protect(self) -> bool:
        """Whether the engine refuses to delete it."""


@dataclass(frozen=True)
class Violation:
    """One resource that breaks one rule; `is_mandatory` says that it must not be merged."""

    policy: str
    resource: str
    message: str
    is_mandatory: bool = True


def violations(resources: Iterable[Registered]) -> list[Violation]:
    """What the resources of one site break."""
    found = rules.violations(map(resource, resources))
    return [Violation(each.rule, each.resource.name, each.message) for each in found]


def resource(registered: Registered) -> Resource:
    """What the rules judge, of what was recorded."""
    return Resource(registered.type, registered.name, _shown(registered.inputs), protect=registered.protect)


def _shown(value: Any) -> Any:
    match value:
        case Mapping():
            return {key: _shown(item) for key, item in value.items()}
        case list():
            return [_shown(item) for item in value]
        case object(value=secret):
            return _shown(secret)
    return value
