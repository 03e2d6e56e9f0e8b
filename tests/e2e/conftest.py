import shutil
import subprocess
from pathlib import Path

import pytest

from lab.paths import CHECKOUT
from lab.stacks import Stack, existing_stacks


@pytest.fixture(scope="session")
def stacks() -> dict[str, Stack]:
    return {stack.name: stack for stack in existing_stacks()}


@pytest.fixture(scope="session")
def oslo(stacks: dict[str, Stack]) -> Stack:
    return stacks["oslo"]


@pytest.fixture(scope="session")
def hq(stacks: dict[str, Stack]) -> Stack:
    return stacks["hq"]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A checkout of the same files, without a lab, its caches its own."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=CHECKOUT,
        check=True,
        capture_output=True,
        text=True,
    )
    checkout = tmp_path / "fjord-edge"
    for name in filter(None, listed.stdout.split("\0")):
        if (CHECKOUT / name).exists():
            (checkout / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(CHECKOUT / name, checkout / name)
    (checkout / ".venv").symlink_to(CHECKOUT / ".venv")
    return checkout
