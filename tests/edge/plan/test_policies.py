"""The policy pack on what a plan records."""

from dataclasses import replace

import pytest

from edge.plan.policies import broken
from edge.recorder.recording import Registered
from tests.edge.plan.changes import committed
from tests.sites import STACKS


@pytest.mark.parametrize("stack", STACKS)
def test_a_committed_stack_keeps_every_rule(stack: str) -> None:
    assert broken(stack, committed(stack), committed(stack)) == []


def without_digest(resource: Registered) -> Registered:
    if resource.name != "oslo-telegraf-image":
        return resource
    return replace(resource, inputs={**resource.inputs, "name": "registry.example.com/telegraf:1.39"})


def test_what_a_change_breaks_fails_it_and_what_was_broken_before_does_not() -> None:
    unpinned = [*map(without_digest, committed("oslo"))]
    [new] = broken("oslo", committed("oslo"), unpinned)
    assert (new.site, new.violation.policy, new.violation.resource) == (
        "oslo",
        "images-by-digest",
        "oslo-telegraf-image",
    )
    assert new.fails
    [old] = broken("oslo", unpinned, unpinned)
    assert (old.violation, old.as_before, old.fails) == (new.violation, True, False)
    [first] = broken("oslo", [], unpinned)
    assert first.fails
