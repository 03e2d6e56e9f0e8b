"""The policy pack as the engine runs it: `pulumi preview --policy-pack policy`."""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pulumi_policy import (
    EnforcementLevel,
    Policy,
    PolicyConfigSchema,
    PolicyPack,
    PolicyResource,
    ReportViolation,
    ResourceValidationArgs,
    ResourceValidationPolicy,
    StackValidationArgs,
    StackValidationPolicy,
)
from pulumi_policy.proxy import UnknownValueError

sys.path.insert(0, str(Path(__file__).parent.parent))

from policy.rules import RULES, UNKNOWN, Resource, Rule


def plain(value: Any) -> Any:
    """A property without the SDK's guard, which fails on a look at what is not known yet."""
    match value:
        case Mapping():
            return {key: _known(value, key) for key in value}
        case str() | bytes():
            return value
        case _ if hasattr(value, "__getitem__"):
            return [_known(value, index) for index in range(len(value))]
    return value


def _known(container: Any, key: Any) -> Any:
    try:
        return plain(container[key])
    except UnknownValueError:
        return UNKNOWN


def resource(asked: PolicyResource | ResourceValidationArgs) -> Resource:
    """What the rules judge, of what the engine asks about."""
    return Resource(asked.resource_type, asked.name, plain(asked.props), protect=asked.opts.protect)


def of_one(rule: Rule) -> Callable[[ResourceValidationArgs, ReportViolation], None]:
    """A rule on one resource, before it is made."""

    def validate(asked: ResourceValidationArgs, report: ReportViolation) -> None:
        for violation in rule.violations([resource(asked)], asked.get_config()):
            report(violation.message, None)

    return validate


def of_all(rule: Rule) -> Callable[[StackValidationArgs, ReportViolation], None]:
    """A rule on a whole stack."""

    def validate(asked: StackValidationArgs, report: ReportViolation) -> None:
        urns = {(each.resource_type, each.name): each.urn for each in asked.resources}
        for violation in rule.violations(map(resource, asked.resources), asked.get_config()):
            report(violation.message, urns[violation.resource.type, violation.resource.name])

    return validate


def policy(rule: Rule) -> Policy:
    """A rule as CrossGuard has it."""
    words = {"type": "array", "items": {"type": "string"}}
    schema = PolicyConfigSchema(
        {
            key: {**words, "description": setting.description, "default": list(setting.default)}
            for key, setting in rule.settings.items()
        }
    )
    about = {"name": rule.name, "description": rule.description, "config_schema": schema if rule.settings else None}
    if rule.whole_stack:
        return StackValidationPolicy(**about, validate=of_all(rule))
    return ResourceValidationPolicy(**about, validate=of_one(rule))


PolicyPack("fjord-edge", [policy(rule) for rule in RULES], EnforcementLevel.MANDATORY)
