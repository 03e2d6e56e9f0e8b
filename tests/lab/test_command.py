"""What a person gets to read when something is missing: one line with the remedy, and an exit status."""

import os
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from edge.__main__ import parser
from lab import __main__ as command
from lab import stacks
from lab.console import LabError
from lab.leftovers import ENGINE_HOME
from lab.paths import CHECKOUT, STATE
from lab.report import _typed_here
from lab.toolchain import Toolchain

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


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., tuple[list[str], dict[str, str]]]:
    """Types a line of the lab's; the command that it becomes in the lab's network, and that one's environment."""

    def become(_: str, words: Sequence[str], environment: dict[str, str]) -> None:
        raise BecameError(list(words), environment)

    def run(*words: str) -> tuple[list[str], dict[str, str]]:
        with pytest.raises(BecameError) as became:
            command.main(words)
        return became.value.args[0], became.value.args[1]

    monkeypatch.setattr(command.hypervisor, "require_root", lambda: None)
    monkeypatch.setattr(command.hypervisor, "operator_command", lambda words: ["entered", *map(str, words)])
    monkeypatch.setattr(command.toolchain, "ensure", lambda: TOOLS)
    monkeypatch.setattr(command, "OPERATOR_HOME", tmp_path / "home")
    monkeypatch.setattr(command.os, "execvpe", become)
    return run


TOOLS = Toolchain("built", (Path("/tools"),), Path("/plugins"))


class BecameError(Exception):
    """Another program, in place of this one."""


def test_a_command_in_the_lab_has_what_the_labs_own_operations_have_but_for_their_home(
    typed: Callable[..., tuple[list[str], dict[str, str]]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(Toolchain, "environment", lambda _, home: {"PATH": "/tools", "PULUMI_HOME": str(home)})
    own = stacks.environment(TOOLS, "oslo")
    words, environment = typed("exec", "--site", "oslo", "pulumi", "stack", "--show-urns")
    assert words == ["entered", "pulumi", "stack", "--show-urns"]
    assert environment == own | {"PULUMI_HOME": str(tmp_path / "home")}
    assert own["PULUMI_HOME"] == str(ENGINE_HOME), "by which the next `make up` finds what it ends"


def test_bin_edge_reads_the_labs_stack_files_with_the_passphrase_of_each(
    typed: Callable[..., tuple[list[str], dict[str, str]]],
) -> None:
    words, environment = typed("edge", "device", "oslo", "list", "--json")
    assert words[:2] == ["entered", str(CHECKOUT / "bin/edge")]
    arguments = parser().parse_args(words[2:])
    assert (arguments.site, arguments.config_file) == ("oslo", STATE / "Pulumi.<site>.yaml")
    assert environment["PULUMI_CONFIG_PASSPHRASE_FILE"] == str(STATE / "passphrase-<site>")


@pytest.mark.parametrize(
    ("step", "here"),
    [
        ("log in: ssh edge@10.20.0.12", "log in: .venv/bin/python -m lab ssh oslo"),
        ("see the tunnels: bin/edge mesh oslo", "see the tunnels: .venv/bin/python -m lab edge mesh oslo"),
        ("see the containers: docker ps", "see the containers: .venv/bin/python -m lab ssh oslo docker ps"),
    ],
)
def test_a_next_step_is_told_as_it_is_typed_beside_the_lab(step: str, here: str) -> None:
    assert _typed_here("oslo", step) == here
    command._parser().parse_args(here.partition(" -m lab ")[2].split())


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
