"""The table of the providers' rules."""

import pytest

from edge.plan.rules import EFFECTS, Effect, effect
from edge.plan.steps import steps
from tests.edge.plan.changes import committed, made
from tests.sites import STACKS

ROWS = [(type_, key, each) for type_, rows in EFFECTS.items() for key, each in rows.items()]


@pytest.mark.parametrize(("type_", "key", "expected"), ROWS)
def test_an_input_that_changes_does_what_its_row_says(type_: str, key: str, expected: Effect) -> None:
    [step] = steps([made(type=type_, inputs={key: "old"})], [made(type=type_, inputs={key: "new"})])
    assert (step.operation, step.changed) == (expected, (key,))


@pytest.mark.parametrize("stack", STACKS)
def test_each_input_that_a_program_gives_has_a_row(stack: str) -> None:
    given = {
        (each.type, key)
        for each in committed(stack)
        if each.custom and not each.type.startswith("pulumi:providers:")
        for key in each.inputs
    }
    assert given - {(type_, key) for type_, key, _ in ROWS} == set()


def test_what_nobody_looked_up_is_taken_to_replace() -> None:
    assert effect("docker:index/container:Container", "unheardOf") == "replace"
    assert effect("aws:s3:Bucket", "any") == "replace"


def test_a_connection_changes_in_place() -> None:
    assert effect("pulumi:providers:libvirt", "uri") == "update"
