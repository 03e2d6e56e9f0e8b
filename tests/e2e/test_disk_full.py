"""What a node mends itself: after its data disk was full, and a hole in its database's log."""

import json

import pytest

from components._influxdb import ADMIN, INFLUXDB_PORT
from components._mender.on_node.mend import MENDED
from components.summary_store import database
from config import derive
from config.loader import REGISTRY
from config.registry import load_registry
from lab.sensors import Reading, at_headquarters, mosquitto_pub, now_ms, on_node, query
from lab.stacks import Stack
from tests.e2e.test_alarms import alarm_of, raised
from tests.e2e.waiting import eventually

BALLAST = "/srv/fjord-edge/influxdb/ballast"

#: All the room that any user but the broker's and root has.
FILL = f"""\
cd /srv/fjord-edge
as_database="setpriv --reuid=8086 --regid=8086 --clear-groups"
$as_database fallocate --length $(df --output=avail --block-size=1 . | tail -1) {BALLAST} || true
$as_database dd if=/dev/zero of={BALLAST} bs=4k oflag=append conv=notrunc || true
"""

#: The database has in memory what it could not write, and answers queries with it: it is not kept.
REFUSED = "docker logs --since 60s telegraf 2>&1"

DISK = "alerts/oslo/node/disk"
SENSOR, QUANTITY, READINGS = "pen1-temp", "temperature", 200


def missing(oslo: Stack, since: int) -> set[int]:
    rows = query(oslo, f"SELECT value FROM reading WHERE sensor = '{SENSOR}' AND time >= {since}ms")
    return set(range(since, since + READINGS)) - {row["time"] for row in rows}


def mended(stack: Stack) -> str:
    """What the node had to mend since the test began: the notes are empty then."""
    return on_node(stack, f"sudo cat {MENDED} 2> /dev/null || true")


@pytest.mark.long
def test_what_is_acknowledged_then_is_stored_once_there_is_room_and_nobody_helps(oslo: Stack) -> None:
    since = now_ms()
    on_node(oslo, f"sudo rm --force {MENDED}")
    on_node(oslo, "sudo sh -e", stdin=FILL)
    try:
        lines = "\n".join(Reading(SENSOR, QUANTITY, 8.5, since + number).payload for number in range(READINGS))
        assert mosquitto_pub(oslo, SENSOR, f"sensors/{SENSOR}/{QUANTITY}", None, "-l", stdin=lines).returncode == 0
        assert alarm_of(oslo, DISK, 90)["rule"] == "disk"
        assert "no space left on device" in on_node(oslo, REFUSED), "the disk was not full, this shows nothing"
    finally:
        on_node(oslo, f"sudo rm {BALLAST}")
    assert eventually(lambda: "started anew" in mended(oslo), 240), "it is not in the node's own notes"
    assert eventually(lambda: not missing(oslo, since), 120), len(missing(oslo, since))
    assert eventually(lambda: DISK not in raised(oslo), 90)
    told = oslo.shell(f"bin/edge status --config-file {oslo.config_file} oslo --json").stdout
    assert "started anew" in " ".join(json.loads(told)["mended"])


#: Entries behind zeros, as the database leaves them once its log's last entry was torn; nobody else writes to this one.
HOLE = f"""\
import pathlib, struct
segment = max(pathlib.Path("/srv/fjord-edge/influxdb/wal/{database("tromso")}").rglob("*.wal"))
content = segment.read_bytes()
[length] = struct.unpack_from(">I", content, 1)
with segment.open("ab") as log:
    log.write(bytes(9) + content[:5 + length])
"""


def test_headquarters_finds_a_hole_in_its_stores_log_and_takes_it_out(hq: Stack) -> None:
    on_node(hq, f"sudo rm --force {MENDED}")
    address = load_registry(REGISTRY).entries["hq"].address
    administrator = derive.influxdb_password(hq.seed, "hq", ADMIN, hq.site.epochs.passwords)
    url = f"http://{address}:{INFLUXDB_PORT}/write?db={database('tromso')}"
    options = f'user = "{ADMIN}:{administrator}"\nurl = "{url}"\ndata = "drill value=1i"\n'
    on_node(hq, "curl --fail-with-body --silent --show-error --config -", stdin=options)
    on_node(hq, "sudo python3 -", stdin=HOLE)
    # The timer would come within a minute.
    assert (
        on_node(hq, "systemctl is-active fjord-edge-mend.timer && sudo systemctl start fjord-edge-mend") == "active\n"
    )
    assert "a hole" in mended(hq)
    told = json.loads(hq.shell(f"bin/edge status --config-file {hq.config_file} hq --json").stdout)
    assert "a hole" in " ".join(told["mended"])
    assert told["services"]["watch"]["outbox"] == 0
    state = "docker ps --filter name=influxdb --format '{{.Status}}'"
    assert eventually(lambda: "(healthy)" in on_node(hq, state), 90)
    assert at_headquarters(hq, "tromso", "SELECT value FROM drill")
