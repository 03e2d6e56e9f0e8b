"""`influxdb_users.py` against a server that answers as InfluxDB 1.8.10 does; the real one is asked in the lab."""

import base64
import json
import re
import threading
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from components._influxdb import Grant, user_files
from components._influxdb.on_node import influxdb_users

ADMIN = "admin's \\ password"
USERS = {
    "telegraf": Grant(databases=["iot_data"], privilege="WRITE", password="t"),
    "reader": Grant(databases=["iot_data"], privilege="READ", password="r"),
}
PASSWORDS = {"admin": ADMIN, "telegraf": "t", "reader": "r"}


class Influxdb(HTTPServer):
    """Users, databases and grants in memory; `statements` are those that were let through."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.passwords: dict[str, str] = {}
        self.databases: set[str] = set()
        self.grants: set[tuple[str, str, str]] = set()
        self.statements: list[str] = []
        self.policies: dict[str, tuple[str, str, str]] = {}

    def wanted(self, **changed: Any) -> dict[str, Any]:
        """What the program is given, at this server."""
        file = json.loads(user_files(USERS, admin=ADMIN)[1].contents)
        return {**file, "url": f"http://127.0.0.1:{self.server_port}", **changed}

    def refusal(self, statement: str, credentials: tuple[str, str] | None) -> tuple[int, str] | None:
        if not self.passwords:
            if re.fullmatch(r"CREATE USER \w+ WITH PASSWORD '.*' WITH ALL PRIVILEGES", statement):
                return None
            return 403, "error authorizing query: create admin user first or disable authentication"
        if credentials is None:
            return 401, "unable to parse authentication credentials"
        return None if self.passwords.get(credentials[0]) == credentials[1] else (401, "authorization failed")

    def execute(self, statement: str) -> dict[str, Any]:
        self.statements.append(statement)
        literal, name = r"'((?:[^'\\]|\\.)*)'", r'"?([\w-]+)"?'
        if match := re.fullmatch(rf"CREATE USER {name} WITH PASSWORD {literal}( WITH ALL PRIVILEGES)?", statement):
            if match[1] in self.passwords:
                return {"error": "user already exists"}
            self.passwords[match[1]] = re.sub(r"\\(.)", r"\1", match[2])
        elif match := re.fullmatch(rf"SET PASSWORD FOR {name} = {literal}", statement):
            if match[1] not in self.passwords:
                return {"error": "user not found"}
            self.passwords[match[1]] = re.sub(r"\\(.)", r"\1", match[2])
        elif match := re.fullmatch(rf"DROP USER {name}", statement):
            del self.passwords[match[1]]
            self.grants = {held for held in self.grants if held[2] != match[1]}
        elif match := re.fullmatch(rf"CREATE DATABASE {name}", statement):
            self.databases.add(match[1])
        elif match := re.fullmatch(
            rf"ALTER RETENTION POLICY {name} ON {name} DURATION (\d+d) SHARD DURATION (\d+h) DEFAULT", statement
        ):
            self.policies[match[2]] = (match[1], match[3], match[4])
        elif match := re.fullmatch(rf"GRANT (\w+) ON {name} TO {name}", statement):
            if match[2] not in self.databases:
                return {"error": f"database not found: {match[2]}"}
            self.grants.add((match[1], match[2], match[3]))
        elif match := re.fullmatch(rf"REVOKE ALL ON {name} FROM {name}", statement):
            self.grants = {held for held in self.grants if held[1:] != (match[1], match[2])}
        elif match := re.fullmatch(rf"SHOW GRANTS FOR {name}", statement):
            held = [[held[1], held[0]] for held in self.grants if held[2] == match[1]]
            return {"series": [{"columns": ["database", "privilege"], "values": held}]}
        elif statement == "SHOW USERS":
            rows = [[user, user == "admin"] for user in self.passwords]
            return {"series": [{"columns": ["user", "admin"], "values": rows}]}
        else:
            return {"error": "error parsing query"}
        return {}


class _Handler(BaseHTTPRequestHandler):
    server: Influxdb

    def do_POST(self) -> None:
        body = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode(), strict_parsing=True)
        [statement] = body["q"]
        assert self.path == "/query"
        if refused := self.server.refusal(statement, self._credentials()):
            status, answer = refused[0], {"error": refused[1]}
        else:
            status, answer = 200, {"results": [{"statement_id": 0, **self.server.execute(statement)}]}  # type: ignore[dict-item]
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())

    def _credentials(self) -> tuple[str, str] | None:
        scheme, _, encoded = self.headers.get("Authorization", "").partition(" ")
        if scheme != "Basic":
            return None
        user, _, password = base64.b64decode(encoded).decode().partition(":")
        return user, password

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def database() -> Iterator[Influxdb]:
    with Influxdb() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_new_database_gets_its_users_with_what_they_may(database: Influxdb) -> None:
    influxdb_users.apply(database.wanted())
    assert database.passwords == PASSWORDS
    assert database.databases == {"iot_data"}
    assert database.grants == {("WRITE", "iot_data", "telegraf"), ("READ", "iot_data", "reader")}


def test_a_database_keeps_what_it_is_told_to_keep(database: Influxdb) -> None:
    influxdb_users.apply(database.wanted(retention={"iot_data": {"duration": "400d", "shardDuration": "24h"}}))
    assert database.policies == {"iot_data": ("autogen", "400d", "24h")}


def test_a_second_time_changes_nothing(database: Influxdb) -> None:
    influxdb_users.apply(database.wanted())
    before = (dict(database.passwords), set(database.databases), set(database.grants))
    database.statements.clear()
    influxdb_users.apply(database.wanted())
    assert (database.passwords, database.databases, database.grants) == before
    assert not [statement for statement in database.statements if statement.startswith("CREATE USER")]


def test_what_was_interrupted_is_finished(database: Influxdb) -> None:
    database.passwords["admin"] = PASSWORDS["admin"]
    influxdb_users.apply(database.wanted())
    assert database.passwords == PASSWORDS


def user(name: str, **changed: Any) -> dict[str, dict[str, Any]]:
    """The users of the file with one of them changed."""
    users: dict[str, dict[str, Any]] = json.loads(user_files(USERS, admin=ADMIN)[1].contents)["users"]
    return users | {name: users.get(name, users["reader"]) | changed}


def test_a_new_password_is_set(database: Influxdb) -> None:
    influxdb_users.apply(database.wanted())
    influxdb_users.apply(database.wanted(users=user("telegraf", password="new")))
    assert database.passwords == PASSWORDS | {"telegraf": "new"}


def test_an_administrators_new_password_takes_the_place_of_a_former_one(database: Influxdb) -> None:
    influxdb_users.apply(database.wanted())
    influxdb_users.apply(database.wanted(admin="second", formerAdmins=[ADMIN]))
    influxdb_users.apply(database.wanted(admin="fourth", formerAdmins=["third", "second", ADMIN]))
    assert database.passwords == PASSWORDS | {"admin": "fourth"}


def test_a_user_who_is_not_listed_is_removed_and_the_data_stays(database: Influxdb) -> None:
    influxdb_users.apply(database.wanted(users=user("bergen-1", databases=["site_bergen"])))
    influxdb_users.apply(database.wanted())
    assert database.passwords == PASSWORDS
    assert "site_bergen" in database.databases


def test_a_user_of_before_stays_until_those_who_use_it_have_ended(database: Influxdb) -> None:
    influxdb_users.apply(database.wanted(users=user("telegraf-of-before", privilege="WRITE")))
    influxdb_users.apply(database.wanted(), keep=True)
    assert ("WRITE", "iot_data", "telegraf-of-before") in database.grants
    assert database.passwords.keys() == PASSWORDS.keys() | {"telegraf-of-before"}
    influxdb_users.apply(database.wanted())
    assert database.passwords == PASSWORDS


def test_a_user_keeps_no_grant_on_another_database(database: Influxdb) -> None:
    influxdb_users.apply(database.wanted(users=user("reader", databases=["other"])))
    influxdb_users.apply(database.wanted())
    assert database.grants == {("WRITE", "iot_data", "telegraf"), ("READ", "iot_data", "reader")}


def told(server: Influxdb, folder: Path, capsys: pytest.CaptureFixture[str], **changed: Any) -> str:
    """What the program says when it fails."""
    file = folder / "wanted.json"
    file.write_text(json.dumps(server.wanted(**changed)))
    assert influxdb_users.main(str(file)) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    return printed.err


def test_what_the_database_refuses_is_told_without_the_statement(
    database: Influxdb, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    message = told(database, tmp_path, capsys, users=user("reader", databases=["no name"]))
    assert message == "InfluxDB's users were not applied: CREATE DATABASE: error parsing query\n"


def test_another_administrators_password_is_told_without_either(
    database: Influxdb, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    database.passwords["admin"] = "theirs"
    message = told(database, tmp_path, capsys)
    assert "no epoch of this seed" in message
    assert not [password for password in PASSWORDS.values() if f" {password} " in message]


def test_a_database_that_is_about_to_answer_is_waited_for(database: Influxdb, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [ConnectionResetError("its log is read"), BrokenPipeError("its log is read")]
    asked = urllib.request.urlopen

    def about_to_answer(*words: Any, **more: Any) -> Any:
        if answers:
            raise answers.pop()
        return asked(*words, **more)

    monkeypatch.setattr(influxdb_users, "AGAIN_SECONDS", 0)
    monkeypatch.setattr(urllib.request, "urlopen", about_to_answer)
    influxdb_users.apply(database.wanted())
    assert database.passwords == PASSWORDS


def test_a_database_that_is_away_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(influxdb_users, "START_SECONDS", 0)
    with Influxdb() as gone:
        pass
    assert "Connection refused" in told(gone, tmp_path, capsys)
