"""The files of a backup, and what is refused."""

import json
from typing import Any

import pytest

from components.backup.restic import backup_files, settings
from config.base import ConfigError
from config.derive import backup_password, backup_ssh_key
from config.site import Backup
from tests.sites import SEED, edited, section

BACKUP = Backup.parse(section("oslo")["backup"], file="Pulumi.oslo.yaml")
KEY, PASSWORD = backup_ssh_key(SEED, "oslo", 1), backup_password(SEED, "oslo", 1)
FILES = {entry.path: entry for entry in backup_files("oslo", BACKUP, epoch=1, key=KEY, password=PASSWORD)}


def test_key_and_password_are_roots_alone_and_in_no_other_file() -> None:
    folder = "/etc/fjord-edge/backup"
    secret = {f"{folder}/key": KEY.private, f"{folder}/password": f"{PASSWORD}\n"}
    for path, entry in FILES.items():
        contents = getattr(entry, "contents", "")
        if path in secret:
            assert (contents, entry.mode, entry.owner) == (secret[path], 0o600, 0)
        else:
            assert PASSWORD not in contents
            assert KEY.private.splitlines()[1] not in contents


def test_the_line_is_shared_with_readings_and_the_host_key_is_pinned() -> None:
    asked = json.loads(settings("oslo", BACKUP, epoch=1))
    assert "--limit-upload=1024" in asked["restic"]
    assert "--repo=sftp:nas@10.20.1.1:/backups/oslo-1" in asked["restic"]
    assert "StrictHostKeyChecking=yes" in asked["restic"][2]
    assert asked["keep"] == ["--keep-daily=14", "--keep-weekly=8", "--keep-monthly=12"]
    known = getattr(FILES["/etc/fjord-edge/backup/known_hosts"], "contents", "")
    assert known == f"10.20.1.1 {BACKUP.host_key}\n"


def test_another_epoch_begins_another_repository() -> None:
    assert "/backups/oslo-2" in settings("oslo", BACKUP, epoch=2)
    assert backup_password(SEED, "oslo", 2) != PASSWORD


def test_another_port_is_known_by_it() -> None:
    other = Backup.parse(edited(section("oslo")["backup"], "port", value=2222), file="Pulumi.oslo.yaml")
    files = {entry.path: entry for entry in backup_files("oslo", other, epoch=1, key=KEY, password=PASSWORD)}
    assert getattr(files["/etc/fjord-edge/backup/known_hosts"], "contents", "").startswith("[10.20.1.1]:2222 ssh-")
    assert " -p 2222 " in settings("oslo", other, epoch=1)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("host", "nas; rm"),
        ("user", "nas user"),
        ("path", "/back ups"),
        ("path", "/backups/"),
        ("hostKey", "10.20.1.1 ssh-ed25519 AAAA"),
        ("start", "24:00"),
        ("kibPerSecond", 0),
        ("port", 0),
    ],
)
def test_what_is_no_place_for_backups_is_refused(key: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=key):
        Backup.parse(edited(section("oslo")["backup"], key, value=value), file="Pulumi.oslo.yaml")
