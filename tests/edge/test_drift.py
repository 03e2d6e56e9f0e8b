"""What somebody changed by hand, told from what changes by itself."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.edge_node.on_node.facts import mismatches
from config.loader import PROJECT
from edge.__main__ import main
from edge.drift import changed_containers, changed_facts, changed_resources
from tests.edge.test_edge import TUNNELS
from tests.edge.world import OUTPUTS, World
from tests.sites import host_section

FACTS: dict[str, Any] = {
    "sysctls": {"net.core.rmem_max": "26214400"},
    "qdiscs": {"eth0": "fq"},
    "listening": ["tcp/22 sshd"],
    "disks": {"fjord-data": {"gib": 8, "discards": True}},
}
ASKED: dict[str, Any] = {
    "name": "telegraf",
    "id": "feed" * 16,
    "image": "sha256:" + "a" * 64,
    "labels": [{"label": "fjord-edge.config", "value": "b" * 64}],
}
FOUND: dict[str, Any] = {
    "name": "/telegraf",
    "status": "running",
    "image": ASKED["image"],
    "config": "b" * 64,
    "id": ASKED["id"],
}
URN = "urn:pulumi:oslo::fjord-edge::fjord-edge:index:IoTStack$docker:index/container:Container::oslo-telegraf"
DOMAIN = "urn:pulumi:oslo::fjord-edge::fjord-edge:index:EdgeNode$libvirt:index/domain:Domain::oslo"


def edited(content: dict[str, Any], key: str, value: object) -> dict[str, Any]:
    return content | {key: value}


@pytest.mark.parametrize(
    ("now", "what"),
    [
        (edited(FACTS, "sysctls", {"net.core.rmem_max": "1"}), ["sysctls net.core.rmem_max"]),
        (edited(FACTS, "qdiscs", {"eth0": "fq_codel"}), ["qdiscs eth0"]),
        (edited(FACTS, "listening", ["tcp/22 sshd", "tcp/8000 python3"]), ["listening"]),
        (
            edited(FACTS, "disks", {**FACTS["disks"], "vdc": {"gib": 1, "discards": False}}),
            ["disks vdc discards", "disks vdc gib"],
        ),
        # What only a newer program on the node tells was never proven, so nobody can have changed it.
        (edited(FACTS, "bootloader", "grub"), []),
        (FACTS, []),
    ],
)
def test_each_fact_that_changed_is_named(now: dict[str, Any], what: list[str]) -> None:
    changes = list(changed_facts(FACTS, now))
    assert [change.what for change in changes] == what
    assert all(change.todo for change in changes)


def test_a_fact_that_changed_is_told_with_both_values() -> None:
    [change] = changed_facts(FACTS, edited(FACTS, "sysctls", {"net.core.rmem_max": "1"}))
    assert (change.asked, change.found) == ("26214400", "1")
    assert change.todo.startswith("on the node: sudo /usr/local/lib/fjord-edge/tuning")


@pytest.mark.parametrize(
    ("found", "what"),
    [
        ([FOUND], []),
        # Docker starts it again by its policy.
        ([edited(FOUND, "status", "restarting")], []),
        ([edited(FOUND, "status", "exited")], ["container telegraf"]),
        ([edited(FOUND, "status", "paused")], ["container telegraf"]),
        ([], ["container telegraf"]),
        ([edited(FOUND, "image", "sha256:" + "c" * 64)], ["container telegraf image"]),
        ([edited(FOUND, "config", "")], ["container telegraf config"]),
        ([edited(FOUND, "id", "beef" * 16)], ["container telegraf id"]),
        ([FOUND, edited(FOUND, "name", "/miner")], ["container miner"]),
    ],
)
def test_each_container_that_changed_is_named(found: list[dict[str, Any]], what: list[str]) -> None:
    assert [change.what for change in changed_containers([ASKED], found)] == what


def step(op: str, urn: str = DOMAIN, *, paths: tuple[str, ...] = (), **now: Any) -> dict[str, Any]:
    """A step of the digest, as engine 3.259 writes it."""
    before: dict[str, dict[str, Any]] = {
        "inputs": {"memory": 2048, "running": True},
        "outputs": {"name": "telegraf", "arch": "x86_64"},
    }
    after = {"inputs": before["inputs"] | now, "outputs": before["outputs"]}
    detailed = {"detailedDiff": {path: {"kind": "update", "inputDiff": False} for path in paths}} if paths else {}
    return {"op": op, "urn": urn, "oldState": before, "newState": after, **detailed}


def digest(*steps: dict[str, Any]) -> dict[str, Any]:
    return {"steps": list(steps), "changeSummary": {"same": 9, "update": sum(one["op"] != "refresh" for one in steps)}}


def test_a_resource_that_changed_is_named_with_its_properties() -> None:
    found = digest(step("refresh"), step("update", paths=("running", "memory"), running=False, memory=512))
    changes = list(changed_resources(found, "oslo", []))
    assert [(change.what, change.asked, change.found) for change in changes] == [
        ("Domain oslo running", "true", "false"),
        ("Domain oslo memory", "2048", "512"),
    ]
    assert changes[0].todo == "pulumi up --refresh --stack oslo puts it back"


def test_a_resource_that_is_gone_is_named() -> None:
    [change] = changed_resources(digest(step("delete")), "oslo", [])
    assert (change.what, change.found) == ("Domain oslo", "gone")


def test_what_the_node_told_is_not_told_again() -> None:
    found = digest(step("update", URN, paths=("mustRun",), mustRun=False))
    assert list(changed_resources(found, "oslo", ["telegraf"])) == []
    assert [change.what for change in changed_resources(found, "oslo", [])] == ["Container oslo-telegraf mustRun"]


def test_what_the_engine_counts_but_does_not_detail_is_not_hidden() -> None:
    found = digest(step("refresh")) | {"changeSummary": {"same": 1, "update": 2}}
    [change] = changed_resources(found, "oslo", [])
    assert (change.what, change.found) == ("resources", "2 changed")


# The command

_ASKED = 'case "$*" in'


@pytest.fixture
def deployed(world: World) -> World:
    """A site on which nothing was changed."""
    outputs: dict[str, Any] = {**OUTPUTS, "facts": FACTS | {"kernel": "6.1.0", "docker": "20.10.24"}}
    resource = {"type": "docker:index/container:Container", "outputs": ASKED}
    world.answer("pulumi", json.dumps(outputs))
    world.answer("pulumi", json.dumps({"deployment": {"resources": [resource]}}), to="export")
    world.answer("pulumi", json.dumps(digest(step("refresh"))), to="refresh")
    told(world, FACTS | {"kernel": "6.1.1", "docker": "20.10.25"}, FOUND)
    return world


def told(world: World, facts: dict[str, Any], container: dict[str, Any]) -> None:
    """What the node says to the two commands that it is asked."""
    (world.folder / "facts.json").write_text(json.dumps(facts))
    (world.folder / "container.json").write_text(json.dumps(container))
    begin = (world.folder / "ssh").read_text().partition("key=")[0].partition(f"{_ASKED} *docker")[0]
    answers = f"*docker*) cat {world.folder}/container.json ;; *) cat {world.folder}/facts.json; exit 1 ;;"
    (world.folder / "ssh").write_text(f"{begin}{_ASKED} {answers} esac\n")


def test_upgrades_are_no_drift_and_nothing_is_changed(
    deployed: World, stack_file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["drift", "oslo", stack_file]) == 0
    assert capsys.readouterr().out == "no drift\n"
    [refresh] = [asked for asked in deployed.asked if asked.startswith("pulumi refresh")]
    assert " --preview-only --json " in refresh
    assert not [asked for asked in deployed.asked if asked.split()[1] in ("up", "destroy", "cancel")]
    assert not [asked for asked in deployed.asked if "resize2fs" in asked]


def test_the_program_on_the_node_is_given_the_facts_of_the_last_update(deployed: World, stack_file: str) -> None:
    program, folder = (deployed.folder / "ssh").read_text(), deployed.folder
    keep = f"[ -s {folder}/stdin-ssh ] && cp {folder}/stdin-ssh {folder}/given\n"
    (folder / "ssh").write_text(program.replace(f"{_ASKED} *docker", f"{keep}{_ASKED} *docker"))
    main(["drift", "oslo", stack_file])
    given = json.loads((deployed.folder / "given").read_text())
    assert given == FACTS
    assert mismatches(given, FACTS | {"qdiscs": {"eth0": "pfifo"}}) == ["qdiscs: eth0: asked 'fq', found 'pfifo'"]


def test_what_was_changed_by_hand_is_one_table(
    deployed: World, stack_file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    told(deployed, edited(FACTS, "sysctls", {"net.core.rmem_max": "1"}), edited(FOUND, "status", "exited"))
    assert main(["drift", "oslo", stack_file]) == 1
    head, sysctl, container = capsys.readouterr().out.splitlines()
    assert head.split("  ")[0] == "site"
    assert sysctl.startswith("oslo  sysctls net.core.rmem_max  26214400  1       on the node: ")
    assert container.startswith("oslo  container telegraf         running   exited  on the node: docker start telegraf")
    assert main(["drift", "oslo", "--json", stack_file]) == 1
    printed = json.loads(capsys.readouterr().out)
    assert [change["what"] for change in printed["drift"]] == ["sysctls net.core.rmem_max", "container telegraf"]
    assert printed["unseen"] == []


def test_a_site_that_is_cut_off_has_not_drifted(
    deployed: World, stack_file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (deployed.folder / "ssh").write_text("#!/bin/sh\necho no route to host >&2; exit 255\n")
    assert main(["drift", "oslo", stack_file]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "UNREACHABLE: the node does not answer: no route to host; it may be cut off, look at it: edge doctor oslo",
        "no drift in what could be looked at",
    ]
    [refresh] = [asked for asked in deployed.asked if asked.startswith("pulumi refresh")]
    assert refresh.endswith("--exclude **docker:index**")


def test_an_engine_that_cannot_look_is_told_and_hides_nothing(
    deployed: World, stack_file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    failed = {"diagnostics": [{"severity": "error", "message": "no hypervisor\n"}]}
    deployed.answer("pulumi", json.dumps(failed), 255, to="refresh")
    told(deployed, FACTS, edited(FOUND, "status", "exited"))
    assert main(["drift", "oslo", "--json", stack_file]) == 1
    printed = json.loads(capsys.readouterr().out)
    assert len(printed["drift"]) == 1
    assert printed["unseen"] == ["pulumi refresh: no hypervisor; look at it: edge doctor oslo"]


def test_a_backup_that_pauses_a_container_is_no_drift(
    deployed: World, stack_file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    told(deployed, FACTS, edited(FOUND, "status", "paused"))

    def passes(seconds: float) -> None:
        if seconds:
            told(deployed, FACTS, FOUND)

    monkeypatch.setattr("edge.drift.time.sleep", passes)
    assert main(["drift", "oslo", stack_file]) == 0


def test_a_site_that_was_never_deployed_is_told(
    world: World, stack_file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    world.answer("pulumi", "{}")
    assert main(["drift", "oslo", stack_file]) == 1
    assert capsys.readouterr().err == "edge: oslo is not deployed; deploy it: pulumi up --stack oslo\n"


@pytest.mark.parametrize("has_summaries", [True, False])
def test_of_somebody_elses_machine_only_our_containers_are_looked_at(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str], has_summaries: bool
) -> None:
    host = host_section()
    if not has_summaries:
        del host["summaries"]
    path = tmp_path / "Pulumi.hq.yaml"
    path.write_text(yaml.safe_dump({"config": {f"{PROJECT}:site": host}}))
    world.answer("pulumi", json.dumps({"hostKey": "ecdsa-sha2-nistp256 AAAA"}))
    world.answer("pulumi", json.dumps({"deployment": {"resources": []}}), to="export")
    world.answer("pulumi", json.dumps(digest(step("refresh"))), to="refresh")
    assert main(["drift", "hq", f"--config-file={path}"]) == 0
    world.answer("ssh", "{}\n" + json.dumps(TUNNELS | {"sessions": []}) + "\n[]\n{}\n")
    main(["status", "hq", f"--config-file={path}"])
    assert "PROBLEM" not in capsys.readouterr().out
    asked = [line for line in world.asked if line.startswith("ssh ")]
    assert asked
    for line in asked:
        assert ("docker ps --all --filter label=fjord-edge.config" in line) == has_summaries
        assert ("docker ps" in line) == has_summaries
