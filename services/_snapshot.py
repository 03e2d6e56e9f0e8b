"""What a service remembers over a restart: one small file in its folder, written whole or not at all."""

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

NAME = "state.json"


def load(folder: Path, empty: Mapping[str, Any], *, lost: str) -> dict[str, Any]:
    """Read it; what cannot be read is told, set aside and counted as none.

    Args:
        folder: the service's own.
        empty: of a service that starts for the first time; each of its keys must be there.
        lost: what it means that nothing is remembered, as people are told.
    """
    path = folder / NAME
    if not path.exists():
        return dict(empty)
    try:
        content: dict[str, Any] = json.loads(path.read_text())
        missing = empty.keys() - content.keys()
    except (ValueError, AttributeError):
        missing = {"all"}
    if missing:
        aside = path.with_suffix(".broken")
        path.replace(aside)
        print(f"{path} cannot be read; it is {aside} now, {lost}", file=sys.stderr)
        return dict(empty)
    return content


def save(folder: Path, content: Mapping[str, Any]) -> None:
    """Write it; a power cut leaves the old one or the new one."""
    partial = folder / f"{NAME}.partial"
    with partial.open("w") as file:
        json.dump(content, file)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(folder / NAME)
    directory = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
