"""Locks that updates hold, and locks that killed ones have left."""

import io
import json
import os
import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from subprocess import Popen
from typing import Any

import pytest

from edge.__main__ import main
from tests.edge.test_edge import node_says
from tests.edge.world import World


@pytest.fixture
def ended() -> int:
    """The number of a process that is no more."""
    process = Popen(["true"])
    process.wait()
    return process.pid


@pytest.fixture
def running(tmp_path: Path) -> Iterator[int]:
    """The number of a process that is called like the engine."""
    (tmp_path / "pulumi-up").symlink_to("/bin/sleep")
    process = Popen([tmp_path / "pulumi-up", "60"])
    yield process.pid
    process.kill()
    process.wait()


def lock(world: World, pid: int, *, hours: float = 0, **changed: Any) -> Path:
    """As the engine writes it: the time in nanoseconds."""
    since = datetime.now(UTC) - timedelta(hours=hours)
    path = world.folder / ".pulumi/locks/organization/fjord-edge/oslo/5174c955.json"
    path.parent.mkdir(parents=True)
    (path.parent / "5174c955.json.attrs").write_text("{}")
    content = {
        "pid": pid,
        "username": "kari",
        "hostname": socket.gethostname(),
        "timestamp": f"{since:%Y-%m-%dT%H:%M:%S.%f}641Z",
        **changed,
    }
    path.write_text(json.dumps(content))
    return path


def cancelled(world: World) -> list[str]:
    return [asked for asked in world.asked if asked.startswith("pulumi cancel")]


def test_no_lock_is_told(world: World, stack_file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["unlock", "oslo", "--yes", stack_file]) == 0
    assert capsys.readouterr().out == "nobody holds the lock of oslo\n"
    assert cancelled(world) == []


def test_a_lock_that_was_left_is_told_and_cleared_on_request(
    world: World, stack_file: str, ended: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lock(world, ended, hours=3)
    monkeypatch.setattr("sys.stdin", io.StringIO())
    assert main(["unlock", "oslo", stack_file]) == 2
    told = capsys.readouterr().out
    assert told.startswith(f"oslo is locked by kari@{socket.gethostname()}, process {ended}, since 20")
    assert "(3 h): it has ended" in told
    assert cancelled(world) == []
    assert main(["unlock", "oslo", "--yes", stack_file]) == 0
    assert cancelled(world) == ["pulumi cancel --yes --stack oslo"]


def test_an_update_that_runs_keeps_its_lock(
    world: World, stack_file: str, running: int, capsys: pytest.CaptureFixture[str]
) -> None:
    lock(world, running)
    assert main(["unlock", "oslo", "--yes", stack_file]) == 1
    said = capsys.readouterr()
    assert "it runs" in said.out
    assert said.err.startswith("edge: an update of oslo runs; wait for it")
    assert cancelled(world) == []


def test_another_program_with_the_number_of_the_update_holds_nothing(world: World, stack_file: str) -> None:
    lock(world, os.getpid())
    assert main(["unlock", "oslo", "--yes", stack_file]) == 0
    assert len(cancelled(world)) == 1


def test_of_another_machine_it_is_told_who_to_ask(
    world: World, stack_file: str, running: int, capsys: pytest.CaptureFixture[str]
) -> None:
    lock(world, running, hours=1.1, hostname="laptop-of-kari")
    assert main(["unlock", "oslo", "--yes", stack_file]) == 0
    assert "whether it runs is only to be seen on laptop-of-kari" in capsys.readouterr().out
    assert len(cancelled(world)) == 1


@pytest.mark.parametrize("hours", [0.9, 0, -0.2])
@pytest.mark.parametrize("typed", [["--yes"], []])
def test_a_young_one_of_another_machine_is_kept_by_whom_it_has_and_until_when(
    world: World,
    stack_file: str,
    ended: int,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    typed: list[str],
    hours: float,
) -> None:
    monkeypatch.setattr("builtins.input", lambda _: "oslo")
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    since = json.loads(lock(world, ended, hours=hours, hostname="laptop-of-kari").read_text())["timestamp"]
    assert main(["unlock", "oslo", *typed, stack_file]) == 1
    said = capsys.readouterr().err
    assert said.startswith("edge: kari probably updates oslo from laptop-of-kari, ")
    until = datetime.fromisoformat(since) + timedelta(hours=1)
    assert f"From {until:%H:%M:%S}+0000 on, when it is 60 min old, this clears it; " in said
    assert said.endswith(": pulumi cancel --stack oslo\n")
    assert cancelled(world) == []


def test_a_backend_that_is_no_folder_is_left_to_the_engine(
    world: World, stack_file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    world.answer("pulumi", json.dumps({"url": "s3://states?region=eu-north-1"}), to="whoami")
    assert main(["unlock", "oslo", "--yes", stack_file]) == 1
    assert "pulumi cancel --stack oslo" in capsys.readouterr().err
    assert cancelled(world) == []


@pytest.mark.parametrize(("hours", "problems"), [(0.9, 0), (1.1, 1)])
def test_status_tells_a_lock_that_is_older_than_an_hour(
    world: World, stack_file: str, ended: int, capsys: pytest.CaptureFixture[str], hours: float, problems: int
) -> None:
    lock(world, ended, hours=hours)
    node_says(world)
    assert main(["status", "oslo", "--json", stack_file]) == problems
    told = json.loads(capsys.readouterr().out)["problems"]
    assert [problem.partition(" by ")[0] for problem in told] == ["the stack is locked"] * problems
