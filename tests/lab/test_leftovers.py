import os
import signal
import subprocess
from pathlib import Path

import pytest

from lab import leftovers


def sleeper(home: Path) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(["sleep", "60"], env=os.environ | {"PULUMI_HOME": str(home)})


def test_what_a_killed_engine_left_is_ended_and_anothers_is_not(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(leftovers, "_MARK", f"PULUMI_HOME={tmp_path / 'ours'}".encode())
    ours, anothers = sleeper(tmp_path / "ours"), sleeper(tmp_path / "anothers")
    try:
        leftovers.end_leftovers()
        assert ours.wait(timeout=10) == -signal.SIGKILL
        assert anothers.poll() is None
    finally:
        for process in (ours, anothers):
            process.kill()
            process.wait()
