"""The policy pack on what a plan records."""

from dataclasses import replace

import pytest

from edge.plan.policies import violations
from edge.recorder.recording import Registered
from tests.edge.plan.changes import committed
from tests.sites import STACKS


@pytest.mark.parametrize("stack", STACKS)
def test_a_committed_stack_keeps_every_rule(stack: str) -> None:
    assert violations({stack: committed(stack)}) == []


def without_digest(resource: Registered) -> Registered:
    if resource.name != "oslo-telegraf-image":
        return resource
    return replace(resource, inputs={**resource.inputs, "name": "registry.example.com/telegraf:1.37"})


def test_what_a_site_breaks_is_told_with_the_site() -> None:
    [(site, found)] = violations({"hq": committed("hq"), "oslo": [*map(without_digest, committed("oslo"))]})
    assert (site, found.policy, found.resource) == ("oslo", "images-by-digest", "oslo-telegraf-image")
    assert found.is_mandatory
