#!/usr/bin/env python3
"""Runs on the node each minute: mends what a service does not mend itself, and writes down that it did.

The broker does not start on a damaged queue (eclipse/mosquitto#3160): what can be read of it becomes a new one.

The database refuses every write after its disk was full, also when there is room again: its log's buffered writer keeps
its first error. It is started anew. When it starts on a log whose last entry is torn, it cuts that off and writes on
where the file ended before, so that zeros lie between; at its next start it cuts off all that is behind them (InfluxDB
1.8, tsdb/engine/tsm1: wal.go, cache.go). Torn ends and zeros are taken out while it is stopped; `log` does so
before a boot starts it.
"""

import base64
import contextlib
import json
import os
import sqlite3
import struct
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

DATA = Path("/srv/fjord-edge")
QUEUE = DATA / "mosquitto" / "mosquitto.sqlite"
USERS = Path("/etc/fjord-edge/influxdb-users.json")
LOG = DATA / "influxdb" / "wal"

#: What was mended, a JSON object a line; read by the facts.
MENDED = Path("/var/lib/fjord-edge/mended.jsonl")

#: Whose queues the broker keeps; each gets every reading that could be read, some for the second time.
READERS = ("telegraf", "alarms")

#: mosquitto's `mosq_ms_queued` and `mosq_md_out`.
QUEUED, OUTGOING = 11, 1

#: An entry of the database's log: one of these kinds and its length, then so many bytes.
ENTRY, ENTRY_KINDS = struct.Struct(">BI"), (1, 2, 3)

#: With less room than that a write may be refused for good reason.
ROOM_BYTES = 64 << 20

#: A database that is about to answer is asked again.
AGAIN_SECONDS = 5

TIMEOUT_SECONDS = 20


def main(words: Sequence[str]) -> int:
    """Look at both, whatever one of them meets; `log`: mend the log of a database that does not run."""
    if words == ["log"]:
        mend_log(LOG)
        return 0
    failed = 0
    for mend in (broker, database):
        try:
            found = mend()
        except (OSError, sqlite3.Error) as error:
            print(f"{mend.__name__}: {error}", file=sys.stderr)
            failed = 1
            continue
        if found:
            print(found)
            MENDED.parent.mkdir(parents=True, exist_ok=True)
            with MENDED.open("a") as file:
                file.write(json.dumps({"time": int(time.time()), "what": found}) + "\n")
    return failed


def broker() -> str | None:
    """Give a broker that cannot start a queue that it can read."""
    if state("mosquitto") not in ("restarting", "exited") or not QUEUE.exists() or is_whole(QUEUE):
        return None
    docker("stop", "mosquitto")
    try:
        kept, aside = salvage(QUEUE)
    finally:
        docker("start", "mosquitto")
    return f"the broker's queue was damaged: {kept} messages of it were saved, the damaged file is {aside}"


def is_whole(queue: Path) -> bool:
    """Whether SQLite finds nothing wrong with it."""
    try:
        with contextlib.closing(opened(queue)) as damaged:
            return bool(damaged.execute("PRAGMA quick_check(1)").fetchall() == [("ok",)])
    except sqlite3.DatabaseError:
        return False


def opened(queue: Path) -> sqlite3.Connection:
    """Open it to read only."""
    return sqlite3.connect(f"file:{queue}?mode=ro", uri=True)


def salvage(queue: Path) -> tuple[int, Path]:
    """Put what can be read of a damaged queue into its place; the number of messages, and where the old one is.

    Each saved message waits for each reader again: at least once, since who has had it can be lost as well.
    """
    aside = queue.with_name(f"{queue.name}.damaged-{int(time.time())}")
    made = queue.with_name(f"{queue.name}.salvaged")
    made.unlink(missing_ok=True)
    with contextlib.closing(opened(queue)) as damaged, contextlib.closing(sqlite3.connect(made)) as whole:
        kept = rebuild(damaged, whole) if is_readable(damaged) else 0
    status = queue.parent.stat()
    os.chown(made, status.st_uid, status.st_gid)
    made.chmod(0o600)
    for suffix in ("-wal", "-shm", ""):
        part = queue.with_name(queue.name + suffix)
        if part.exists():
            part.replace(aside.with_name(aside.name + suffix))
    made.replace(queue)
    return kept, aside


def is_readable(damaged: sqlite3.Connection) -> bool:
    """Whether anything can be read of it; of what is no database any more the broker makes a new one."""
    try:
        return bool(schema(damaged))
    except sqlite3.DatabaseError:
        return False


def rebuild(damaged: sqlite3.Connection, whole: sqlite3.Connection) -> int:
    """Copy schema and rows, and make the readers' queues of the messages; the number of messages."""
    for name, statement in schema(damaged):
        whole.execute(statement)
        if statement.startswith("CREATE TABLE"):
            for row in rows(damaged, name):
                whole.execute(f"INSERT OR IGNORE INTO {name} VALUES ({', '.join('?' * len(row))})", row)  # noqa: S608
    # A reading that was published retained says so, also while it waits (mosquitto, src/handle_publish.c). It waits
    # where a queue has it, or where it is no longer the one that is retained; any other would pass for one of now.
    whole.execute(
        "CREATE TEMP TABLE waiting AS SELECT store_id, qos FROM base_msgs WHERE topic LIKE 'sensors/%' AND (retain = 0"
        " OR qos > 0 AND store_id NOT IN (SELECT store_id FROM retains WHERE store_id IS NOT NULL)"
        " OR store_id IN (SELECT store_id FROM client_msgs WHERE retain = 0))"
    )
    whole.execute("DELETE FROM client_msgs")
    known = {client for (client,) in whole.execute("SELECT client_id FROM clients")}
    for reader in known.intersection(READERS):
        whole.execute(
            "INSERT INTO client_msgs (client_id, cmsg_id, store_id, dup, direction, mid, qos, retain, state,"
            " subscription_identifier) SELECT ?, row_number() OVER (ORDER BY store_id), store_id, 0, ?,"
            " (row_number() OVER (ORDER BY store_id) - 1) % 65535 + 1, qos, 0, ?, 0"
            " FROM waiting",
            (reader, OUTGOING, QUEUED),
        )
    whole.execute("DELETE FROM retains WHERE store_id NOT IN (SELECT store_id FROM base_msgs)")
    [(kept,)] = whole.execute("SELECT count(*) FROM waiting")
    whole.commit()
    return int(kept)


def schema(damaged: sqlite3.Connection) -> list[tuple[str, str]]:
    """Names and statements of tables and indices, tables first."""
    # Or SQLite reads nothing of a file that is shorter than it should be.
    damaged.execute("PRAGMA writable_schema = ON")
    return damaged.execute(
        "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY type = 'index', name"
    ).fetchall()


def rows(damaged: sqlite3.Connection, table: str) -> Iterator[tuple[Any, ...]]:
    """What can be read from the front, and then from the end, of a table with a hole in it."""
    for order in ("ASC", "DESC"):
        try:
            yield from damaged.execute(f"SELECT * FROM {table} NOT INDEXED ORDER BY rowid {order}")  # noqa: S608
        except sqlite3.DatabaseError:
            continue
        return


def database() -> str | None:
    """Start a database anew that refuses what it has room for, or would lose what is behind zeros in its log."""
    if state("influxdb") != "running":
        return None
    if refused := refusals():
        reason = f"the database refused writes with room on its disk, and was started anew: {refused[-1]}"
    elif any(is_holed(segment.read_bytes()) for segment in LOG.rglob("*.wal")):
        reason = "the database's log had a hole behind which its next start would have lost all; it was taken out"
    else:
        return None
    docker("stop", "influxdb")
    try:
        mend_log(LOG)
    finally:
        docker("start", "influxdb")
    return reason


def refusals() -> list[str]:
    """Why it refuses, asked twice; nothing where it does not, or has no room."""
    if not USERS.exists():
        return []
    refused = [reason for _ in range(2) if (reason := refusal())]
    disk = os.statvfs(DATA)
    return refused if len(refused) == 2 and disk.f_bavail * disk.f_frsize >= ROOM_BYTES else []


def mend_log(log: Path) -> None:
    """Take torn ends and zeros out of the segments of a log that nobody has open."""
    for segment in sorted(log.rglob("*.wal")):
        content = segment.read_bytes()
        entries = whole_entries(content)
        if entries != content:
            made = segment.with_suffix(".mended")
            with made.open("wb") as file:
                file.write(entries)
                file.flush()
                os.fsync(file.fileno())
            status = segment.stat()
            os.chown(made, status.st_uid, status.st_gid)
            made.chmod(status.st_mode & 0o777)
            made.replace(segment)


def is_holed(content: bytes) -> bool:
    """Whether there are entries behind what is none; a torn end may be one that is being written."""
    return not content.startswith(whole_entries(content))


def whole_entries(content: bytes) -> bytes:
    """The entries of a segment, without zeros between them and without a torn end."""
    kept, at = [], 0
    while at + ENTRY.size <= len(content):
        kind, length = ENTRY.unpack_from(content, at)
        end = at + ENTRY.size + length
        if kind in ENTRY_KINDS and end <= len(content):
            kept.append(content[at:end])
            at = end
        elif kind == 0:
            at = len(content) - len(content[at:].lstrip(b"\0"))
        else:
            break
    return b"".join(kept)


def refusal() -> str | None:
    """Write a point, the same all day, as the first who may; why the database will not, if it answers so."""
    wanted = json.loads(USERS.read_text())
    writers = [each for each in wanted["users"].items() if each[1]["privilege"] != "READ"]
    if not writers:
        return None
    writer, user = writers[0]
    [name] = user["databases"]
    point = f"mender written=1i {int(time.time()) // 86_400 * 86_400}"
    credentials = base64.b64encode(f"{writer}:{user['password']}".encode()).decode()
    request = urllib.request.Request(
        f"{wanted['url']}/write?db={name}&precision=s", point.encode(), {"Authorization": f"Basic {credentials}"}
    )
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS):
            return None
    except urllib.error.HTTPError as error:
        if error.code < 500:
            return None
        time.sleep(AGAIN_SECONDS)
        return error.read().decode(errors="replace").strip()[:200]
    except OSError:
        return None


def state(container: str) -> str:
    """As Docker tells it; nothing where there is no such container."""
    return docker("inspect", "--format={{.State.Status}}", container).stdout.strip()


def docker(*words: str) -> "subprocess.CompletedProcess[str]":
    """Ask Docker."""
    return subprocess.run(["docker", *words], capture_output=True, text=True, check=False)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
