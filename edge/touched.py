"""Which sites a change touches, by the paths of its files."""

import re
from collections.abc import Iterable

#: What every site's program is made of; all else in the repository deploys nothing.
_PROGRAM = re.compile(r"__main__\.py|Pulumi\.yaml|requirements\.txt|(components|config|services)/.+")

_STACK_FILE = re.compile(r"Pulumi\.(.+)\.yaml")
_ENTRY = re.compile(r"config/mesh/([^/]+)\.yaml")


def touched(paths: Iterable[str], sites: Iterable[str], hub: str) -> list[str]:
    """The sites that another update of theirs would read something new for, in the order of `sites`.

    Args:
        paths: changed files, from the checkout's top.
        sites: all there are.
        hub: headquarters, which reads every site's registry file, as every site reads its.
    """
    everybody = list(sites)
    found: set[str] = set()
    for path in paths:
        if file := _ENTRY.fullmatch(path):
            found.update(everybody if file[1] == hub else (file[1], hub))
        elif file := _STACK_FILE.fullmatch(path):
            found.add(file[1])
        elif _PROGRAM.fullmatch(path):
            found.update(everybody)
    return [site for site in everybody if site in found]
