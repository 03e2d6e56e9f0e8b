"""The program on the node, on a data disk of the test's own and a `restic` that answers as told."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from components.backup.on_node import backup

SNAPSHOT = {"time": "2026-01-02T03:04:05Z", "id": "feed" * 16, "short_id": "feedfeed"}
OLDER = {"time": "2026-01-01T03:04:05Z", "id": "dead" * 16, "short_id": "deaddead"}
UUID = "0d6e-4c1b"


class Node:
    """A node's data disk, and the repository that its backups go to."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.data = folder / "data"
        self.folder = folder
        (folder / "bin").mkdir()
        (folder / "hooks").mkdir()
        (self.data / "lost+found").mkdir(parents=True)
        settings = {
            "site": "oslo",
            "data": str(self.data),
            "hooks": str(folder / "hooks"),
            "restic": ["restic", "--repo=there"],
            "keep": ["--keep-daily=2"],
        }
        (folder / "settings.json").write_text(json.dumps(settings))
        self.program("findmnt", f"echo {UUID}")
        self.program("setpriv", f'echo "$1" >>{folder}/without', "shift", 'exec "$@"')
        self.repository([])
        monkeypatch.setenv("PATH", f"{folder / 'bin'}:{os.environ['PATH']}")
        monkeypatch.setattr(backup, "SETTINGS", folder / "settings.json")
        monkeypatch.setattr(backup, "LOCK", folder / "lock")
        monkeypatch.setattr(backup, "LAST", folder / "state/last.json")

    def program(self, name: str, *lines: str) -> None:
        path = self.folder / "bin" / name
        path.write_text("\n".join(["#!/bin/sh", *lines]) + "\n")
        path.chmod(0o755)

    def hook(self, *lines: str) -> None:
        path = self.folder / "hooks/services"
        path.write_text("\n".join(["#!/bin/sh", *lines]) + "\n")
        path.chmod(0o755)

    def repository(self, snapshots: list[dict[str, Any]] | None, *, restored: str = "true") -> None:
        listed = (
            f"echo '{json.dumps(snapshots)}'"
            if snapshots is not None
            else f"echo 'Fatal: unable to open. {backup.NO_REPOSITORY} there' >&2; exit 1"
        )
        staging = f"{self.data}/{backup.STAGING}"
        self.program(
            "restic",
            f'shift; echo "$*" >>{self.folder}/asked',
            'case "$1" in',
            f"snapshots|unlock) {listed} ;;",
            f"backup) ls {staging} >{self.folder}/staged",
            'echo \'{"message_type": "summary", "snapshot_id": "feedfeed", "data_added": 1048576}\' ;;',
            f'restore) mkdir -p "$4{staging}/influxdb"; echo stored >"$4{staging}/influxdb/readings"; {restored} ;;',
            "esac",
        )

    @property
    def asked(self) -> list[str]:
        path = self.folder / "asked"
        return [line.split()[0] for line in path.read_text().splitlines()] if path.exists() else []

    def contents(self) -> set[str]:
        return {entry.name for entry in self.data.iterdir()}


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Node:
    return Node(tmp_path, monkeypatch)


def test_a_backup_sends_what_the_services_staged_and_leaves_nothing_behind(
    node: Node, capsys: pytest.CaptureFixture[str]
) -> None:
    node.hook("echo x >$1/readings")
    assert backup.main(["run"]) == 0
    assert (node.folder / "staged").read_text() == "readings\n"
    assert (node.folder / "without").read_text() == "--bounding-set=-sys_resource\n", "the reserve is the broker's"
    assert node.contents() == {"lost+found"}
    assert node.asked == ["unlock", "backup", "forget"]
    told = json.loads(capsys.readouterr().out)
    assert (told["snapshot"], told["sentBytes"]) == ("feedfeed", 1 << 20)
    assert json.loads((node.folder / "state/last.json").read_text()) == told


def test_copies_of_another_data_disk_are_forgotten_apart(node: Node) -> None:
    backup.main(["run"])
    asked = (node.folder / "asked").read_text()
    assert f"--host oslo --tag {UUID} " in asked
    assert "forget --quiet --prune --group-by host,tags --keep-daily=2" in asked


def test_a_service_that_cannot_be_staged_fails_the_backup(node: Node, capsys: pytest.CaptureFixture[str]) -> None:
    node.hook("echo no database >&2; exit 1")
    assert backup.main(["run"]) == 1
    assert "backup" not in node.asked
    assert node.contents() == {"lost+found"}
    assert capsys.readouterr().err.startswith("backup: services failed: no database. ")


def test_two_backups_at_once_are_refused(node: Node, capsys: pytest.CaptureFixture[str]) -> None:
    with backup.alone():
        assert backup.main(["run"]) == 1
    assert "another backup is at it" in capsys.readouterr().err
    assert node.asked == []


def test_the_first_backup_makes_the_repository(node: Node) -> None:
    node.repository(None)
    assert backup.main(["run"]) == 0
    assert node.asked[:2] == ["unlock", "init"]


def test_an_empty_data_disk_takes_the_last_copy_back(node: Node) -> None:
    node.repository([SNAPSHOT, OLDER])
    assert backup.main(["restore-if-empty"]) == 0
    assert SNAPSHOT["id"] in (node.folder / "asked").read_text()
    assert node.contents() == {"lost+found", "influxdb"}
    assert (node.data / "influxdb/readings").read_text() == "stored\n"


def test_a_data_disk_that_holds_data_is_left_alone_and_nobody_is_asked(node: Node) -> None:
    (node.data / "influxdb").mkdir()
    node.repository([SNAPSHOT])
    assert backup.main(["restore-if-empty"]) == 0
    assert node.asked == []
    assert node.contents() == {"lost+found", "influxdb"}


@pytest.mark.parametrize(("snapshots", "asked"), [([], ["snapshots"]), (None, ["snapshots", "init"])])
def test_a_new_site_has_nothing_to_take_back_and_a_repository_from_the_first_day(
    node: Node, snapshots: list[dict[str, Any]] | None, asked: list[str]
) -> None:
    node.repository(snapshots)
    assert backup.main(["restore-if-empty"]) == 0
    assert node.asked == asked
    assert node.contents() == {"lost+found"}


def test_a_restore_that_broke_off_begins_anew_and_no_service_sees_half_of_it(node: Node) -> None:
    node.repository([SNAPSHOT], restored="exit 1")
    assert backup.main(["restore-if-empty"]) == 1
    assert node.contents() == {"lost+found", backup.RESTORED}
    node.repository([SNAPSHOT])
    assert backup.main(["restore-if-empty"]) == 0
    assert node.contents() == {"lost+found", "influxdb"}


def test_a_restore_that_was_whole_but_not_in_place_is_finished(node: Node) -> None:
    staged = node.data / backup.RESTORED / node.data.relative_to("/") / backup.STAGING
    (staged / "mosquitto").mkdir(parents=True)
    (node.data / backup.RESTORED / "whole").touch()
    (node.data / "influxdb").mkdir()
    assert backup.main(["restore-if-empty"]) == 0
    assert node.asked == []
    assert node.contents() == {"lost+found", "influxdb", "mosquitto"}


def test_a_repository_that_does_not_answer_stops_an_empty_node(node: Node, capsys: pytest.CaptureFixture[str]) -> None:
    node.program("restic", "echo 'ssh: connect to host: No route' >&2; exit 1")
    assert backup.main(["restore-if-empty"]) == 1
    assert "See that the host of `backup` answers, and lets in the stack's backupKey" in capsys.readouterr().err


@pytest.mark.parametrize("words", [[], ["restore"], ["run", "now"]])
@pytest.mark.usefixtures("node")
def test_wrong_use_is_told(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert backup.main(words) == 2
    assert capsys.readouterr().err.startswith("usage: ")
