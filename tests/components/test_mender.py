"""What the node mends itself: a damaged queue, and a database that refuses what it has room for."""

import http.server
import json
import os
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components._mender.on_node import mend
from tests.components.iot_stack.test_rendered import grants

MESSAGES = 4000
PAYLOAD = json.dumps({"value": 8.5, "time": 1_795_000_000_000})

#: As Mosquitto 2.1.2's persist-sqlite makes it.
SCHEMA = """\
CREATE TABLE base_msgs (store_id INT64 PRIMARY KEY,expiry_time INT64,topic STRING NOT NULL,payload BLOB,
    source_id STRING,
    source_username STRING,payloadlen INTEGER,source_mid INTEGER,source_port INTEGER,qos INTEGER,retain INTEGER,
    properties STRING);
CREATE TABLE retains (topic STRING PRIMARY KEY,store_id INT64);
CREATE TABLE clients (client_id TEXT PRIMARY KEY,username TEXT,connection_time INT64,will_delay_time INT64,
    session_expiry_time INT64,listener_port INT,max_packet_size INT,max_qos INT,retain_available INT,
    session_expiry_interval INT,will_delay_interval INT);
CREATE TABLE client_msgs (client_id TEXT NOT NULL,cmsg_id INT64,store_id INT64,dup INTEGER,direction INTEGER,
    mid INTEGER,
    qos INTEGER,retain INTEGER,state INTEGER,subscription_identifier INTEGER);
CREATE INDEX retains_storeid ON retains(store_id);
CREATE INDEX client_msgs_store_id ON client_msgs(store_id,client_id);
"""


def message(number: int, topic: str, retain: int) -> tuple[object, ...]:
    return (number, 0, topic, PAYLOAD, "sensor", "sensor", len(PAYLOAD), number % 65535, 8883, 1, retain, None)


@pytest.fixture
def queue(tmp_path: Path) -> Path:
    """One as big as an outage makes it, with an alarm that is retained and a message for the collector alone."""
    path = tmp_path / mend.QUEUE.name
    with sqlite3.connect(path) as made:
        made.executescript(SCHEMA)
        marks = ", ".join("?" * 12)
        made.execute(f"INSERT INTO base_msgs VALUES ({marks})", message(1, "alerts/oslo/pen-1/low", 1))
        made.execute("INSERT INTO retains VALUES ('alerts/oslo/pen-1/low', 1)")
        made.executemany(
            f"INSERT INTO base_msgs VALUES ({marks})",
            (message(2 + number, "sensors/pen1-temp/temperature", 0) for number in range(MESSAGES)),
        )
        made.execute("INSERT INTO clients (client_id, username) VALUES ('telegraf', 'telegraf'), ('phone', 'reader')")
        made.execute("INSERT INTO client_msgs VALUES ('telegraf', 1, 2, 0, 1, 1, 1, 0, 3, 0)")
    made.close()
    return path


def cut(queue: Path) -> None:
    while mend.is_whole(queue):
        os.truncate(queue, queue.stat().st_size * 3 // 4)


def test_each_of_its_readers_is_a_user_who_reads_the_sensors() -> None:
    assert all("read sensors/+/+" in grants(reader) for reader in mend.READERS)


def test_a_whole_queue_is_left_alone(queue: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mend, "QUEUE", queue)
    monkeypatch.setattr(mend, "state", lambda _: "restarting")
    before = queue.read_bytes()
    assert mend.broker() is None
    assert queue.read_bytes() == before


@pytest.mark.parametrize("state", ["running", ""])
def test_a_broker_that_runs_or_is_not_there_is_left_alone(
    queue: Path, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    cut(queue)
    monkeypatch.setattr(mend, "QUEUE", queue)
    monkeypatch.setattr(mend, "state", lambda _: state)
    assert mend.broker() is None


def test_what_can_be_read_of_a_truncated_queue_waits_for_each_reader_again(
    queue: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut(queue)
    damaged = queue.read_bytes()
    did: list[tuple[str, ...]] = []
    monkeypatch.setattr(mend, "QUEUE", queue)
    monkeypatch.setattr(mend, "state", lambda _: "restarting")
    monkeypatch.setattr(mend, "docker", lambda *words: did.append(words))
    said = mend.broker()
    assert did == [("stop", "mosquitto"), ("start", "mosquitto")]
    assert mend.is_whole(queue)
    [aside] = queue.parent.glob("*.damaged-*")
    assert aside.read_bytes() == damaged
    assert said
    assert str(aside) in said
    with sqlite3.connect(queue) as saved:
        stored = {number for (number,) in saved.execute("SELECT store_id FROM base_msgs WHERE retain = 0")}
        waiting = saved.execute("SELECT client_id, store_id, mid, qos, state FROM client_msgs").fetchall()
    saved.close()
    assert MESSAGES // 2 < len(stored) < MESSAGES
    assert {store for _, store, *_ in waiting} == stored
    assert {(client, qos, state) for client, _, _, qos, state in waiting} == {("telegraf", 1, mend.QUEUED)}
    assert sorted(mid for _, _, mid, *_ in waiting) == list(range(1, len(stored) + 1))
    assert queue.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("left", [b"SQLite format 3", b"no database any more" * 500])
def test_of_a_queue_that_nothing_can_be_read_of_the_broker_makes_a_new_one(
    queue: Path, monkeypatch: pytest.MonkeyPatch, left: bytes
) -> None:
    queue.write_bytes(left)
    did: list[tuple[str, ...]] = []
    monkeypatch.setattr(mend, "QUEUE", queue)
    monkeypatch.setattr(mend, "state", lambda _: "restarting")
    monkeypatch.setattr(mend, "docker", lambda *words: did.append(words))
    said = mend.broker()
    assert said
    assert "0 messages of it were saved" in said
    assert did[-1] == ("start", "mosquitto")
    assert queue.read_bytes() == b""
    [aside] = queue.parent.glob("*.damaged-*")
    assert aside.read_bytes() == left


def test_a_broker_whose_queue_cannot_be_mended_is_started_all_the_same_and_the_database_is_looked_at(
    queue: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cut(queue)
    did: list[tuple[str, ...]] = []

    def full(*_: object) -> int:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(mend, "QUEUE", queue)
    monkeypatch.setattr(mend, "state", lambda name: "restarting" if name == "mosquitto" else did.append((name,)))
    monkeypatch.setattr(mend, "docker", lambda *words: did.append(words))
    monkeypatch.setattr(mend, "rebuild", full)
    assert mend.main([]) == 1
    assert did == [("stop", "mosquitto"), ("start", "mosquitto"), ("influxdb",)]
    assert "broker: database or disk is full" in capsys.readouterr().err


def test_a_retained_message_that_is_lost_is_retained_by_nobody(queue: Path, tmp_path: Path) -> None:
    with sqlite3.connect(queue) as made:
        made.execute("INSERT INTO retains VALUES ('alerts/oslo/pen-2/low', 9999999)")
    made.close()
    whole = sqlite3.connect(tmp_path / "made")
    damaged = mend.opened(queue)
    mend.rebuild(damaged, whole)
    assert whole.execute("SELECT topic FROM retains").fetchall() == [("alerts/oslo/pen-1/low",)]
    damaged.close()
    whole.close()


def test_a_reading_that_was_published_retained_waits_again_but_not_one_that_is_only_retained(
    queue: Path, tmp_path: Path
) -> None:
    replaced, waits, delivered = 10_001, 10_002, 10_003
    with sqlite3.connect(queue) as made:
        for number, topic in (
            (replaced, "sensors/a/oxygen"),
            (waits, "sensors/a/oxygen"),
            (delivered, "sensors/b/oxygen"),
        ):
            made.execute(f"INSERT INTO base_msgs VALUES ({', '.join('?' * 12)})", message(number, topic, 1))
        made.execute("INSERT INTO retains VALUES ('sensors/a/oxygen', ?), ('sensors/b/oxygen', ?)", (waits, delivered))
        # The first one's place in the queue is lost; the last one is on its way to somebody who has just subscribed.
        made.execute("INSERT INTO client_msgs VALUES ('telegraf', 2, ?, 0, 1, 2, 1, 0, 11, 0)", (waits,))
        made.execute("INSERT INTO client_msgs VALUES ('telegraf', 3, ?, 0, 1, 3, 1, 1, 3, 0)", (delivered,))
    made.close()
    whole = sqlite3.connect(tmp_path / "made")
    damaged = mend.opened(queue)
    assert mend.rebuild(damaged, whole) == MESSAGES + 2
    again = whole.execute(
        "SELECT client_id, store_id, retain, state FROM client_msgs WHERE store_id > 10000"
    ).fetchall()
    assert again == [("telegraf", replaced, 0, mend.QUEUED), ("telegraf", waits, 0, mend.QUEUED)]
    assert whole.execute("SELECT count(*) FROM client_msgs").fetchall() == [(MESSAGES + 2,)]
    assert whole.execute("SELECT count(*) FROM retains").fetchall() == [(3,)]
    damaged.close()
    whole.close()


class Database(http.server.BaseHTTPRequestHandler):
    """Answers each write with the next of `codes`."""

    codes: list[int]

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(self.codes.pop(0))
        self.end_headers()
        self.wfile.write(b'{"error":"no space left on device"}')

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Database]]:
    server = http.server.HTTPServer(("127.0.0.1", 0), Database)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    wanted = {
        "url": f"http://127.0.0.1:{server.server_port}",
        "users": {
            "telegraf-1": {"password": "of the test", "databases": ["iot_data"], "privilege": "WRITE"},
            "reader": {"password": "another", "databases": ["iot_data"], "privilege": "READ"},
        },
    }
    users = tmp_path / "users.json"
    users.write_text(json.dumps(wanted))
    monkeypatch.setattr(mend, "USERS", users)
    monkeypatch.setattr(mend, "DATA", tmp_path)
    monkeypatch.setattr(mend, "LOG", tmp_path / "wal")
    monkeypatch.setattr(mend, "AGAIN_SECONDS", 0)
    monkeypatch.setattr(mend, "state", lambda _: "running")
    yield Database
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("codes", [[204, 204], [500, 204], [401, 401]], ids=["answers", "once", "by name"])
def test_a_database_that_takes_writes_or_refuses_the_user_is_left_alone(
    database: type[Database], monkeypatch: pytest.MonkeyPatch, codes: list[int]
) -> None:
    database.codes = codes
    monkeypatch.setattr(mend, "docker", lambda *_: pytest.fail("it was touched"))
    assert mend.database() is None


@pytest.mark.parametrize("privilege", ["WRITE", "ALL"], ids=["a site's", "headquarters'"])
def test_a_database_that_refuses_with_room_on_its_disk_is_started_anew(
    database: type[Database], monkeypatch: pytest.MonkeyPatch, privilege: str
) -> None:
    mend.USERS.write_text(mend.USERS.read_text().replace("WRITE", privilege))
    database.codes = [500, 500]
    did: list[tuple[str, ...]] = []
    monkeypatch.setattr(mend, "docker", lambda *words: did.append(words))
    said = mend.database()
    assert did == [("stop", "influxdb"), ("start", "influxdb")]
    assert said
    assert "no space left on device" in said


def test_a_store_that_no_site_writes_to_is_left_alone(
    database: type[Database], monkeypatch: pytest.MonkeyPatch
) -> None:
    mend.USERS.write_text(mend.USERS.read_text().replace("WRITE", "READ"))
    database.codes = []
    monkeypatch.setattr(mend, "docker", lambda *_: pytest.fail("it was touched"))
    assert mend.database() is None


ENTRIES = st.lists(st.tuples(st.sampled_from(mend.ENTRY_KINDS), st.binary(max_size=40)), max_size=6)


def rendered(entries: list[tuple[int, bytes]]) -> bytes:
    return b"".join(mend.ENTRY.pack(kind, len(payload)) + payload for kind, payload in entries)


@given(ENTRIES, ENTRIES, st.integers(0, 60), st.binary(min_size=1, max_size=30))
def test_of_a_log_every_whole_entry_is_kept_and_nothing_else(
    first: list[tuple[int, bytes]], then: list[tuple[int, bytes]], zeros: int, payload: bytes
) -> None:
    torn = (mend.ENTRY.pack(1, len(payload)) + payload)[:-1]
    content = rendered(first) + bytes(zeros) + rendered(then)
    assert mend.whole_entries(content) == mend.whole_entries(content + torn) == rendered(first + then)
    assert mend.is_holed(content + torn) == bool(zeros and then)


def test_a_log_with_a_hole_is_mended_while_the_database_is_stopped(
    database: type[Database], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    segment = tmp_path / "wal" / "iot_data" / "autogen" / "1" / "_00001.wal"
    segment.parent.mkdir(parents=True)
    segment.write_bytes(rendered([(1, b"before")]) + bytes(9) + rendered([(1, b"after")]))
    seen: list[tuple[str, bytes]] = []
    monkeypatch.setattr(mend, "LOG", tmp_path / "wal")
    monkeypatch.setattr(mend, "docker", lambda *words: seen.append((words[0], segment.read_bytes()[-14:])))
    database.codes = [204, 204, 204, 204]
    said = mend.database()
    assert said
    assert "a hole" in said
    assert [word for word, _ in seen] == ["stop", "start"]
    assert segment.read_bytes() == rendered([(1, b"before"), (1, b"after")])
    assert mend.database() is None


def test_before_a_boot_starts_the_database_a_torn_end_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    segment = tmp_path / "_00001.wal"
    segment.write_bytes(rendered([(1, b"whole")]) + b"\1\0\0\0\x09torn")
    monkeypatch.setattr(mend, "LOG", tmp_path)
    assert mend.main(["log"]) == 0
    assert segment.read_bytes() == rendered([(1, b"whole")])


def test_a_database_without_room_is_left_alone(database: type[Database], monkeypatch: pytest.MonkeyPatch) -> None:
    database.codes = [500, 500]
    monkeypatch.setattr(mend, "ROOM_BYTES", 1 << 62)
    monkeypatch.setattr(mend, "docker", lambda *_: pytest.fail("it was touched"))
    assert mend.database() is None


def test_what_was_mended_is_written_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mend, "MENDED", tmp_path / "lib" / "mended.jsonl")
    monkeypatch.setattr(mend, "broker", lambda: "the broker's queue was damaged")
    monkeypatch.setattr(mend, "database", lambda: None)
    assert mend.main([]) == 0
    [line] = mend.MENDED.read_text().splitlines()
    assert json.loads(line)["what"] == "the broker's queue was damaged"
