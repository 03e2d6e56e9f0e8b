"""The programs that read what we render, as judges of it."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest


def judge(*command: str | Path, program: str = "", stdin: str = "", expected_status: int = 0) -> str:
    """Ask the program that will read our bytes. Only a developer's machine may lack it.

    Args:
        program: the judge, where the command's first word only starts it.

    Returns:
        What it printed.
    """
    program = program or str(command[0])
    if shutil.which(program) is None:
        missing = f"{program} is not installed; it judges this test: install what lab/packages.txt lists"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(missing)
    done = subprocess.run([str(word) for word in command], input=stdin, capture_output=True, text=True, check=False)
    printed = done.stdout + done.stderr
    assert done.returncode == expected_status, printed
    return (done.stdout if expected_status == 0 else printed).strip()
