"""What a site's services give to a backup: a copy as of one moment."""

import os
import sqlite3
from pathlib import Path

import pytest

from components.iot_stack.on_node import before_backup


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder, programs = tmp_path / "data", tmp_path / "bin"
    (folder / "influxdb/data/iot").mkdir(parents=True)
    (folder / "influxdb/data/iot/000001.tsm").write_text("old")
    (folder / "influxdb/wal").mkdir()
    (folder / "influxdb/wal/_00001.wal").write_text("new")
    (folder / "mosquitto").mkdir()
    with sqlite3.connect(folder / "mosquitto/mosquitto.sqlite") as database:
        database.execute("CREATE TABLE client_msgs (client_id TEXT)")
        database.execute("INSERT INTO client_msgs VALUES ('telegraf')")
    programs.mkdir()
    (programs / "docker").write_text(f'#!/bin/sh\necho "$*" >>{tmp_path}/asked\n')
    (programs / "docker").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setattr(before_backup, "DATA", folder)
    monkeypatch.setattr(os, "chown", lambda *_: None)
    (folder / ".backup").mkdir()
    return folder


def test_old_files_get_a_second_name_and_what_still_changes_is_copied(data: Path) -> None:
    assert before_backup.main(data / ".backup") == 0
    staged = data / ".backup/influxdb"
    assert (staged / "data/iot/000001.tsm").samefile(data / "influxdb/data/iot/000001.tsm")
    assert (staged / "wal/_00001.wal").read_text() == "new"
    assert not (staged / "wal/_00001.wal").samefile(data / "influxdb/wal/_00001.wal")


def test_the_brokers_queue_is_copied_while_it_is_in_use(data: Path) -> None:
    with sqlite3.connect(data / "mosquitto/mosquitto.sqlite") as in_use:
        in_use.execute("PRAGMA journal_mode=WAL")
        in_use.execute("INSERT INTO client_msgs VALUES ('alarms')")
        in_use.commit()
        before_backup.main(data / ".backup")
    with sqlite3.connect(data / ".backup/mosquitto/mosquitto.sqlite") as copied:
        assert copied.execute("SELECT count(*) FROM client_msgs").fetchall() == [(2,)]


def test_the_database_runs_on_also_when_the_copy_fails(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(before_backup, "copy", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        before_backup.main(data / ".backup")
    assert (data.parent / "asked").read_text().splitlines() == ["pause influxdb", "unpause influxdb"]


def test_a_node_without_services_has_nothing_to_give(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(before_backup, "DATA", data / "nowhere")
    assert before_backup.main(data / ".backup") == 0
    assert list((data / ".backup").iterdir()) == []
