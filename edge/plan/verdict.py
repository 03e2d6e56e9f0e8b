"""What a change does to a site, in the words of those who must agree to it."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from urllib.parse import urlsplit

from edge.plan.rules import CONTAINER, DOMAIN, IMAGE, LIBVIRT, POOL, VOLUME
from edge.plan.steps import Step
from edge.recorder.recording import Registered

#: So many resources are named; the site's details have them all.
_NAMED = 6


class Verdict(StrEnum):
    """From the worst to the best."""

    DATA_LOST = "DATA LOST"
    REFUSED = "refused"
    KEYS = "all keys may change"
    REPLACED = "node replaced, data kept"
    REMOVED = "removed"
    NEW = "new"
    UNKNOWN = "anything may change"
    RESTART = "containers restart"
    IN_PLACE = "in place"
    NOTHING = "nothing"


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """What one revision says of a site: its resources, or why the program refuses it."""

    resources: Sequence[Registered] = ()
    refused: str = ""


@dataclass(frozen=True, kw_only=True)
class SitePlan:
    """What happens to one site."""

    site: str
    owners: Sequence[str] = ()
    """Those who must agree: one, or two where the site changes hands."""
    verdicts: Sequence[Verdict]
    """All that are true, the worst first."""
    what: Sequence[str]
    """What changes, in a line each."""
    steps: Sequence[Step] = ()
    before: Sequence[Registered] = field(default=(), repr=False)
    """The resources as they are, for the policies."""
    after: Sequence[Registered] = field(default=(), repr=False)
    """The same as they will be."""
    fails: bool = False
    """Whether it must not be merged as it is."""
    source: str = "plan"
    """Where the verdict is from; more than that is shown where it is no plan, or should have been a preview."""


def judge(
    site: str,
    steps: Sequence[Step],
    before: Recorded | None,
    after: Recorded | None,
    *,
    owners: Sequence[str] = (),
    beyond_steps: Mapping[Verdict, str] = MappingProxyType({}),
) -> SitePlan:
    """Say what happens to a site.

    Args:
        site: its name.
        steps: what the engine would do; none where a revision lacks the site, or refuses it.
        before: what is now; None of a new site.
        after: what would be; None of one that goes.
        owners: those who must agree.
        beyond_steps: what its files and settings tell that no step does.
    """
    found: dict[Verdict, str] = {}
    mistakes = _mistakes(after)
    as_before = mistakes <= _mistakes(before)
    if after is None:
        found[Verdict.REMOVED] = (
            "nothing of it is deleted by that: it runs on until `edge destroy`, its data stays until "
            "`edge delete-data`; do both before its files go"
        )
    elif after.refused:
        found[Verdict.REFUSED] = f"{'as before: ' if as_before else ''}{_on_one_line(after.refused)}"
    elif before is None:
        found[Verdict.NEW] = f"{sum(each.custom for each in after.resources)} resources"
    elif before.refused:
        found[Verdict.UNKNOWN] = f"what it is compared with was refused: {_on_one_line(before.refused)}"
    else:
        found |= _verdicts(steps)
    for verdict, what in beyond_steps.items():
        found[verdict] = "; ".join(filter(None, (found.get(verdict), what)))
    if len(found) > 1:
        found.pop(Verdict.NOTHING, None)
    return SitePlan(
        site=site,
        owners=owners,
        verdicts=sorted(found, key=list(Verdict).index),
        what=[found[verdict] for verdict in sorted(found, key=list(Verdict).index) if found[verdict]],
        steps=steps,
        before=before.resources if before else (),
        after=after.resources if after else (),
        fails=Verdict.DATA_LOST in found or Verdict.REFUSED in beyond_steps or (bool(mistakes) and not as_before),
    )


def _verdicts(steps: Sequence[Step]) -> dict[Verdict, str]:
    if not steps:
        return {Verdict.NOTHING: ""}
    lost = [step for step in steps if step.operation in {"replace", "delete"} and holds_data(step)]
    node = [step for step in steps if step.resource.type == DOMAIN and step.operation != "update"]
    found = {}
    if lost:
        names = _names(lost)
        found[Verdict.DATA_LOST] = f"{names}: made anew or deleted. The engine refuses that while they are protected"
        if node:
            found[Verdict.DATA_LOST] += "; the node is replaced"
    elif node:
        reasons = sorted({reason for step in node for reason in step.because})
        found[Verdict.REPLACED] = f"because of {', '.join(reasons)}" if reasons else _names(node)
    containers = [step for step in steps if step.resource.type == CONTAINER and step.operation == "replace"]
    if containers and not node:
        found[Verdict.RESTART] = _names(containers)
    elsewhere = [step for step in steps if step.operation == "update" and _is_another_hypervisor(step)]
    if elsewhere:
        found[Verdict.UNKNOWN] = (
            f"{_names(elsewhere)}: another hypervisor, where neither node nor data is; it takes `edge replace-node`"
        )
    if rest := "; ".join(_others([step for step in steps if step not in lost], with_node=bool(node))):
        found[Verdict.IN_PLACE] = rest
    if not found:
        found[Verdict.IN_PLACE] = _names(steps)
    return found


def _others(steps: Sequence[Step], *, with_node: bool) -> Iterator[str]:
    """What no other verdict names. What another node is made of and gets is not told again, but what is new or gone."""
    named_elsewhere = {("replace", DOMAIN), ("replace", CONTAINER), ("replace", IMAGE)}
    found = [step for step in steps if (step.operation, step.resource.type) not in named_elsewhere]
    if with_node:
        found = [step for step in found if step.operation in {"create", "delete"} and not _is_libvirts(step)]
    for operation, word in (("update", ""), ("replace", "made anew: "), ("create", "new: "), ("delete", "gone: ")):
        if those := [step for step in found if step.operation == operation]:
            yield word + _names(those)


def _is_libvirts(step: Step) -> bool:
    return step.resource.type.startswith("libvirt:")


def holds_data(step: Step) -> bool:
    """Whether its resource keeps what a site cannot make again: what is protected, a pool, a disk that began empty."""
    resource = step.before or step.resource
    is_empty_disk = resource.type == VOLUME and not resource.inputs.keys() & {"source", "baseVolumeId"}
    return resource.protect or resource.type == POOL or is_empty_disk


def _is_another_hypervisor(step: Step) -> bool:
    if step.resource.type != LIBVIRT or not step.before or not step.after:
        return False
    was, is_ = (urlsplit(str(each.inputs.get("uri", ""))).hostname for each in (step.before, step.after))
    return was != is_


def _names(steps: Sequence[Step]) -> str:
    names = sorted(step.resource.name for step in steps)
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _mistakes(recorded: Recorded | None) -> set[str]:
    """What a program refuses, wherever in its file it is."""
    lines = recorded.refused.splitlines() if recorded else []
    return {re.sub(r"(\.yaml):\d+", r"\1", line) for line in lines if line}


def _on_one_line(text: str) -> str:
    return "; ".join(line for line in text.splitlines() if line).replace(":; ", ": ")
