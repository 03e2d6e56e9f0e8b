#!/usr/bin/env python3
"""Runs on the node: brings InfluxDB 1.8's database, users, passwords and grants to what a file says; idempotent."""

import base64
import json
import sys
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

ADMIN = "admin"
UNAUTHORIZED = 401
FORBIDDEN = 403


def main(wanted_file: str) -> int:
    """Apply the file; what InfluxDB refuses is named on standard error without its statement."""
    wanted = json.loads(Path(wanted_file).read_text())
    try:
        apply(wanted)
    except (OSError, RuntimeError) as error:
        print(f"InfluxDB's users were not applied: {error}", file=sys.stderr)
        return 1
    return 0


def apply(wanted: dict[str, Any]) -> None:
    """Make the first administrator if there is none, then everything else in its name."""
    passwords = wanted["passwords"]
    if not authorized(wanted):
        create = f"CREATE USER {ADMIN} WITH PASSWORD {quoted(passwords[ADMIN])} WITH ALL PRIVILEGES"
        query(wanted, create, as_admin=False)
    query(wanted, f"CREATE DATABASE {wanted['database']}")
    existing = {row[0] for row in rows(query(wanted, "SHOW USERS"))}
    for user, password in passwords.items():
        verb = "SET PASSWORD FOR {} = {}" if user in existing else "CREATE USER {} WITH PASSWORD {}"
        query(wanted, verb.format(user, quoted(password)))
    for user, privilege in wanted["grants"].items():
        query(wanted, f"GRANT {privilege} ON {wanted['database']} TO {user}")


def authorized(wanted: dict[str, Any]) -> bool:
    """Whether the administrator's password is already in force."""
    try:
        query(wanted, "SHOW USERS")
    except urllib.error.HTTPError as error:
        if error.code in (UNAUTHORIZED, FORBIDDEN):
            return False
        raise
    return True


def query(wanted: dict[str, Any], statement: str, *, as_admin: bool = True) -> dict[str, Any]:
    """Send one statement; its text appears in no error."""
    request = urllib.request.Request(f"{wanted['url']}/query", urllib.parse.urlencode({"q": statement}).encode())
    if as_admin:
        credentials = base64.b64encode(f"{ADMIN}:{wanted['passwords'][ADMIN]}".encode()).decode()
        request.add_header("Authorization", f"Basic {credentials}")
    with urllib.request.urlopen(request, timeout=30) as response:
        answer: dict[str, Any] = json.load(response)["results"][0]
    if "error" in answer:
        raise RuntimeError(f"{' '.join(statement.split()[:2])}: {answer['error']}")
    return answer


def rows(answer: dict[str, Any]) -> list[list[Any]]:
    """The rows of an answer; none where it has none."""
    return [row for series in answer.get("series", []) for row in series.get("values", [])]


def quoted(text: str) -> str:
    """An InfluxQL string literal."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
