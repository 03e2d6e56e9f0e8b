"""The files of a node's backup: the program, its schedule, and the keys to where it goes."""

import json
from pathlib import Path

from components._files import CONFIGURATION, DATA, PROGRAMS, Directory, File
from config.derive import SshKey
from config.site import Backup

PROGRAM = f"{PROGRAMS}/backup"

#: Programs that are called with an empty folder on the data disk, and put into it what is to be kept, as of one moment.
BEFORE_BACKUP = f"{CONFIGURATION}/before-backup.d"

_FOLDER = f"{CONFIGURATION}/backup"

#: What the program asks restic for, and how many backups are kept.
SETTINGS_FILE = f"{_FOLDER}/settings.json"
_UNIT = "/etc/systemd/system/fjord-edge-backup"

#: An empty data disk takes its data back; then the schedule is in force.
APPLY = (
    f"{PROGRAM} restore-if-empty && systemctl daemon-reload && "
    "systemctl --quiet enable fjord-edge-backup.timer && systemctl restart fjord-edge-backup.timer"
)

#: A site without a backup: nothing is sent any more, and the keys to where it went are gone. What lies there stays.
REMOVE = (
    f"if [ -e {_UNIT}.timer ]; then systemctl --quiet disable --now fjord-edge-backup.timer && "
    "systemctl stop fjord-edge-backup.service; fi && "
    f"rm --recursive --force {_UNIT}.timer {_UNIT}.service {_FOLDER} {PROGRAM} && systemctl daemon-reload"
)

_SERVICE = f"""\
[Unit]
Description=Backup of what the services keep

[Service]
Type=oneshot
ExecStart={PROGRAM} run
Nice=10
IOSchedulingClass=idle
"""


def backup_files(site: str, backup: Backup, *, epoch: int, key: SshKey, password: str) -> list[File | Directory]:
    """Render all of them.

    Args:
        site: the site's name; its repository is `<path>/<site>-<epoch>`.
        backup: its section.
        epoch: of key and password; restic cannot change the password of a repository that only the old one opens.
        key: the node's SSH key.
        password: the repository's.
    """
    program = (Path(__file__).parent / "on_node" / "backup.py").read_text()
    return [
        File(path=PROGRAM, contents=program, mode=0o755),
        Directory(path=_FOLDER, mode=0o700),
        Directory(path=BEFORE_BACKUP),
        File(path=SETTINGS_FILE, contents=settings(site, backup, epoch=epoch)),
        File(path=f"{_FOLDER}/key", contents=key.private, mode=0o600),
        File(path=f"{_FOLDER}/password", contents=f"{password}\n", mode=0o600),
        File(path=f"{_FOLDER}/known_hosts", contents=f"{_known_as(backup)} {backup.host_key}\n"),
        File(path=f"{_UNIT}.service", contents=_SERVICE),
        File(path=f"{_UNIT}.timer", contents=_timer(backup)),
    ]


def settings(site: str, backup: Backup, *, epoch: int) -> str:
    """Render what the program asks restic for; nothing in it is secret."""
    login = f"{backup.user}@{backup.host}"
    # restic's own word for a path is relative unless it begins with two slashes.
    ssh = [
        "ssh", "-F", "none", "-i", f"{_FOLDER}/key", "-p", str(backup.port),
        "-o", f"UserKnownHostsFile={_FOLDER}/known_hosts", "-o", "StrictHostKeyChecking=yes", "-o", "BatchMode=yes",
        "-o", "ConnectTimeout=15", "-o", "ServerAliveInterval=30", login, "-s", "sftp",
    ]  # fmt: skip
    wanted = {
        "site": site,
        "data": DATA,
        "hooks": BEFORE_BACKUP,
        "restic": [
            "restic",
            f"--repo=sftp:{login}:{backup.path}/{site}-{epoch}",
            f"--option=sftp.command={' '.join(ssh)}",
            f"--password-file={_FOLDER}/password",
            "--cache-dir=/var/cache/fjord-edge-backup",
            f"--limit-upload={backup.kib_per_second}",
        ],
        "keep": [f"--keep-{unit}={count}" for unit, count in backup.keep.model_dump().items()],
    }
    return json.dumps(wanted, indent=2) + "\n"


def _known_as(backup: Backup) -> str:
    return backup.host if backup.port == 22 else f"[{backup.host}]:{backup.port}"


def _timer(backup: Backup) -> str:
    return f"""\
[Unit]
Description=A backup each day

[Timer]
OnCalendar=*-*-* {backup.start}:00 UTC
Persistent=true
RandomizedDelaySec=10min

[Install]
WantedBy=timers.target
"""
