"""What a change to a site's section makes of its resources, without a subprocess."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

from config import loader
from edge.plan.steps import steps
from edge.plan.verdict import Recorded, SitePlan, Verdict, judge
from edge.recorder.__main__ import computed
from edge.recorder.recording import Recording, Registered
from tests.recording import SEED_KEY, config_of, program, registered_as
from tests.sites import edited, entries, section

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

OTHER_DIGEST = "registry.example.com/telegraf@sha256:" + 64 * "1"
NEW_SENSOR = {"id": "pen1-salt", "pen": "pen-1", "quantities": ["oxygen"]}


def set_to(*keys: str | int, value: Any) -> Edit:
    return lambda content: edited(content, *keys, value=value)


#: Edits of a site's section by what they are about, with the verdicts that they get.
EDITS: dict[str, tuple[Edit, list[Verdict]]] = {
    "nothing": (lambda _: None, [Verdict.NOTHING]),
    "a sysctl": (set_to("node", "sysctls", value={"vm.swappiness": "10"}), [Verdict.IN_PLACE]),
    "who may log in": (lambda site: site["node"]["authorizedKeys"].append("ssh-ed25519 AAAA b"), [Verdict.IN_PLACE]),
    "a bigger data disk": (set_to("node", "dataDiskGib", value=16), [Verdict.IN_PLACE]),
    "a sensor": (lambda site: site["iot"]["sensors"].append(NEW_SENSOR), [Verdict.RESTART, Verdict.IN_PLACE]),
    "a service's image": (
        set_to("iot", "images", "telegraf", value=OTHER_DIGEST),
        [Verdict.RESTART, Verdict.IN_PLACE],
    ),
    "memory": (set_to("node", "memoryMib", value=4096), [Verdict.REPLACED]),
    "cpus": (set_to("node", "cpus", value=3), [Verdict.REPLACED]),
    "root disk": (set_to("node", "rootDiskGib", value=16), [Verdict.REPLACED]),
    "generation": (set_to("node", "generation", value=2), [Verdict.REPLACED]),
    "node image": (set_to("node", "image", "sha256", value=64 * "1"), [Verdict.REPLACED]),
    "a bridge": (set_to("node", "network", "bridge", value="br1"), [Verdict.REPLACED]),
    "the pool's place": (
        set_to("node", "hypervisor", "pool", value="/srv/other"),
        [Verdict.DATA_LOST],
    ),
}


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
