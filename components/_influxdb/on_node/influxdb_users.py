#!/usr/bin/env python3
"""Runs on the node: brings InfluxDB 1.8's databases, users, passwords and grants to what a file says; idempotent.

Users that the file does not name are removed, or with the word `keep` stay until a later run without it.
"""

import base64
import json
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

ADMIN = "admin"

#: What InfluxDB calls the retention policy of a new database.
DEFAULT_POLICY = "autogen"

#: How long a database that starts is waited for, and how often it is asked.
START_SECONDS, AGAIN_SECONDS = 120, 2

UNAUTHORIZED = 401
FORBIDDEN = 403


def main(wanted_file: str, *words: str) -> int:
    """Apply the file; what InfluxDB refuses is named on standard error without its statement."""
    wanted = json.loads(Path(wanted_file).read_text())
    try:
        apply(wanted, keep=words == ("keep",))
    except (OSError, RuntimeError) as error:
        print(f"InfluxDB's users were not applied: {error}", file=sys.stderr)
        return 1
    return 0


def apply(wanted: dict[str, Any], *, keep: bool = False) -> None:
    """Bring the administrator's password in force, then in its name databases, users and grants; `keep` other users."""
    database = Server(wanted["url"])
    database.wait()
    ensure_admin(database, wanted["admin"], wanted["formerAdmins"])
    users: dict[str, dict[str, Any]] = wanted["users"]
    for name in sorted({name for user in users.values() for name in user["databases"]}):
        database.query(f"CREATE DATABASE {identifier(name)}")
    for name, kept in wanted["retention"].items():
        policy = f"{identifier(DEFAULT_POLICY)} ON {identifier(name)}"
        asked = f"DURATION {kept['duration']} SHARD DURATION {kept['shardDuration']}"
        database.query(f"ALTER RETENTION POLICY {policy} {asked} DEFAULT")
    existing = {row[0] for row in rows(database.query("SHOW USERS"))} - {ADMIN}
    for name in sorted(existing - users.keys()) if not keep else ():
        database.query(f"DROP USER {identifier(name)}")
    for name, user in users.items():
        verb = "SET PASSWORD FOR {} = {}" if name in existing else "CREATE USER {} WITH PASSWORD {}"
        database.query(verb.format(identifier(name), literal(user["password"])))
        grant(database, name, user["databases"], user["privilege"])


def ensure_admin(database: "Server", password: str, former: list[str]) -> None:
    """Log in by the wanted password; before, make the first administrator or give it that password by a former one.

    Raises:
        RuntimeError: none of the passwords is the administrator's.
    """
    for known in [password, *former]:
        database.password = known
        if database.lets_in():
            if known != password:
                database.query(f"SET PASSWORD FOR {ADMIN} = {literal(password)}")
                database.password = password
            return
    database.password = None
    try:
        database.query(f"CREATE USER {ADMIN} WITH PASSWORD {literal(password)} WITH ALL PRIVILEGES")
    except urllib.error.HTTPError as error:
        if error.code in (UNAUTHORIZED, FORBIDDEN):
            raise RuntimeError("the administrator has a password that no epoch of this seed gives") from None
        raise
    database.password = password


def grant(database: "Server", user: str, names: list[str], privilege: str) -> None:
    """Let a user do this in these databases, and nothing in any other."""
    held = {row[0]: row[1] for row in rows(database.query(f"SHOW GRANTS FOR {identifier(user)}"))}
    for other in sorted(held.keys() - set(names)):
        database.query(f"REVOKE ALL ON {identifier(other)} FROM {identifier(user)}")
    for name in names:
        database.query(f"GRANT {privilege} ON {identifier(name)} TO {identifier(user)}")


class Server:
    """InfluxDB's HTTP interface, asked in the administrator's name once there is one."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.password: str | None = None

    def wait(self) -> None:
        """Wait until it answers: after a boot it reads its log first.

        Raises:
            OSError: it did not within `START_SECONDS`.
        """
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                with urllib.request.urlopen(f"{self.url}/ping", timeout=30):
                    return
            except urllib.error.HTTPError:
                return
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(AGAIN_SECONDS)

    def lets_in(self) -> bool:
        """Whether the password is the administrator's."""
        try:
            self.query("SHOW USERS")
        except urllib.error.HTTPError as error:
            if error.code in (UNAUTHORIZED, FORBIDDEN):
                return False
            raise
        return True

    def query(self, statement: str) -> dict[str, Any]:
        """Send one statement; its text appears in no error."""
        request = urllib.request.Request(f"{self.url}/query", urllib.parse.urlencode({"q": statement}).encode())
        if self.password is not None:
            credentials = base64.b64encode(f"{ADMIN}:{self.password}".encode()).decode()
            request.add_header("Authorization", f"Basic {credentials}")
        with urllib.request.urlopen(request, timeout=30) as response:
            answer: dict[str, Any] = json.load(response)["results"][0]
        if "error" in answer:
            raise RuntimeError(f"{' '.join(statement.split()[:2])}: {answer['error']}")
        return answer


def rows(answer: dict[str, Any]) -> list[list[Any]]:
    """The rows of an answer; none where it has none."""
    return [row for series in answer.get("series", []) for row in series.get("values", [])]


def identifier(text: str) -> str:
    """An InfluxQL identifier."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def literal(text: str) -> str:
    """An InfluxQL string literal."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
