"""The CI files before the program that knows what GitHub makes of them; it needs Go, and no lab."""

import subprocess
from pathlib import Path

import pytest

from lab.paths import CHECKOUT
from lab.toolchain import source

WORKFLOWS = sorted((CHECKOUT / ".github" / "workflows").glob("*.yml"))


@pytest.fixture(scope="module")
def actionlint() -> Path:
    return source.actionlint()


def judged(actionlint: Path, *files: Path) -> str:
    """What it says; programs that this machine may have, or not, are left aside."""
    return subprocess.run(
        [actionlint, "-shellcheck=", "-pyflakes=", "-oneline", *files],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
    ).stdout


def test_actionlint_finds_nothing(actionlint: Path) -> None:
    assert judged(actionlint, *WORKFLOWS) == ""


def test_it_would_find_an_expression_that_leads_nowhere(actionlint: Path, tmp_path: Path) -> None:
    broken = tmp_path / "deploy.yml"
    broken.write_text(
        (WORKFLOWS[0].parent / "deploy.yml").read_text().replace("needs.order.outputs", "needs.odrer.outputs")
    )
    assert '"odrer" is not defined' in judged(actionlint, broken)
