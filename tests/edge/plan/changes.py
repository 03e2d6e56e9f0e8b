"""What a change to a site's section makes of its resources, without a subprocess."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

from config import loader
from edge.plan.steps import steps
from edge.plan.verdict import Recorded, SitePlan, judge
from edge.recorder.__main__ import computed
from edge.recorder.recording import Recording, Registered
from tests.recording import SEED_KEY, config_of, program, registered_as
from tests.sites import entries, section

Edit = Callable[[Any], object]

A = Registered(
    type="command:remote:Command",
    name="a",
    inputs={},
    parent="pulumi:pulumi:Stack::fjord-edge-oslo",
    custom=True,
    protect=False,
    provider="",
    dependencies=frozenset(),
    property_dependencies={},
    deleted_with="",
    replace_with=(),
    delete_before_replace=None,
    ignore_changes=(),
    replace_on_changes=(),
    additional_secret_outputs=(),
    aliases=(),
)


def made(**fields: Any) -> Registered:
    """A resource that no program registers."""
    return replace(A, **fields)


def recorded(stack: str, edit: Edit = lambda _: None, registry: Edit = lambda _: None) -> list[Registered]:
    """A committed stack as the plan records it, its section or the registry's files edited."""
    site, files = section(stack), entries()
    edit(site)
    registry(files)
    recording = Recording(loader.PROJECT, stack, preview=True, computed=computed)
    with registered_as(files):
        recording.run(program, config_of(stack, site), [SEED_KEY])
    return [Registered.of(request) for request in recording.requests]


@cache
def committed(stack: str) -> list[Registered]:
    """The same without an edit."""
    return recorded(stack)


def verdict(stack: str, edit: Edit = lambda _: None, registry: Edit = lambda _: None) -> SitePlan:
    """What is said of it."""
    before, after = committed(stack), recorded(stack, edit, registry)
    found = steps(before, after)
    return judge(stack, found, Recorded(resources=before), Recorded(resources=after), owners=["@fjord-edge/any"])
