"""Whose approval a change takes: what the base's CODEOWNERS says of the files that change."""

from collections.abc import Iterable

#: In any revision.
FILE = ".github/CODEOWNERS"

#: The pattern of a file that no other line matches.
_ALL = "*"


def approvals(codeowners: str, changed: Iterable[str]) -> dict[str, list[str]]:
    """Who must agree, and to which files; where a file has several owners, one of them is enough.

    Args:
        codeowners: the file as the base has it, which is the one that a forge reads; of its patterns those that
            `config.codeowners` writes, all files and single ones.
        changed: files, relative to the checkout.
    """
    rules = [line.split() for line in codeowners.splitlines() if line and not line.startswith("#")]
    owners = {pattern.removeprefix("/"): " or ".join(names) for pattern, *names in rules}
    found: dict[str, list[str]] = {}
    for path in changed:
        if owner := owners.get(path, owners.get(_ALL)):
            found.setdefault(owner, []).append(path)
    return dict(sorted(found.items()))
