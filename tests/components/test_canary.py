"""What proves itself before a container is replaced, against a `docker` that answers as told."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from components._canary import canary_files
from components._canary.on_node import canary
from components.iot_stack import containers
from config.iot import Images
from tests.sites import section

DOCKER = """\
#!/bin/sh
echo "$*" >>{folder}/asked
case $1 in
inspect) if [ "$2" = --type=container ]; then exit {old}; fi; echo {running} ;;
run) exit {run} ;;
exec) exit {healthy} ;;
logs) echo "Error: Unable to open config file" >&2 ;;
esac
"""


@pytest.fixture
def tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, list[str]]]:
    def run(*, old: int = 0, running: str = "true", run: int = 0, healthy: int = 0) -> tuple[int, list[str]]:
        program = tmp_path / "docker"
        program.write_text(DOCKER.format(folder=tmp_path, old=old, running=running, run=run, healthy=healthy))
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
        monkeypatch.setattr(canary, "SETTLE_SECONDS", 0)
        [_, told] = canary_files(containers.mosquitto(Images.parse(section("oslo")["iot"]["images"], file=""), []))
        (tmp_path / "service.json").write_text(told.contents)
        return canary.main(str(tmp_path / "service.json")), (tmp_path / "asked").read_text().splitlines()

    return run


Tried = Callable[..., tuple[int, list[str]]]


def test_where_none_runs_there_is_nothing_to_protect(tried: Tried) -> None:
    assert tried(old=1) == (0, ["inspect --type=container mosquitto"])


def test_a_service_that_becomes_healthy_may_take_over(tried: Tried) -> None:
    status, asked = tried()
    assert status == 0
    assert asked[-1] == "rm --force canary-mosquitto"


def test_a_canary_has_scratch_data_and_no_port_and_no_more_rights_than_the_service(tried: Tried) -> None:
    [run] = [words for words in tried()[1] if words.startswith("run ")]
    words = run.split()
    assert {"--network=none", "--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges:true"} < set(words)
    assert not [word for word in words if word.startswith(("--publish", "-p", "--cap-add"))]
    assert [word for word in words if word.startswith("--volume")] == [
        "--volume=/etc/fjord-edge/mosquitto:/mosquitto/config:ro"
    ]
    assert "--tmpfs=/mosquitto/data:rw,size=64m,mode=0700,uid=1883,gid=1883" in words


@pytest.mark.parametrize("wrong", [{"running": "false", "healthy": 1}, {"run": 125}, {"running": "false"}])
def test_one_that_ends_keeps_the_old_container_and_says_why(
    tried: Tried, wrong: dict[str, object], capsys: pytest.CaptureFixture[str]
) -> None:
    status, asked = tried(**wrong)
    assert status == 1
    assert asked[-1] == "rm --force canary-mosquitto"
    said = capsys.readouterr().err
    assert "did not prove itself with these files; the old container runs on" in said
    assert wrong.get("run") or "Unable to open config file" in said


def test_one_that_never_becomes_healthy_is_given_up(tried: Tried, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(canary, "LIMIT_SECONDS", 0)
    assert tried(healthy=1)[0] == 1


def test_the_canary_is_told_no_secret() -> None:
    [_, told] = canary_files(containers.mosquitto(Images.parse(section("oslo")["iot"]["images"], file=""), []))
    assert set(json.loads(told.contents)) == {
        "name",
        "image",
        "user",
        "command",
        "memoryMib",
        "slice",
        "capabilities",
        "environment",
        "files",
        "configuration",
        "data",
        "healthCheck",
    }
