"""The database's databases and users, and the program that brings it to them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from pathlib import Path
from typing import Literal

from components._files import CONFIGURATION, PROGRAMS, File
from components._influxdb.service import INFLUXDB_PORT
from components._services import LOOPBACK

ADMIN = "admin"

_USERS_PROGRAM = f"{PROGRAMS}/influxdb-users"

#: Which databases and users there are, and for how long each database keeps its points.
USERS_FILE = f"{CONFIGURATION}/influxdb-users.json"

#: Brings databases and users to what the file says; idempotent. The second leaves those whom the file does not name.
APPLY_USERS = f"{_USERS_PROGRAM} {USERS_FILE}"
MAKE_USERS = f"{APPLY_USERS} keep"


Privilege = Literal["READ", "WRITE", "ALL"]


@dataclass(frozen=True, kw_only=True)
class Grant:
    """A user who may do one thing in these databases, and nothing in any other."""

    databases: Sequence[str]
    privilege: Privilege
    password: str = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Retention:
    """How long a database keeps its points, and how many hours of them lie and are deleted together."""

    days: int
    shard_hours: int


def user_files(
    users: Mapping[str, Grant],
    *,
    admin: str,
    former_admins: Sequence[str] = (),
    address: IPv4Address = LOOPBACK,
    retention: Mapping[str, Retention] | None = None,
) -> list[File]:
    """Render the program that makes the users, and what it shall make; `APPLY_USERS` removes any other.

    Args:
        users: by their names; their databases are made where they are missing.
        admin: the administrator's password.
        former_admins: the passwords before it, one of which may still be in force.
        address: where the database is reached on the node.
        retention: by database; what is not named here keeps its points for ever.
    """
    wanted = {
        "url": f"http://{address}:{INFLUXDB_PORT}",
        "admin": admin,
        "formerAdmins": list(former_admins),
        "retention": {
            name: {"duration": f"{kept.days}d", "shardDuration": f"{kept.shard_hours}h"}
            for name, kept in (retention or {}).items()
        },
        "users": {
            name: {"password": grant.password, "privilege": grant.privilege, "databases": list(grant.databases)}
            for name, grant in users.items()
        },
    }
    program = (Path(__file__).parent / "on_node" / "influxdb_users.py").read_text()
    return [
        File(path=_USERS_PROGRAM, contents=program, mode=0o755),
        File(path=USERS_FILE, contents=json.dumps(wanted, indent=2) + "\n", mode=0o600),
    ]
