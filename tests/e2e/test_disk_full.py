"""A data disk that fills up in a running site, and is freed."""

import json

import pytest

from components.iot_stack.on_node.mend import MENDED
from lab.sensors import Reading, mosquitto_pub, now_ms, on_node, query
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


def mended(oslo: Stack) -> str:
    """What the node had to mend since the test began: the notes are empty then."""
    return on_node(oslo, f"sudo cat {MENDED} 2> /dev/null || true")


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
    assert "started anew" in " ".join(json.loads(told)["problems"])
