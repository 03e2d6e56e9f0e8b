"""What the alarms remember over a restart beside the retained messages: one small file, written whole or not at all."""

import json
import os
import sys
from pathlib import Path
from typing import Any

NAME = "state.json"


#: Of a service that starts for the first time.
EMPTY: dict[str, Any] = {"engine": {}, "outbox": []}


def load(folder: Path) -> dict[str, Any]:
    """Read it; what cannot be read is told, set aside and counted as none."""
    path = folder / NAME
    if not path.exists():
        return EMPTY
    try:
        content: dict[str, Any] = json.loads(path.read_text())
        missing = {"engine", "outbox"} - content.keys()
    except (ValueError, AttributeError):
        missing = {"all"}
    if missing:
        aside = path.with_suffix(".broken")
        path.replace(aside)
        print(f"{path} cannot be read; it is {aside} now, silent sensors are counted anew", file=sys.stderr)
        return EMPTY
    return content


def save(folder: Path, content: dict[str, Any]) -> None:
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
