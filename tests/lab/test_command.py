"""What a person gets to read when something is missing: one line with the remedy, and an exit status."""

import os
import subprocess
from pathlib import Path

import pytest

from lab import __main__ as command
from lab.console import LabError
from lab.paths import CHECKOUT

BOOTSTRAP = CHECKOUT / "lab" / "bootstrap"


def bootstrap(tools: Path, *words: str, **stubs: str) -> "subprocess.CompletedProcess[str]":
    """Run the bootstrap with some of the machine's programs replaced by a line of shell."""
    for name, line in stubs.items():
        stub = tools / name.replace("_", "-")
        stub.write_text(f"#!/bin/sh\n{line}\n")
        stub.chmod(0o755)
    environment = os.environ | {"PATH": f"{tools}:{os.environ['PATH']}"}
    return subprocess.run([BOOTSTRAP, *words], env=environment, capture_output=True, text=True, check=False)


def test_a_failure_is_one_line_and_exit_status_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse() -> None:
        raise LabError("The lab needs root", "Run it with sudo.")

    monkeypatch.setattr(command.hypervisor, "require_root", refuse)
    assert command.main(["status"]) == 1
    assert capsys.readouterr().err == "error: The lab needs root. Run it with sudo.\n"


def test_two_at_once_on_one_lab_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(command, "STATE", tmp_path)
    monkeypatch.setattr(command, "end_leftovers", lambda: None)
    with command._alone(), pytest.raises(LabError, match=r"Another `make up` or `make down` works"), command._alone():
        pass


def test_who_is_not_root_is_told_so(tmp_path: Path) -> None:
    done = bootstrap(tmp_path, "machine", id="echo 1000")
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "The lab makes namespaces and mounts of its own, which only root may: run it with sudo."
    ]


def test_package_sources_out_of_reach_are_told(tmp_path: Path) -> None:
    done = bootstrap(tmp_path, "machine", id="echo 0", dpkg_query="exit 1", apt_get="echo E: no route >&2; exit 100")
    assert done.returncode == 1
    assert "E: no route" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("apt-get failed, its output is in ")


def test_an_old_python_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "checkout"
    (folder / "lab").mkdir(parents=True)
    (folder / "lab" / "bootstrap").write_text(BOOTSTRAP.read_text())
    (folder / "requirements-dev.txt").write_text("")
    (tmp_path / "python3").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "python3").chmod(0o755)
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["sh", folder / "lab" / "bootstrap", "venv"], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "Python 3.11 or newer is missing: as root, apt-get install python3 python3-venv."
    ]
