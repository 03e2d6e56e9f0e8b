"""What the machine must give before anything is built."""

import os
import shutil
from pathlib import Path

from lab.console import LabError
from lab.paths import CACHE, STATE

NEEDED_GIB = 15


def require_root() -> None:
    """Raise LabError when not run by root."""
    if os.geteuid() != 0:
        raise LabError("The lab makes namespaces and mounts of its own, which only root may", "Run it with sudo.")


def require_space() -> None:
    """Raise LabError when the cache's or the lab's file system has less than `NEEDED_GIB` free."""
    for folder, move in ((CACHE, "set FJORD_EDGE_CACHE to a folder elsewhere"), (STATE, "move the checkout elsewhere")):
        free = shutil.disk_usage(_existing(folder)).free / 2**30
        if free < NEEDED_GIB:
            raise LabError(
                f"{folder} has {free:.1f} GiB free, the lab needs {NEEDED_GIB}",
                f"Make room there, or {move}.",
            )


def _existing(folder: Path) -> Path:
    return next(path for path in (folder, *folder.parents) if path.exists())
