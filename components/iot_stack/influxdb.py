"""The database's configuration and users."""

import json
from pathlib import Path

from components._files import CONFIGURATION, PROGRAMS, File
from components.iot_stack.containers import INFLUXDB_PORT

DATABASE = "iot_data"

_USERS_PROGRAM = f"{PROGRAMS}/influxdb-users"
_USERS_FILE = f"{CONFIGURATION}/influxdb-users.json"

#: Brings database and users to what the file says; idempotent.
APPLY_USERS = f"{_USERS_PROGRAM} {_USERS_FILE}"

INFLUXDB_CONF = f"""\
reporting-disabled = true
bind-address = "127.0.0.1:8088"

[meta]
dir = "/var/lib/influxdb/meta"

[data]
dir = "/var/lib/influxdb/data"
wal-dir = "/var/lib/influxdb/wal"
wal-fsync-delay = "0s"
index-version = "tsi1"
query-log-enabled = false

[monitor]
store-enabled = false

[http]
bind-address = ":{INFLUXDB_PORT}"
auth-enabled = true
ping-auth-enabled = false
log-enabled = false
flux-enabled = false

[logging]
level = "warn"
"""


def user_files(passwords: dict[str, str]) -> list[File]:
    """Render the program that makes the users, and what it shall make.

    Args:
        passwords: of `admin`, `telegraf` (writes) and `reader` (reads).
    """
    wanted = {
        "url": f"http://127.0.0.1:{INFLUXDB_PORT}",
        "database": DATABASE,
        "passwords": passwords,
        "grants": {"telegraf": "WRITE", "reader": "READ"},
    }
    program = (Path(__file__).parent / "on_node" / "influxdb_users.py").read_text()
    return [
        File(path=_USERS_PROGRAM, contents=program, mode=0o755),
        File(path=_USERS_FILE, contents=json.dumps(wanted, indent=2) + "\n", mode=0o600),
    ]
