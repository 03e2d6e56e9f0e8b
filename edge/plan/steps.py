"""From what two revisions register to what the engine would do, by its own rules and the providers'."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from edge.plan.rules import effect
from edge.recorder.recording import Registered, Secret

Operation = Literal["create", "update", "replace", "delete"]

#: How the recorder names what only a provider knows.
COMPUTED = re.compile(r"<(\w+) of ([^<>]+)>")


@dataclass(frozen=True, kw_only=True)
class Step:
    """What happens to one resource."""

    operation: Operation
    before: Registered | None
    after: Registered | None
    changed: tuple[str, ...] = ()
    """The inputs that change, or come to be unknown because another resource is made anew."""
    because: tuple[str, ...] = ()
    """What of it replaces: inputs, or resources with which it is replaced."""

    @property
    def resource(self) -> Registered:
        """As it will be; as it was where it goes."""
        resource = self.after or self.before
        if resource is None:
            raise ValueError("a step is about a resource")
        return resource


def steps(before: Sequence[Registered], after: Sequence[Registered]) -> list[Step]:
    """What the engine would do to get from one revision's resources to the other's; what stays has no step.

    Args:
        before: as registered by the one revision, parents and what others depend on first.
        after: the same of the other.
    """
    former = _matched(before, after)
    names = {old.reference: new for new, old in former.items()}
    found: dict[str, Step] = {}
    for resource in after:
        if resource.custom and (step := _step(former.get(resource.reference), resource, names, found)):
            found[resource.reference] = step
    gone = [each for each in before if each.custom and each.reference not in names]
    done = [*found.values(), *(Step(operation="delete", before=each, after=None) for each in gone)]
    return sorted(done, key=lambda step: (step.resource.name, step.resource.type))


def _matched(before: Sequence[Registered], after: Sequence[Registered]) -> dict[str, Registered]:
    """What each resource was, by its reference now: the engine knows it by its type, its parent's, and its name."""
    by_reference = {resource.reference: resource for resource in before}
    now = {resource.reference: resource for resource in after}
    matched = {}
    for resource in after:
        parent = now.get(resource.parent)
        parent_types = {_type(name) for name in (resource.parent, *(parent.aliases if parent else ()))}
        old = by_reference.get(resource.reference)
        if old and (_type(old.parent) in parent_types or resource.reference in resource.aliases):
            matched[resource.reference] = old
            continue
        if renamed := next((by_reference[name] for name in resource.aliases if name in by_reference), None):
            matched[resource.reference] = renamed
    return matched


def _type(reference: str) -> str:
    return reference.partition("::")[0]


def _step(
    old: Registered | None, new: Registered, names: Mapping[str, str], earlier: Mapping[str, Step]
) -> Step | None:
    if old is None:
        return Step(operation="create", before=None, after=new)
    anew = {name for name, step in earlier.items() if step.operation in {"create", "replace"}}
    deleted_first = {name for name, step in earlier.items() if step.operation == "replace" and _goes_first(step)}

    def replaces(key: str) -> bool:
        return effect(new.type, key) == "replace" or key in _roots(new.replace_on_changes)

    def changes(key: str) -> bool:
        if key in new.ignore_changes:
            return False
        if key in old.ignore_changes:
            # The state has what it was made with, which neither revision needs to say.
            return True
        if _renamed(old.inputs.get(key), names) != new.inputs.get(key) or _needs(new.inputs.get(key)) & anew:
            return True
        return replaces(key) and bool(new.property_dependencies.get(key, frozenset()) & deleted_first)

    changed = tuple(key for key in sorted(old.inputs.keys() | new.inputs.keys()) if changes(key))
    because = [key for key in changed if replaces(key)]
    because += [name.rpartition("::")[2] for name in new.replace_with if name in anew]
    if not changed and not because:
        return None
    operation: Operation = "replace" if because else "update"
    return Step(operation=operation, before=old, after=new, changed=changed, because=tuple(because))


def _goes_first(step: Step) -> bool:
    """Whether the old one is deleted before the new one is made: what is made of the old one then goes before it.

    Where the program does not say, Pulumi's bridge wants it where the program gives the name, which two cannot have:
    `nameRequiresDeleteBeforeReplace` in pulumi-terraform-bridge/pkg/tfbridge/schema.go.
    """
    asked = step.resource.delete_before_replace
    return "name" in step.resource.inputs if asked is None else asked


def _roots(paths: Sequence[str]) -> set[str]:
    """The inputs in which these property paths lie."""
    return {re.split(r"[.\[]", path, maxsplit=1)[0] for path in paths}


def _renamed(value: Any, names: Mapping[str, str]) -> Any:
    """A value of before in which other resources have the names of now."""
    match value:
        case str():
            return COMPUTED.sub(lambda found: f"<{found[1]} of {names.get(found[2], found[2])}>", value)
        case Secret():
            return Secret(_renamed(value.value, names))
        case Mapping():
            return {key: _renamed(item, names) for key, item in value.items()}
        case list():
            return [_renamed(item, names) for item in value]
        case _:
            return value


def _needs(value: Any) -> set[str]:
    """The resources of which a value holds what only their provider knows."""
    return set(_texts_needs(value))


def _texts_needs(value: Any) -> Iterator[str]:
    match value:
        case str():
            yield from (name for _, name in COMPUTED.findall(value))
        case Secret():
            yield from _texts_needs(value.value)
        case Mapping():
            for item in value.values():
                yield from _texts_needs(item)
        case list():
            for item in value:
                yield from _texts_needs(item)
        case _:
            return
