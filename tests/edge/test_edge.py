"""The edge command, on programs that answer as told and remember what they were asked."""

import io
import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from config.loader import PROJECT
from edge.__main__ import main, parser
from edge.site import EdgeError, Site
from lab.paths import CHECKOUT
from tests.edge.world import OUTPUTS, World
from tests.sites import section

CHECKS: list[dict[str, Any]] = [
    {"name": "kvm", "passed": None, "found": "skipped by skipChecks", "remedy": ""},
    {"name": "libvirt", "passed": True, "found": "libvirt 9.0.0", "remedy": ""},
]
FAILED = {"name": "network", "passed": False, "found": "no bridge br0", "remedy": "make it, or name another"}
LIVE: dict[str, Any] = {
    "lastBackup": None,
    "mended": [],
    "uptimeSeconds": 60,
    "clockSynchronized": True,
    "rebootRequired": False,
    "failedUnits": [],
    "load": "0.1 0.1 0.1",
    "freeGib": {"/": 5},
}
TUNNELS = {
    "time": 1000,
    "sessions": [
        {
            "peer": "hq",
            "next": False,
            "interface": "wg0",
            "publicKey": "AAAA",
            "endpoint": "10.20.0.11:51820",
            "allowedIps": ["10.100.0.0/24"],
            "latestHandshake": 990,
            "receivedBytes": 1,
            "sentBytes": 1,
        }
    ],
}
CONTAINER = {"Names": "telegraf", "Status": "Up 2 hours (healthy)", "Image": "any"}


def test_doctor_prints_every_check_and_is_content(
    world: World, stack_file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    world.answer("ssh", json.dumps(CHECKS))
    assert main(["doctor", "oslo", stack_file]) == 0
    assert [line.split()[:2] for line in capsys.readouterr().out.splitlines()] == [
        ["kvm", "skipped"],
        ["libvirt", "ok"],
    ]


def test_doctor_fails_with_a_check_and_tells_the_remedy(
    world: World, stack_file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    world.answer("ssh", json.dumps([*CHECKS, FAILED]), status=1)
    assert main(["doctor", "oslo", stack_file]) == 1
    assert "network  FAILED   no bridge br0          make it, or name another" in capsys.readouterr().out
    assert main(["doctor", "oslo", "--json", stack_file]) == 1
    assert json.loads(capsys.readouterr().out)[-1] == FAILED


def test_the_hypervisors_host_key_is_pinned_and_the_program_travels_by_stdin(world: World, stack_file: str) -> None:
    world.answer("ssh", json.dumps(CHECKS))
    main(["doctor", "oslo", stack_file])
    [asked] = world.asked
    assert f"-o UserKnownHostsFile={CHECKOUT}/tests/known_hosts " in asked
    assert "-o StrictHostKeyChecking=yes" in asked
    assert asked.endswith("root@10.20.0.1 python3 -")
    assert "def preflight" not in asked
    assert "CHECKS" in (world.folder / "stdin-ssh").read_text()


def test_a_hypervisor_that_does_not_answer_is_told(
    world: World, stack_file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    world.answer("ssh", "", status=255)
    assert main(["doctor", "oslo", stack_file]) == 1
    assert capsys.readouterr().err.startswith("edge: the hypervisor 10.20.0.1 did not answer")


def test_a_site_without_a_stack_file_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "atlantis"]) == 1
    remedy = "there is no such stack file; `edge new-site atlantis` makes one"
    assert capsys.readouterr().err == f"edge: Pulumi.atlantis.yaml: {remedy}\n"


def node_says(world: World, statuses: Any = None, alarms: Sequence[str] = (), **live: Any) -> None:
    world.answer("ssh", "\n".join(map(json.dumps, (LIVE | live, TUNNELS, alarms, statuses or {}, CONTAINER))))


def test_status_shows_the_last_facts_and_what_the_node_says_now(
    world: World, stack_file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    node_says(world)
    assert main(["status", "oslo", stack_file]) == 0
    printed = capsys.readouterr().out
    assert "asked and found  qdiscs eth0        fq" in printed
    assert "now              freeGib /          5" in printed
    assert "container  telegraf  Up 2 hours (healthy)" in printed
    assert printed.endswith("all is well\n")


@pytest.mark.parametrize(("number", "raised"), [(1, "1 alarm is raised"), (2, "2 alarms are raised")])
def test_status_does_not_call_all_well_what_an_alarm_is_raised_for(
    world: World, stack_file: str, capsys: pytest.CaptureFixture[str], number: int, raised: str
) -> None:
    node_says(world, alarms=[f"alerts/oslo/pen-{each}/oxygen-low" for each in range(number)])
    assert main(["status", "oslo", stack_file]) == 0
    assert capsys.readouterr().out.endswith(
        f"alarm  alerts/oslo/pen-{number - 1}/oxygen-low\nthe node is well; {raised}\n"
    )


@pytest.mark.parametrize(
    ("live", "problem"),
    [
        (
            {"failedUnits": ["docker.service"]},
            "docker.service has failed; look at its log: journalctl --unit docker.service",
        ),
        ({"rebootRequired": True}, "upgrades wait for a reboot, *"),
        ({"uptimeSeconds": 200_000}, "there is no backup yet; *"),
        ({"uptimeSeconds": 200_000, "lastBackup": {"ageSeconds": 200_000}}, "the last backup is 55 hours old; *"),
        ({"clockSynchronized": False}, "the clock is not synchronised; *"),
    ],
)
def test_status_names_what_is_not_well(
    world: World, stack_file: str, capsys: pytest.CaptureFixture[str], live: dict[str, Any], problem: str
) -> None:
    node_says(world, **live)
    assert main(["status", "oslo", "--json", stack_file]) == 1
    [told] = json.loads(capsys.readouterr().out)["problems"]
    assert told.startswith(problem.removesuffix("*"))


ALARMS = {"up": True, "time": 1_700_000_060_000, "rejected": 2, "outbox": 3, "outboxSince": 1_700_000_000_000}


def test_status_names_what_has_waited_for_the_webhook_for_too_long(
    world: World, stack_file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    node_says(world, statuses={"alarms": ALARMS})
    assert main(["status", "oslo", stack_file]) == 0
    capsys.readouterr()
    late = ALARMS | {"time": 1_700_000_060_001, "outboxDropped": 4}
    node_says(world, statuses={"alarms": late})
    assert main(["status", "oslo", "--json", stack_file]) == 1
    told = json.loads(capsys.readouterr().out)
    [problem] = told["problems"]
    assert problem.startswith("messages to the webhook wait since 2023-11-14 22:13 UTC: 3; 4 were dropped; see why: ")
    assert told["services"] == {"alarms": late}


@pytest.mark.parametrize(
    ("watch", "told"),
    [
        (
            ALARMS | {"time": 1_700_000_060_001},
            "messages to the webhook wait since 2023-11-14 22:13 UTC: 3; see why: docker logs watch",
        ),
        (
            {"certificateDays": 12},
            "the page's certificate ends in 12 days; move its last day: docs/operations.md, node/certificates",
        ),
    ],
)
def test_status_of_headquarters_names_what_its_watch_says(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str], watch: dict[str, Any], told: str
) -> None:
    file = tmp_path / "Pulumi.hq.yaml"
    file.write_text(yaml.safe_dump({"config": {f"{PROJECT}:site": section("hq")}}))
    node_says(world, statuses={"watch": watch})
    assert main(["status", "hq", "--json", f"--config-file={file}"]) == 1
    assert json.loads(capsys.readouterr().out)["problems"] == [told]


def test_with_the_backend_out_of_reach_status_and_backup_go_by_what_it_told_before(
    world: World, stack_file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    node_says(world)
    assert main(["status", "oslo", stack_file]) == 0
    capsys.readouterr()
    world.answer("pulumi", "dial tcp: lookup s3.example.com: no such host", 255)
    world.answer("pulumi", "dial tcp: lookup s3.example.com: no such host", 255, to="history")
    world.answer("pulumi", "dial tcp: lookup s3.example.com: no such host", 255, to="whoami")
    assert main(["status", "oslo", "--json", stack_file]) == 1
    told = json.loads(capsys.readouterr().out)
    [problem] = told["problems"]
    assert problem.startswith("the backend does not answer; known is what it told at 20")
    assert (told["lastUpdate"], told["facts"]) == ("unknown", OUTPUTS["facts"])
    assert [name for name, _ in told["containers"]]
    world.answer("ssh", json.dumps({"snapshot": "0123456789", "sentBytes": 1}))
    assert main(["backup", "oslo", stack_file]) == 0


def test_without_the_engine_it_is_not_the_backend_that_does_not_answer(
    world: World, stack_file: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    node_says(world)
    assert main(["status", "oslo", stack_file]) == 0
    capsys.readouterr()
    (world.folder / "pulumi").unlink()
    monkeypatch.setenv("PATH", f"{world.folder}:/usr/bin:/bin")
    assert main(["status", "oslo", "--json", stack_file]) == 1
    [problem] = json.loads(capsys.readouterr().out)["problems"]
    assert problem.startswith("the backend was not asked; known is what it told at 20")
    assert problem.endswith(": pulumi is not installed; README.md says what a site needs")


def test_a_site_that_is_not_deployed_is_not_remembered(
    world: World, stack_file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    node_says(world)
    for outputs in (OUTPUTS, {}):
        world.answer("pulumi", json.dumps(outputs))
        main(["status", "oslo", stack_file])
    capsys.readouterr()
    world.refuse("pulumi", "stack output", "dial tcp: no such host", 255)
    assert main(["status", "oslo", stack_file]) == 1
    assert capsys.readouterr().err.startswith("edge: pulumi stack output of oslo: dial tcp: no such host")


def test_what_an_unreachable_backend_told_of_a_site_is_told_as_such(
    world: World, stack_file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    node_says(world)
    assert main(["status", "oslo", stack_file]) == 0
    [kept] = (world.folder / "state-home" / "fjord-edge").iterdir()
    kept.write_text("{}")
    capsys.readouterr()
    world.refuse("pulumi", "stack output", "dial tcp: no such host", 255)
    for command in ("status", "mesh"):
        assert main([command, "oslo", stack_file]) == 1
        said = capsys.readouterr().err
        assert said.startswith("edge: oslo was not deployed when its backend last told: the backend does not answer; ")
        assert "no such host" in said


def test_a_stack_that_the_backend_does_not_have_is_not_remembered(
    world: World, stack_file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    node_says(world)
    assert main(["status", "oslo", stack_file]) == 0
    world.refuse("pulumi", "stack output", "error: no stack named 'oslo' found", status=6)
    assert main(["status", "oslo", stack_file]) == 1
    assert "no stack named 'oslo'" in capsys.readouterr().err


def test_what_the_node_mended_by_itself_is_told_and_is_no_problem(
    world: World, stack_file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    node_says(world, mended=[{"time": 1_700_000_000, "what": "the broker's queue was damaged"}])
    assert main(["status", "oslo", stack_file]) == 0
    printed = capsys.readouterr().out
    assert "mended  2023-11-14 22:13 UTC: the broker's queue was damaged; look at the disk: " in printed
    assert printed.endswith("all is well\n")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("config: {a: b: c}", "not YAML: while parsing a flow mapping"),
        ("", "this has no keys"),
        ("config:", "this section is missing"),
        ("config: {a: 1, a: 2}", "config.a: already in line 1; remove one of the two"),
        ("config: {a: 2028-03-30}", "a bare date is no text; write it in quotes"),
        ("config: sm\udcf8r", "not UTF-8: the byte 0xf8; save the file as UTF-8"),
    ],
)
def test_a_stack_file_that_nobody_can_read_is_told(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, why: str
) -> None:
    path = tmp_path / "Pulumi.oslo.yaml"
    path.write_bytes(text.encode(errors="surrogateescape"))
    assert main(["status", "oslo", f"--config-file={path}"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("edge: Pulumi.oslo.yaml:")
    assert why in said
    assert world.asked == []


@pytest.mark.parametrize("command", ["backup", "mesh"])
def test_a_site_that_was_never_deployed_is_told(
    world: World, stack_file: str, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    world.answer("pulumi", "{}")
    assert main([command, "oslo", stack_file]) == 1
    assert "oslo is not deployed; deploy it: pulumi up --stack oslo" in capsys.readouterr().err


def test_a_node_that_does_not_answer_shows_its_last_facts(
    world: World, stack_file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    world.answer("ssh", "", status=255)
    assert main(["status", "oslo", stack_file]) == 1
    printed = capsys.readouterr().out
    assert "kernel" in printed
    assert "PROBLEM: the node does not answer" in printed


def test_destroy_asks_and_without_anybody_to_ask_does_nothing(
    world: World, stack_file: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())
    assert main(["destroy", "oslo", stack_file]) == 2
    assert world.asked == []
    assert "Its data disk /srv/nvme/fjord-edge/oslo/oslo-data.qcow2 stays." in capsys.readouterr().out


def test_an_end_of_file_is_a_no(
    world: World, stack_file: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    assert main(["destroy", "oslo", stack_file]) == 2
    assert world.asked == []
    assert capsys.readouterr().err == "edge: nothing was done; --yes goes on without asking\n"


def test_destroy_shuts_down_first_and_keeps_what_is_protected(world: World, stack_file: str) -> None:
    assert main(["destroy", "oslo", "--yes", stack_file]) == 0
    shut_down, destroyed = world.asked
    assert shut_down.startswith("ssh ")
    assert "sys.exit(take_down(" in (world.folder / "stdin-ssh").read_text()
    assert destroyed.startswith("pulumi destroy --yes --skip-preview --exclude-protected --stack oslo ")


def test_destroy_without_the_engine_says_that_it_is_missing(
    world: World, stack_file: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (world.folder / "pulumi").unlink()
    monkeypatch.setenv("PATH", f"{world.folder}:/usr/bin:/bin")
    assert main(["destroy", "oslo", "--yes", stack_file]) == 1
    assert capsys.readouterr().err == "edge: pulumi is not installed; README.md says what a site needs\n"


def test_destroy_stops_at_a_node_that_has_a_reason_to_stay_up(
    world: World, stack_file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    world.answer("ssh", "", status=1)
    assert main(["destroy", "oslo", "--yes", stack_file]) == 1
    assert not [asked for asked in world.asked if asked.startswith("pulumi")]
    assert "edge destroy --force oslo" in capsys.readouterr().err
    assert main(["destroy", "oslo", "--yes", "--force", stack_file]) == 0


@pytest.mark.parametrize("words", [[], ["no-such-subcommand", "oslo"], ["doctor"]])
def test_wrong_use_exits_with_2(words: list[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        parser().parse_args(words)
    assert stopped.value.code == 2


def test_the_command_runs_from_wherever_it_is_called(tmp_path: Path) -> None:
    done = subprocess.run([CHECKOUT / "bin/edge", "--help"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert {"doctor", "status", "destroy"} < set(done.stdout.split())


def test_a_reader_that_goes_away_ends_the_command_quietly() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [CHECKOUT / "bin/edge", "env", "bergen"], stdout=writing, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(writing)
    assert done.returncode == 141
    assert "Error" not in done.stderr


def test_a_file_that_cannot_be_used_is_told_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"\xff")
    monkeypatch.setattr("edge.env.run", lambda _: (tmp_path / "file" / "folder").mkdir())
    assert main(["env", "oslo"]) == 1
    told = f"edge: {tmp_path}/file/folder: Not a directory; see that this user may read or write it there\n"
    assert capsys.readouterr().err == told
    monkeypatch.setattr("edge.env.run", lambda _: (tmp_path / "file").read_text())
    assert main(["env", "oslo"]) == 1
    assert capsys.readouterr().err.startswith("edge: a file that is read here is no text in UTF-8: 'utf-8' codec ")


def test_without_an_environment_the_command_says_how_to_make_one(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    shutil.copy(CHECKOUT / "bin/edge", tmp_path / "bin/edge")
    done = subprocess.run([tmp_path / "bin/edge", "--help"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.endswith(".venv is missing; make check makes it\n")


# Snapshots, backups, and nodes that are lost


@pytest.mark.parametrize(
    "words", [["snapshot", "oslo"], ["restore", "oslo", "one"], ["delete-data", "oslo"], ["destroy", "oslo", "--yes"]]
)
def test_a_hypervisor_that_is_not_reached_is_named_with_what_looks_at_it(
    world: World, stack_file: str, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    world.refuse("ssh", "", "Connection timed out during banner exchange", 255)
    assert main([*words, stack_file]) == 1
    said = "Connection timed out during banner exchange; look at it: edge doctor oslo"
    assert capsys.readouterr().err == f"edge: the hypervisor 10.20.0.1 was not reached: {said}\n"
    assert not [asked for asked in world.asked if asked.startswith("pulumi")]


def test_snapshots_are_listed_and_one_can_be_deleted(
    world: World, stack_file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    world.answer("ssh", json.dumps([{"name": "one.qcow2", "gib": 0.5}]))
    assert main(["snapshot", "oslo", "--list", stack_file]) == 0
    assert capsys.readouterr().out == "one.qcow2  0.5 GiB\n"
    world.answer("ssh", json.dumps({"name": "one.qcow2"}))
    assert main(["snapshot", "oslo", "--delete", "one.qcow2", "--yes", stack_file]) == 0
    assert capsys.readouterr().out == "deleted one.qcow2\n"
    assert "sys.exit(delete(" in (world.folder / "stdin-ssh").read_text()
    assert main(["snapshot", "oslo", stack_file]) == 0
    assert "sys.exit(make(" in (world.folder / "stdin-ssh").read_text()


def test_a_snapshot_is_deleted_only_when_somebody_says_so(
    world: World, stack_file: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())
    assert main(["snapshot", "oslo", "--delete", "one.qcow2", stack_file]) == 2
    assert "The snapshot one.qcow2 of oslo is deleted" in capsys.readouterr().err
    assert world.asked == []


def test_a_restore_of_what_is_not_there_takes_nothing_down(
    world: World, stack_file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    world.answer("ssh", json.dumps([{"name": "one.qcow2", "gib": 0.5}]))
    assert main(["restore", "oslo", "two.qcow2", "--yes", stack_file]) == 1
    assert capsys.readouterr().err == "edge: there is no snapshot two.qcow2; there are: one.qcow2\n"
    assert len(world.asked) == 1


SNAPSHOT = [{"name": "one.qcow2", "gib": 0.5}]


def on_the_node(world: World) -> list[str]:
    """What was asked of it; the hypervisor is asked for programs alone."""
    return [asked.partition("edge@10.20.0.12 ")[2] for asked in world.asked if "edge@10.20.0.12 " in asked]


def test_after_a_restore_nothing_is_collected_before_the_users_of_now_are_there(world: World, stack_file: str) -> None:
    world.answer("ssh", json.dumps(SNAPSHOT))
    assert main(["restore", "oslo", "one.qcow2", "--yes", stack_file]) == 0
    hold, _, users = on_the_node(world)
    assert hold == "docker update --restart=no telegraf"
    assert users == (
        "sudo /usr/local/lib/fjord-edge/influxdb-users /etc/fjord-edge/influxdb-users.json && "
        "docker update --restart=always telegraf && docker start telegraf"
    )


def test_a_database_that_does_not_take_them_is_told_and_nothing_is_collected(
    world: World, stack_file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    world.answer("ssh", json.dumps(SNAPSHOT))
    world.refuse("ssh", "*sudo", "influxdb-users: no password of the administrator's is taken")
    assert main(["restore", "oslo", "one.qcow2", "--yes", stack_file]) == 1
    told = capsys.readouterr().err
    assert "the database of one.qcow2 does not take the users of now: influxdb-users: no password" in told
    assert "the broker keeps what comes in, for 6 hours" in told
    assert "docker start telegraf" not in on_the_node(world)


def test_a_node_that_must_not_go_down_collects_as_ever(
    world: World, stack_file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hypervisor(_: Site, program: str, *, answer: bool = True) -> Any:
        if not answer:
            raise EdgeError("oslo was not taken down: an alarm is raised")
        assert "sys.exit(show(" in program
        return SNAPSHOT

    monkeypatch.setattr(Site, "ask_hypervisor", hypervisor)
    assert main(["restore", "oslo", "one.qcow2", "--yes", stack_file]) == 1
    assert on_the_node(world) == ["docker update --restart=no telegraf", "docker update --restart=always telegraf"]


def test_a_restore_asks_first(
    world: World, stack_file: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())
    world.answer("ssh", json.dumps([{"name": "one.qcow2", "gib": 0.5}]))
    assert main(["restore", "oslo", "one.qcow2", stack_file]) == 2
    assert "What it has now becomes a snapshot too." in capsys.readouterr().out
    assert len(world.asked) == 1


def test_a_state_that_knows_the_node_is_not_lost(
    world: World, stack_file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["destroy", "oslo", "--lost-state", "--yes", stack_file]) == 1
    assert "the state of oslo knows its node" in capsys.readouterr().err
    assert not [asked for asked in world.asked if asked.startswith("ssh")]


def test_a_node_whose_state_is_lost_goes_without_the_engine_and_the_way_on_is_told(
    world: World, stack_file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    world.answer("pulumi", "{}")
    world.answer("ssh", json.dumps({"name": "before-release-1.qcow2"}))
    assert main(["destroy", "oslo", "--lost-state", "--yes", stack_file]) == 0
    told = capsys.readouterr().out
    assert "Next: pulumi up --stack oslo, then edge restore oslo before-release-1.qcow2" in told
    assert not [asked for asked in world.asked if "destroy" in asked]
    assert "sys.exit(release(" in (world.folder / "stdin-ssh").read_text()


@pytest.fixture
def without_backup(tmp_path: Path) -> str:
    site = section("oslo")
    del site["backup"]
    path = tmp_path / "Pulumi.oslo.yaml"
    path.write_text(yaml.safe_dump({"config": {f"{PROJECT}:site": site}}))
    return f"--config-file={path}"


def test_a_site_without_a_backup_is_told_which_section_is_missing(
    world: World, without_backup: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["backup", "oslo", without_backup]) == 1
    assert capsys.readouterr().err.startswith("edge: Pulumi.oslo.yaml: fjord-edge:site.backup: this section is missing")
    assert world.asked == []


def test_a_backup_tells_what_was_new_and_a_failed_one_why(
    world: World, stack_file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    world.answer("ssh", json.dumps({"time": 1, "snapshot": "feedfeedfeed", "sentBytes": 3 << 20}))
    assert main(["backup", "oslo", stack_file]) == 0
    assert capsys.readouterr().out == "backup feedfeed: 3.0 MiB were new\n"
    assert world.asked[-1].endswith(" sudo /usr/local/lib/fjord-edge/backup run")
    world.refuse("ssh", "", "backup: nas.example.com: connection refused")
    assert main(["backup", "oslo", stack_file]) == 1
    said = capsys.readouterr().err
    assert said.startswith("edge: backup: nas.example.com: connection refused; look at the node (edge status oslo)")


EMPTY: dict[str, Any] = {"name": "data-disk", "passed": True, "found": "not there yet", "remedy": ""}


def replaced(world: World, stack_file: str, checks: list[dict[str, Any]], monkeypatch: Any, *, alive: bool) -> int:
    monkeypatch.setattr("edge.site.Site.node_answers", lambda _: alive)
    world.answer("ssh", json.dumps(checks))
    return main(["replace-node", "oslo", "--yes", stack_file])


def test_a_lost_node_is_forgotten_and_made_anew(world: World, stack_file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert replaced(world, stack_file, [*CHECKS, EMPTY], monkeypatch, alive=False) == 0
    _, forgotten, made = world.asked
    assert forgotten == "pulumi state remove --all --force --yes --stack oslo"
    assert made.startswith("pulumi up --yes --skip-preview --stack oslo --config-file ")


def test_a_lost_node_without_a_backup_begins_with_nothing_and_that_is_told_before(
    world: World, without_backup: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert replaced(world, without_backup, [*CHECKS, EMPTY], monkeypatch, alive=False) == 0
    assert "It has no `backup`: all that it kept is lost" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("checks", "alive", "why"),
    [
        ([*CHECKS, EMPTY | {"found": "8 GiB"}], False, "nothing is lost"),
        ([*CHECKS, EMPTY, FAILED], False, "network: no bridge br0: make it"),
        ([*CHECKS, EMPTY], True, "still answers"),
    ],
)
def test_a_node_that_is_not_lost_or_has_nowhere_to_go_is_not_replaced(
    world: World,
    stack_file: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    checks: list[dict[str, Any]],
    alive: bool,
    why: str,
) -> None:
    assert replaced(world, stack_file, checks, monkeypatch, alive=alive) == 1
    assert why in capsys.readouterr().err
    assert not [asked for asked in world.asked if asked.startswith("pulumi")]


def test_data_is_deleted_only_after_its_node_was_destroyed(
    world: World, stack_file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["delete-data", "oslo", "--yes", stack_file]) == 1
    assert "first: edge destroy oslo" in capsys.readouterr().err
    program = world.folder / "ssh"
    program.write_text(program.read_text().replace("exit $(", 'case "$*" in *domid*) exit 1 ;; esac\nexit $('))
    world.answer("ssh", "[]")
    assert main(["delete-data", "oslo", "--yes", stack_file]) == 0
    assert [asked.partition(" --stack")[0] for asked in world.asked if asked.startswith("pulumi")] == [
        "pulumi state unprotect --all --yes",
        "pulumi destroy --yes --skip-preview",
    ]
