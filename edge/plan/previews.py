"""The engine's own previews, which take their sites' places in a plan's table."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from edge.plan.rules import effect
from edge.plan.steps import Operation, Step
from edge.plan.verdict import Recorded, SitePlan, Verdict, judge
from edge.recorder.recording import Registered, reference
from edge.site import EdgeError

#: The engine's words for what a step is about; the others change nothing, or are parts of a replacement.
_OPERATIONS: Mapping[str, Operation] = {
    "create": "create",
    "update": "update",
    "replace": "replace",
    "delete": "delete",
}

_STACK = "pulumi:pulumi:Stack"
_LIBVIRT = "pulumi:providers:libvirt::"


#: What the plan knows better: an engine compares no seeds, and what fails by its plan says why.
_PLANS_ALONE = {Verdict.DATA_LOST, Verdict.REFUSED, Verdict.KEYS}

#: And where the engine did not see the site: a stand-in is another hypervisor for it anyway.
_UNSEEN = _PLANS_ALONE | {Verdict.UNKNOWN}


def judged(site: str, digest: Mapping[str, Any]) -> dict[str, Any]:
    """What a digest of `pulumi preview --json` does to a site, without any value of it."""
    steps = [_step(each) for each in digest["steps"] if each["op"] in _OPERATIONS]
    is_new = any(step.operation == "create" and step.resource.type == _STACK for step in steps)
    own = [step for step in steps if step.resource.custom]
    after = Recorded(resources=[step.after for step in own if step.after])
    plan = judge(site, own, None if is_new else Recorded(), after)
    return {"site": site, "answers": True, "verdicts": plan.verdicts, "what": plan.what, "fails": plan.fails}


def stale(site: str, last_contact: str, digest: Mapping[str, Any]) -> dict[str, Any]:
    """The same of a site that does not answer, by its state alone; that a stand-in was dialled is no change."""
    steps = [step for step in digest["steps"] if _LIBVIRT not in step["urn"]]
    return judged(site, {"steps": steps}) | silent(site, last_contact)


def silent(site: str, last_contact: str) -> dict[str, Any]:
    """The same of a site that does not answer; its last contact is the time of its last update."""
    return {"site": site, "answers": False, "lastContact": last_contact}


def read(folder: Path) -> dict[str, Mapping[str, Any]]:
    """What `edge preview` said, by site: one file each.

    Raises:
        EdgeError: there is no such folder, or a file in it is nothing that `edge preview` prints.
    """
    if not folder.is_dir():
        raise EdgeError(f"{folder} is no folder; put what `edge preview <site>` prints into it, a file for each site")
    found = {}
    for path in sorted(folder.glob("*.json")):
        try:
            preview = json.loads(path.read_text())
            found[_checked(preview)["site"]] = preview
        except (ValueError, TypeError, KeyError):
            raise EdgeError(f"{path} is no preview; write it anew: bin/edge preview <site> > {path}") from None
    return found


def _checked(preview: Any) -> Mapping[str, Any]:
    """What `judged`, `stale` or `silent` gave.

    Raises:
        ValueError, TypeError, KeyError: it is nothing of the kind.
    """
    kinds: dict[str, type] = {"site": str, "answers": bool}
    kinds |= {} if preview["answers"] else {"lastContact": str}
    is_judged = preview["answers"] or "verdicts" in preview
    kinds |= {"verdicts": list, "what": list, "fails": bool} if is_judged else {}
    if any(not isinstance(preview[key], kind) for key, kind in kinds.items()):
        raise TypeError
    if is_judged and not (
        all(map(Verdict, preview["verdicts"])) and all(isinstance(one, str) for one in preview["what"])
    ):
        raise TypeError
    checked: Mapping[str, Any] = preview
    return checked


def fold(plans: Sequence[SitePlan], previews: Mapping[str, Mapping[str, Any]]) -> list[SitePlan]:
    """Let previews take the places of the plans of their sites, but for what only a plan knows."""
    return [_folded(plan, previews[plan.site]) if plan.site in previews else plan for plan in plans]


def _folded(plan: SitePlan, preview: Mapping[str, Any]) -> SitePlan:
    source = "preview"
    if not preview["answers"]:
        last = preview["lastContact"]
        source = "preview of the state" if "verdicts" in preview else "plan"
        source += f"; no answer, last contact {last}" if last else "; no answer yet"
    if "verdicts" not in preview:
        return replace(plan, source=source)
    told = [Verdict(each) for each in preview["verdicts"]]
    alone = _PLANS_ALONE if preview["answers"] else _UNSEEN
    # Each has a text, but for the best of them.
    kept = {
        verdict: what
        for verdict, what in zip(plan.verdicts, plan.what, strict=False)
        if verdict in alone and verdict not in told
    }
    return replace(
        plan,
        verdicts=[*kept, *(each for each in told if not kept or each is not Verdict.NOTHING)],
        what=[*kept.values(), *preview["what"]],
        fails=plan.fails or preview["fails"],
        source=source,
    )


def _step(told: Mapping[str, Any]) -> Step:
    old, new = (_registered(told[key]) if told.get(key) else None for key in ("oldState", "newState"))
    changed = told.get("diffReasons") or ()
    return Step(
        operation=_OPERATIONS[told["op"]],
        before=None if told["op"] == "create" else old,
        after=None if told["op"] == "delete" else new,
        changed=tuple(sorted(changed)),
        because=tuple(sorted(told.get("replaceReasons") or _reasons(old, new))),
    )


def _reasons(old: Registered | None, new: Registered | None) -> set[str]:
    """Which inputs replace it; the engine says none where what it depends on is replaced before it."""
    if old is None or new is None:
        return set()
    changed = {key for key in old.inputs.keys() | new.inputs.keys() if old.inputs.get(key) != new.inputs.get(key)}
    return {key for key in changed if effect(new.type, key) == "replace"}


def _registered(state: Mapping[str, Any]) -> Registered:
    """A resource of the state, as far as a verdict asks for it."""
    return Registered(
        type=state["type"],
        name=reference(state["urn"]).rpartition("::")[2],
        inputs=state.get("inputs", {}),
        parent=reference(state.get("parent", "")),
        custom=state["custom"],
        protect=state.get("protect", False),
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
