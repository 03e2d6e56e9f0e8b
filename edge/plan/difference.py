"""What changes, line by line, with nothing in it that a secret could be."""

import base64
import binascii
import difflib
import io
import json
import re
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from edge.plan.steps import Step
from edge.recorder.recording import Secret

_SIGNS = {"create": "+", "update": "~", "replace": "±", "delete": "-"}
_WORDS = {"create": "new", "update": "in place", "replace": "made anew", "delete": "deleted"}

#: A file's lines, and a line's characters; more is cut.
_LINES = 40
_WIDTH = 200

#: What keys, passwords, hashes and certificates look like. A plan has placeholders in their places; they are hidden all
#: the same, since nobody who reads a diff can tell.
_TOKEN = re.compile(r"(?<![A-Za-z0-9+/=_-])(?<!sha256:)[A-Za-z0-9+/=_-]{20,}")
_CLASSES = (re.compile("[a-z]"), re.compile("[A-Z]"), re.compile("[0-9]"))


def difference(steps: Sequence[Step]) -> list[str]:
    """The lines of a diff, a paragraph a step."""
    return [line for step in steps for line in _of_step(step)]


def _of_step(step: Step) -> Iterator[str]:
    reasons = f" because of {', '.join(step.because)}" if step.because else ""
    kind = step.resource.type.rpartition(":")[2]
    yield f"{_SIGNS[step.operation]} {kind} {step.resource.name}: {_WORDS[step.operation]}{reasons}"
    if step.before is None or step.after is None:
        return
    for key in step.changed:
        if key in step.before.ignore_changes:
            yield f"  {key}: was ignored; what the state has may be older than both revisions"
        else:
            yield from _of_input(key, step.before.inputs.get(key), step.after.inputs.get(key))


def _of_input(key: str, before: Any, after: Any) -> Iterator[str]:
    if before == after:
        yield f"  {key}: known once it is made"
        return
    files = files_of(before), files_of(after)
    if files[0] is not None and files[1] is not None:
        yield from _of_files(files[0], files[1])
        return
    secret = isinstance(before, Secret) or isinstance(after, Secret)
    yield f"  {key}:"
    yield from _of_texts(_text(before), _text(after), secret=secret)


def _of_files(before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[str]:
    for path in sorted(before.keys() | after.keys()):
        if before.get(path) == after.get(path):
            continue
        yield f"  {path}:{'' if path in before else ' new'}{'' if path in after else ' gone'}"
        yield from _of_texts(before.get(path, ""), after.get(path, ""), secret=True)


def _of_texts(before: str, after: str, *, secret: bool) -> Iterator[str]:
    old, new = ([*_lines(hidden(text) if secret else text)] for text in (before, after))
    changed = list(difflib.unified_diff(old, new, n=0, lineterm=""))[2:]
    found = [line for line in changed if not line.startswith("@@")]
    if not found:
        yield "    (a hidden part of it)"
    yield from (f"{line[0]}   {line[1:]}" for line in found[:_LINES])
    if len(found) > _LINES:
        yield f"    … and {len(found) - _LINES} lines more"


def hidden(text: str) -> str:
    """A text without anything that looks like a key, a password or a hash; digests of images stay."""
    return _TOKEN.sub(lambda found: "[hidden]" if _is_mixed(found[0]) else found[0], text)


def _is_mixed(token: str) -> bool:
    """Whether it is no word: paths and names have letters of one case and no digits."""
    return sum(bool(each.search(token)) for each in _CLASSES) > 1


def _lines(text: str) -> Iterator[str]:
    """Lines that a person can compare: a long one is broken where its values end."""
    for line in text.splitlines():
        parts = line.split(", ") if len(line) > _WIDTH else [line]
        yield from (part if len(part) <= _WIDTH else f"{part[:_WIDTH]}…" for part in parts)


def _text(value: Any) -> str:
    match value:
        case Secret():
            return _text(value.value)
        case None:
            return ""
        case str():
            return value
        case _:
            return json.dumps(value, indent=2, ensure_ascii=False, default=lambda secret: _text(secret))


def files_of(value: Any) -> dict[str, str] | None:
    """The files of an archive by path, each with mode and owner as its first line; None where it is none."""
    if not isinstance(value, Secret) or not isinstance(value.value, str):
        return None
    try:
        packed = io.BytesIO(base64.b64decode(value.value, validate=True))
        with tarfile.open(fileobj=packed) as tar:
            return {f"/{member.name}": _file(tar, member) for member in tar}
    except (binascii.Error, tarfile.TarError):
        return None


def _file(tar: tarfile.TarFile, member: tarfile.TarInfo) -> str:
    content = tar.extractfile(member)
    head = f"mode {member.mode:04o}, owner {member.uid}\n"
    return head + (content.read().decode(errors="replace") if content else "")
