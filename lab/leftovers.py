"""What a killed command left running: found by its mark in the environment, and ended."""

import contextlib
import os
import signal
from pathlib import Path

from lab.paths import STATE

#: The engine's home, in the environment of the engine, its language host and its plugins, and of nothing else.
ENGINE_HOME = STATE / "pulumi"

_MARK = f"PULUMI_HOME={ENGINE_HOME}".encode()


def end_leftovers() -> None:
    """Kill every process of this lab's engine; only for one who holds the lab's lock."""
    for folder in Path("/proc").glob("[0-9]*"):
        if not _is_ours(folder):
            continue
        with contextlib.suppress(ProcessLookupError):
            handle = os.pidfd_open(int(folder.name))
            try:
                # Looked at again through the handle: the number may belong to another process by now.
                if _is_ours(folder):
                    signal.pidfd_send_signal(handle, signal.SIGKILL)
            finally:
                os.close(handle)


def _is_ours(folder: Path) -> bool:
    try:
        return _MARK in (folder / "environ").read_bytes().split(b"\0")
    except OSError:
        return False
