"""What happens to a node in its years: snapshots, backups, a lost hypervisor, upgrades."""

import json
import secrets
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from itertools import pairwise

import pytest

from components._influxdb import ADMIN, APPLY_USERS, INFLUXDB_PORT
from components.iot_stack.telegraf import DATABASE
from config import derive
from lab import nas
from lab.console import LabError
from lab.hypervisor import inside_command
from lab.paths import CHECKOUT
from lab.sensors import Reading, now_ms, on_node, publish, query
from lab.stacks import Stack
from tests.documented import blocks
from tests.e2e.running import containers
from tests.e2e.test_alarms import acknowledged_during, missing
from tests.e2e.waiting import eventually

POOL = "/srv/nvme/fjord-edge/oslo"


def edge(stack: Stack, words: str) -> "subprocess.CompletedProcess[str]":
    subcommand, _, more = words.partition(" ")
    return stack.shell(f"bin/edge {subcommand} {stack.name} {more} --config-file {stack.config_file}")


def succeeds(stack: Stack, words: str) -> str:
    done = edge(stack, words)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def published(oslo: Stack, value: float) -> Reading:
    """A reading that is stored."""
    reading = Reading("pen2-temp", "temperature", value, now_ms())
    publish(oslo, reading)
    assert eventually(lambda: is_stored(oslo, reading), 60)
    return reading


def is_stored(oslo: Stack, reading: Reading) -> bool:
    rows = query(oslo, f"SELECT value FROM reading WHERE sensor = '{reading.sensor}' AND time = {reading.time}ms")
    return [row["value"] for row in rows] == [reading.value]


def healthy(stack: Stack, names: set[str]) -> bool:
    states = dict(line.split(" ", 1) for line in on_node(stack, STATES).splitlines())
    return states.keys() == names and all("(healthy)" in state for state in states.values())


STATES = "docker ps --format '{{.Names}} {{.Status}}'"

KEPT = "/srv/fjord-edge/kept"

BOOT_ID = "cat /proc/sys/kernel/random/boot_id"


def test_a_snapshot_is_made_while_the_node_runs_and_brings_its_data_back(hq: Stack) -> None:
    on_node(hq, f"echo before | sudo tee {KEPT}")
    name = succeeds(hq, "snapshot").split()[-1]
    on_node(hq, f"echo after | sudo tee {KEPT}")
    assert name in succeeds(hq, "snapshot --list")
    succeeds(hq, f"restore {name} --yes")
    assert on_node(hq, f"cat {KEPT}; sudo rm {KEPT}") == "before\n"
    aside, kept = sorted(json.loads(succeeds(hq, "snapshot --list --json")), key=lambda each: str(each["name"]))[::-1]
    assert aside["name"].startswith("before-restore-")
    for each in (aside, kept):
        succeeds(hq, f"snapshot --delete {each['name']} --yes")
    assert json.loads(succeeds(hq, "snapshot --list --json")) == []
    assert set(hq.preview()) == {"same"}


def without_the_collectors_user(oslo: Stack) -> str:
    """A snapshot of a database that does not know who writes now, as after other passwords; its name."""
    epoch = oslo.site.epochs.passwords
    admin, *_ = derive.influxdb_passwords(oslo.seed, None, "oslo", ADMIN, epoch)
    user, _ = derive.collector_account(oslo.seed, "oslo", epoch)
    options = f'user = "{ADMIN}:{admin}"\nurl = "http://127.0.0.1:{INFLUXDB_PORT}/query"\n'
    options += f'data-urlencode = "q=DROP USER \\"{user}\\""\n'
    on_node(oslo, "docker stop telegraf")
    try:
        assert "error" not in on_node(oslo, "curl --fail --silent --show-error --config -", stdin=options)
        return succeeds(oslo, "snapshot").split()[-1]
    finally:
        on_node(oslo, f"sudo {APPLY_USERS} && docker start telegraf")


@pytest.mark.long
def test_after_a_snapshot_of_before_other_passwords_every_reading_that_the_broker_takes_is_stored(oslo: Stack) -> None:
    name, names, ends = without_the_collectors_user(oslo), set(containers(oslo)), threading.Event()
    with ThreadPoolExecutor(1) as pool:
        taken = pool.submit(acknowledged_during, oslo, ends)
        try:
            succeeds(oslo, f"restore {name} --yes")
            assert eventually(lambda: healthy(oslo, names), 240)
        finally:
            ends.set()
        readings = taken.result()
    # The node is off for longer than anything else lasts; what was taken before it is on the disk of before.
    *_, first = max(pairwise(readings), key=lambda two: two[1].time - two[0].time)
    after = readings[readings.index(first) :]
    assert len(after) > 5
    assert eventually(lambda: missing(oslo, after) == set(), 60)
    assert set(oslo.preview()) == {"same"}
    for each in json.loads(succeeds(oslo, "snapshot --list --json")):
        succeeds(oslo, f"snapshot --delete {each['name']} --yes")


def lose_oslo() -> None:
    """What a hypervisor that burns takes with it."""
    lines = (
        "rm --force /var/lib/fjord-edge/oslo.json",
        "virsh destroy oslo && virsh undefine oslo",
        "virsh pool-destroy fjord-edge-oslo && virsh pool-undefine fjord-edge-oslo",
        f"rm --recursive {POOL}",
    )
    subprocess.run(inside_command(["sh", "-ec", "\n".join(lines)]), check=True, capture_output=True)


def fill(oslo: Stack) -> None:
    """Store two megabytes that nothing makes much shorter, so that one would see them being sent again.

    They are ten days old: the database writes to the files of a day as long as more comes for that day.
    """
    last = now_ms() // 1000 - 864_000
    lines = [f'drill text="{secrets.token_urlsafe(384)}" {last - number}' for number in range(4_000)]
    user, password = derive.collector_account(oslo.seed, "oslo", oslo.site.epochs.passwords)
    url = f"http://127.0.0.1:{INFLUXDB_PORT}/write?db={DATABASE}&precision=s"
    on_node(oslo, "umask 077; cat >fill", stdin=f'user = "{user}:{password}"\nurl = "{url}"\n')
    ask = "curl --fail-with-body --silent --show-error --config fill --data-binary @- && rm fill"
    on_node(oslo, ask, stdin="\n".join(lines))


@pytest.fixture(scope="module")
def kept(oslo: Stack) -> list[Reading]:
    """Readings that are backed up."""
    fill(oslo)
    readings = [published(oslo, 6 + number / 8) for number in range(4)]
    succeeds(oslo, "backup")
    return readings


@pytest.mark.long
def test_an_older_backup_is_brought_back_by_hand(oslo: Stack) -> None:
    """By the lines of docs/operations.md."""
    [lines] = [block for block in blocks(CHECKOUT / "docs" / "operations.md", "sh") if "restic" in block]
    first = published(oslo, 6.5)
    older = json.loads(succeeds(oslo, "backup --json"))["snapshot"]
    later = published(oslo, 7.5)

    def answers() -> dict[str, bool]:
        """Nothing while the database starts."""
        with suppress(LabError):
            return {"first": is_stored(oslo, first), "later": is_stored(oslo, later)}
        return {}

    try:
        on_node(oslo, "sudo bash -e", stdin=lines.replace("<backup>", older))
        assert eventually(answers, 180) == {"first": True, "later": False}
    finally:
        back = "cd /srv/fjord-edge && test -d influxdb.before && docker stop influxdb && rm -r older influxdb"
        on_node(oslo, f"sudo bash -ec '{back} && mv influxdb.before influxdb && docker start influxdb'")
    assert eventually(answers, 180) == {"first": True, "later": True}


@pytest.mark.long
def test_a_backup_that_is_asked_for_no_more_is_made_no_more(oslo: Stack) -> None:
    """Nor can the node reach where it went; what lies there stays, and is gone on with when it is asked for again."""
    look = "systemctl is-active fjord-edge-backup.timer; sudo ls /etc/fjord-edge; true"
    before = json.loads(succeeds(oslo, "backup --json"))["snapshot"]
    try:
        with oslo.edited("backup", value=None):
            oslo.up()
            active, *folders = on_node(oslo, look).split()
            assert (active, set(oslo.preview())) == ("inactive", {"same"})
            assert "backup" not in folders
            assert edge(oslo, "backup").returncode == 1
    finally:
        oslo.up()
    active, *folders = on_node(oslo, look).split()
    assert active == "active"
    assert "backup" in folders
    assert json.loads(succeeds(oslo, "backup --list --json"))[-1]["snapshot"] == before[:8]


@pytest.mark.usefixtures("kept")
def test_what_lies_on_the_nas_is_encrypted() -> None:
    files = [path for path in nas.FOLDER.rglob("*") if path.is_file()]
    assert files
    for path in files:
        content = path.read_bytes()
        assert b"pen2-temp" not in content, path
        assert b"reading" not in content, path


@pytest.mark.long
def test_a_lost_node_is_replaced_and_has_every_reading_that_was_backed_up(oslo: Stack, kept: list[Reading]) -> None:
    before_it = sum(path.stat().st_size for path in nas.FOLDER.rglob("data/*/*"))
    made = json.loads(succeeds(oslo, "backup --json"))
    assert made["sentBytes"] < before_it / 4, "what was there is not sent again"
    count = "SELECT count(value) FROM reading"
    before = query(oslo, count)[0]["count"]
    assert edge(oslo, "replace-node --yes").returncode == 1, "its data disk is there"
    names = set(containers(oslo))
    lose_oslo()
    succeeds(oslo, "replace-node --yes")
    assert eventually(lambda: healthy(oslo, names), 180)
    assert query(oslo, count)[0]["count"] >= before
    assert all(is_stored(oslo, reading) for reading in kept)
    assert [each["snapshot"] for each in json.loads(succeeds(oslo, "backup --list --json"))][-1] == made["snapshot"][:8]
    assert set(oslo.preview()) == {"same"}


@pytest.mark.long
def test_data_outlives_its_vm_and_goes_by_a_word_of_its_own(hq: Stack) -> None:
    on_node(hq, f"echo kept | sudo tee {KEPT}; sync {KEPT}")
    first_boot, first_key = on_node(hq, BOOT_ID), hq.outputs["hostKey"]
    node = hq.site.node
    with (
        hq.edited("node", "memoryMib", value=node.memory_mib + 256),
        hq.edited("node", "generation", value=node.generation + 1),
    ):
        hq.up()
        assert set(hq.preview()) == {"same"}
        assert hq.outputs["hostKey"] != first_key
        assert on_node(hq, BOOT_ID) != first_boot
        assert int(on_node(hq, "awk '/MemTotal/ {print $2}' /proc/meminfo")) > node.memory_mib * 1024
        assert on_node(hq, f"cat {KEPT}") == "kept\n"
        assert edge(hq, "delete-data --yes").returncode == 1
        succeeds(hq, "destroy --yes")
        succeeds(hq, "delete-data --yes")
    left = subprocess.run(inside_command(["ls", "/srv/nvme/fjord-edge"]), check=True, capture_output=True, text=True)
    assert "hq" not in left.stdout.split()
    assert json.loads(hq.exported_state())["deployment"].get("resources", []) == []
    hq.up()


REPOSITORY = """\
set -e
mkdir -p /tmp/repository/DEBIAN
cd /tmp
for version in 1 2; do
    printf 'Package: fjord-probe\\nVersion: %s\\nArchitecture: all\\nMaintainer: nobody\\nDescription: a probe\\n' \
        $version >repository/DEBIAN/control
    printf '#!/bin/sh\n{configures}\n' >repository/DEBIAN/postinst
    chmod 755 repository/DEBIAN/postinst
    dpkg-deb --build repository fjord-probe_$version.deb >/dev/null
done
dpkg --install fjord-probe_1.deb
rm -r repository
index=archive/dists/{codename}/main/binary-amd64
mkdir -p $index
cp fjord-probe_2.deb archive/
( dpkg-deb --field archive/fjord-probe_2.deb
  echo "Filename: fjord-probe_2.deb"
  echo "Size: $(stat --format %s archive/fjord-probe_2.deb)"
  echo "SHA256: $(sha256sum archive/fjord-probe_2.deb | cut -d' ' -f1)" ) >$index/Packages
cd archive/dists/{codename}
( printf 'Origin: Debian\\nLabel: {label}\\nSuite: stable-security\\nCodename: {codename}\\n'
  printf 'Architectures: amd64\\nComponents: main\\nSHA256:\\n'
  echo " $(sha256sum main/binary-amd64/Packages | cut -d' ' -f1) $(stat --format %s main/binary-amd64/Packages)" \
      main/binary-amd64/Packages ) >Release
echo 'deb [trusted=yes] file:/tmp/archive {codename} main' >/etc/apt/sources.list
"""
VERSION = "dpkg-query --show --showformat '${Version}' fjord-probe"


@pytest.mark.parametrize(
    ("codename", "label", "version"),
    [("bookworm-security", "Debian-Security", "2"), ("bookworm", "Debian", "1")],
    ids=["security", "other"],
)
def test_security_upgrades_are_installed_and_others_are_not(hq: Stack, codename: str, label: str, version: str) -> None:
    with offered(hq, codename, label, configures="true"):
        on_node(hq, "sudo systemctl start fjord-edge-upgrades.service")
        assert on_node(hq, VERSION) == version


def test_the_windows_end_breaks_no_upgrade_off(hq: Stack) -> None:
    slowly = 'test "$2" != 1 || { touch /tmp/begun; sleep 10; touch /tmp/ended; }'
    with offered(hq, "bookworm-security", "Debian-Security", configures=slowly):
        on_node(hq, "sudo systemctl start --no-block fjord-edge-upgrades.service")
        assert eventually(lambda: on_node(hq, "ls /tmp/begun 2>/dev/null || true"), 120)
        on_node(hq, "sudo systemctl stop fjord-edge-upgrades.service")
        assert on_node(hq, "ls /tmp/ended")
        assert on_node(hq, f"{VERSION}; dpkg --audit") == "2"


@contextmanager
def offered(hq: Stack, codename: str, label: str, *, configures: str) -> Iterator[None]:
    """A package is installed, and a newer one of this origin offered, whose configuration is this line of shell."""
    on_node(hq, "sudo cp /etc/apt/sources.list /root/sources.list")
    try:
        on_node(hq, "sudo sh", stdin=REPOSITORY.format(codename=codename, label=label, configures=configures))
        yield
    finally:
        on_node(
            hq,
            "sudo sh -c 'mv /root/sources.list /etc/apt/sources.list; dpkg --purge fjord-probe; "
            "rm -rf /tmp/archive /tmp/fjord-probe_* /tmp/begun /tmp/ended'",
        )


def test_upgrades_come_in_the_sites_window(hq: Stack) -> None:
    timer = on_node(hq, "systemctl show --property=TimersCalendar fjord-edge-upgrades.timer")
    assert "OnCalendar=*-*-* 02:00:00 UTC" in timer
    assert timer.count("OnCalendar") == 1
    assert "2h" in on_node(hq, "systemctl show --property=TimeoutStartUSec fjord-edge-upgrades.service")
