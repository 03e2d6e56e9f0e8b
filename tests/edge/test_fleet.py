"""All sites side by side, and a change that is rolled out to them."""

import base64
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from config.loader import CHECKOUT, PROJECT, REGISTRY
from edge import rollout as rollout_command
from edge import status
from edge.__main__ import main
from edge.order import Step
from tests.edge.test_edge import CONTAINER, LIVE, TUNNELS
from tests.edge.test_scan import leaky, state
from tests.edge.world import World
from tests.sites import section

HQ, OSLO = "edge@10.20.0.11", "edge@10.20.0.12"

#: hq's end of the tunnel to oslo.
HUBS = {"time": 1000, "sessions": [TUNNELS["sessions"][0] | {"peer": "oslo", "latestHandshake": 1}]}  # type: ignore[index]


def says(world: World, who: str, *, tunnels: Any, alarms: Any = (), container: Any = CONTAINER, **live: Any) -> None:
    world.answer("ssh", "\n".join(map(json.dumps, (LIVE | live, tunnels, alarms, {}, container))), to=who)


@pytest.fixture
def stack_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Of headquarters and one site, which are all there are."""
    (tmp_path / "mesh").mkdir()
    for module in (rollout_command, status):
        monkeypatch.setattr(module, "REGISTRY", tmp_path / "mesh")
    for name in ("hq", "oslo"):
        content = {"config": {f"{PROJECT}:site": section(name)}}
        (tmp_path / f"Pulumi.{name}.yaml").write_text(yaml.safe_dump(content))
        shutil.copy(REGISTRY / f"{name}.yaml", tmp_path / "mesh")
    return f"--config-file={tmp_path}/Pulumi.<site>.yaml"


@pytest.fixture
def well(world: World) -> World:
    says(world, HQ, tunnels=TUNNELS)
    says(world, OSLO, tunnels=TUNNELS)
    return world


@pytest.mark.usefixtures("well")
def test_all_sites_are_shown_side_by_side(stack_files: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", stack_files]) == 0
    head, hq, oslo = capsys.readouterr().out.splitlines()
    assert head.split("  ")[0] == "site"
    assert [part.strip() for part in oslo.split("  ") if part] == [
        "oslo",
        "@fjord-edge/oslo",
        "3",
        "2026-11-25 20:26 UTC, update succeeded",
        "answers",
        "up, last handshake 10 s ago",
        "1 of 1 up",
        "0",
        "none",
    ]
    assert hq.count("1 of 1 up") == 2


def test_a_site_that_is_cut_off_is_shown_with_when_it_was_last_heard_of(
    world: World, stack_files: str, capsys: pytest.CaptureFixture[str]
) -> None:
    says(world, HQ, tunnels=HUBS)
    world.answer("ssh", "", 255, to=OSLO)
    assert main(["status", "--json", stack_files]) == 1
    hq, oslo = json.loads(capsys.readouterr().out)
    assert (oslo["answers"], oslo["lastUpdate"]) == (False, "2026-11-25 20:26 UTC, update succeeded")
    assert oslo["tunnel"] == "down, last handshake 16 min 39 s ago"
    assert [problem.partition(":")[0] for problem in oslo["problems"]] == ["the node does not answer"]
    # That a site is cut off is no problem of headquarters'.
    assert (hq["tunnel"], hq["problems"]) == ("0 of 1 up", [])
    assert main(["status", stack_files]) == 1
    assert "SILENT" in capsys.readouterr().out


def test_without_headquarters_nobody_knows_when_a_silent_site_was_heard_of(
    world: World, stack_files: str, capsys: pytest.CaptureFixture[str]
) -> None:
    world.answer("ssh", "", 255)
    assert main(["status", "--json", stack_files]) == 1
    assert [row["tunnel"] for row in json.loads(capsys.readouterr().out)] == ["unknown", "unknown"]


def test_a_backend_that_lets_nobody_in_hides_no_other_site(
    well: World, stack_files: str, capsys: pytest.CaptureFixture[str]
) -> None:
    well.answer("pulumi", "", 255, to="oslo")
    assert main(["status", "--json", stack_files]) == 1
    hq, oslo = json.loads(capsys.readouterr().out)
    assert (hq["problems"], oslo["lastUpdate"]) == ([], "unknown")
    assert oslo["problems"][0].startswith("pulumi stack output of oslo")


@pytest.mark.parametrize("words", [["status"], ["rollout", "--base", "HEAD~1"]])
def test_each_site_is_looked_for_where_its_state_is(
    well: World, rollout: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    monkeypatch.setenv("PULUMI_BACKEND_URL", "file:///of-the-shell")
    with (tmp_path / "mesh" / "oslo.yaml").open("a") as entry:
        entry.write("backend: s3://oslo?region=eu-north-1\n")
    assert main([*words, rollout[-1]]) == 0
    found = {(asked.split("--stack ")[1].split()[0], at) for at, asked in well.backends if "--stack" in asked}
    assert found == {("hq", "file:///of-the-shell"), ("oslo", "s3://oslo?region=eu-north-1")}


def test_alarms_and_stopped_containers_are_counted(
    well: World, stack_files: str, capsys: pytest.CaptureFixture[str]
) -> None:
    stopped = CONTAINER | {"Status": "Exited (137) 2 minutes ago"}
    says(well, OSLO, tunnels=TUNNELS, alarms=["alerts/oslo/node/disk"], container=stopped)
    assert main(["status", "--json", stack_files]) == 1
    _, oslo = json.loads(capsys.readouterr().out)
    assert (oslo["containers"], oslo["alarms"]) == ({"running": 0, "all": 1}, ["alerts/oslo/node/disk"])
    assert main(["status", "oslo", stack_files]) == 1
    assert "alarm  alerts/oslo/node/disk\n" in capsys.readouterr().out


def test_a_site_without_a_tunnel_is_told(well: World, stack_files: str, capsys: pytest.CaptureFixture[str]) -> None:
    says(well, OSLO, tunnels={"time": 5000, "sessions": TUNNELS["sessions"]})
    assert main(["status", "oslo", stack_files]) == 1
    assert "PROBLEM: no tunnel to hq; look at it: edge mesh" in capsys.readouterr().out


# A rollout

STEPS = [Step("headquarters", ("hq",)), Step("ring 3", ("oslo",))]


@pytest.fixture
def rollout(world: World, stack_files: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    world.answer("pulumi", json.dumps(state("oslo")), to="export")
    # It takes half a second, and has tests of its own in test_scan.py.
    monkeypatch.setattr("edge.scan.known_passphrase", lambda *_, **__: "")
    monkeypatch.setattr("edge.rollout.since", lambda _: STEPS)
    monkeypatch.setattr("edge.rollout._SETTLE_SECONDS", 0)
    monkeypatch.setattr("edge.rollout._POLL_SECONDS", 0)
    return ["rollout", "--base", "HEAD~1", stack_files]


def updates(world: World) -> list[str]:
    return [asked.split("--stack ")[1].split()[0] for asked in world.asked if asked.startswith("pulumi up ")]


def test_a_rollout_goes_ring_by_ring_and_looks_after_each(
    well: World, rollout: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(rollout) == 0
    assert updates(well) == ["hq", "oslo"]
    ups = [asked for asked in well.asked if asked.startswith("pulumi up ")]
    assert all(f"--policy-pack {CHECKOUT}/policy" in asked and "--skip-preview" not in asked for asked in ups)
    looked = [asked.split("@")[1].split()[0] for asked in well.asked if asked.startswith("ssh ")]
    assert looked == ["10.20.0.11", "10.20.0.12"]
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["step 1 of 2, headquarters: hq", "hq: pulumi up"]
    assert lines[-1] == "all is deployed and well"


def test_a_rollout_begins_nothing_unless_it_can_decrypt_each_site(
    well: World, rollout: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE_FILE", "/run/secrets/<site>")
    for name in ("hq", "oslo"):
        with (tmp_path / f"Pulumi.{name}.yaml").open("a") as file:
            file.write(f"  {PROJECT}:seed: {{secure: v1:…}}\n")
    well.answer("pulumi", "error: incorrect passphrase", 255, to="config")
    assert main(rollout) == 1
    assert updates(well) == []
    said = capsys.readouterr().err
    assert said.count("pulumi config get fjord-edge:seed of ") == 2
    assert "nothing was begun" in said
    well.answer("pulumi", base64.b64encode(bytes(range(32))).decode(), to="config")
    assert main(rollout) == 0
    asked = {words.split("--stack ")[1].split()[0]: file for file, words in well.passphrases if "--stack" in words}
    assert asked == {"hq": "/run/secrets/hq", "oslo": "/run/secrets/oslo"}


def test_a_dry_run_does_nothing(well: World, rollout: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*rollout, "--dry-run"]) == 0
    assert well.asked == []
    assert "step 2 of 2, ring 3: oslo" in capsys.readouterr().out


def test_a_site_that_is_not_well_afterwards_stops_it(
    well: World, rollout: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    says(well, HQ, tunnels=TUNNELS, failedUnits=["docker.service"])
    assert main(rollout) == 1
    assert updates(well) == ["hq"]
    said = capsys.readouterr()
    assert "hq FAILED: docker.service has failed" in said.out
    assert said.err.startswith("edge: stopped at hq; not begun: oslo. Mend what failed and run this again")


def test_an_update_that_fails_stops_it_and_says_why(
    well: World, rollout: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    well.answer("pulumi", "error: no space left on device", 255, to="up")
    assert main(rollout) == 1
    assert updates(well) == ["hq"]
    assert "error: no space left on device" in capsys.readouterr().out


@pytest.mark.parametrize("weakness", ["a secret", "no encryption"])
def test_a_state_that_is_not_secret_stops_it_and_is_not_shown(
    well: World, rollout: list[str], capsys: pytest.CaptureFixture[str], weakness: str
) -> None:
    exported = leaky(password="abc-the-password") if weakness == "a secret" else {"deployment": {}}
    well.answer("pulumi", json.dumps(exported), to="export")
    assert main(rollout) == 1
    assert updates(well) == ["hq"]
    said = capsys.readouterr()
    why = "oslo-tunnel.inputs.password: looks like a secret" if weakness == "a secret" else "secrets provider: none; "
    assert f"hq FAILED: its state is not secret: {why}" in said.out
    assert "abc-the-password" not in said.out + said.err
