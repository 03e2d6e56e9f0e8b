#!/usr/bin/env python3
"""Runs on the node: reads back what the kernel really does, compares it with what was asked, prints it as JSON."""

import json
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

FAILED_UNITS = ("systemctl", "list-units", "--failed", "--plain", "--no-legend")

#: ip_local_port_range begins here: a client's own port, to which nobody is invited.
FIRST_EPHEMERAL_PORT = 32768

FIRST_BOOT = Path("/var/lib/cloud/data/result.json")
LAST_BACKUP = Path("/var/lib/fjord-edge/last-backup.json")
MENDED = Path("/var/lib/fjord-edge/mended.jsonl")

#: What was mended is told for so long.
MENDED_SECONDS = 7 * 86_400

DATA_DISK = "/dev/disk/by-id/virtio-fjord-data"


def main(asked_file: str) -> int:
    """Print the facts; each that is not as asked is named on standard error with both values, and the status is 1."""
    if asked_file == "--live":
        print(json.dumps(live_facts(), sort_keys=True))
        return 0
    asked = json.loads(Path(asked_file).read_text())
    found = read_facts(asked)
    print(json.dumps(found, sort_keys=True))
    wrong = mismatches(asked, found)
    for line in wrong:
        print(f"not as asked: {line}", file=sys.stderr)
    return 1 if wrong else 0


def mismatches(asked: dict[str, Any], found: dict[str, Any], path: str = "") -> list[str]:
    """List every asked value that was not found, with both values."""
    wrong = []
    for key, value in asked.items():
        here = f"{path}{key}"
        if isinstance(value, dict):
            wrong += mismatches(value, found.get(key) or {}, f"{here}: ")
        elif found.get(key) != value:
            wrong.append(f"{here}: asked {value!r}, found {found.get(key)!r}")
    return wrong


def read_facts(asked: dict[str, Any]) -> dict[str, Any]:
    """Read the node; the asked sysctls and interfaces say which ones are looked at."""
    return {
        "kernel": output("uname", "-r"),
        "sysctls": {key: sysctl(key) for key in asked["sysctls"]},
        "qdiscs": {interface: root_qdisc(interface) for interface in asked["qdiscs"]},
        "firewall": input_policy(),
        "dataDiskGib": data_disk_gib(),
        "mounts": {target: mount_source(target) for target in asked["mounts"]},
        "disks": disks(),
        "listening": listening(),
        "docker": output("docker", "version", "--format", "{{.Server.Version}}"),
        "firstBoot": first_boot(),
    }


def live_facts() -> dict[str, Any]:
    """Read what varies from one moment to the next, and so is no part of the state."""
    uptime, load = Path("/proc/uptime").read_text().split()[0], Path("/proc/loadavg").read_text().split()[:3]
    memory = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    return {
        "clockSynchronized": output("timedatectl", "show", "--property=NTPSynchronized", "--value") == "yes",
        "time": int(time.time()),
        "uptimeSeconds": int(float(uptime)),
        "load": " ".join(load),
        "memoryAvailableMib": int(memory["MemAvailable"].split()[0]) >> 10,
        "freeGib": {path: shutil.disk_usage(path).free >> 30 for path in ("/", "/srv/fjord-edge")},
        "bootSeconds": boot_seconds(),
        "lastBackup": last_backup(),
        "mended": mended(),
        "rebootRequired": Path("/run/reboot-required").exists(),
        "clockOffsetSeconds": clock_offset(),
        "failedUnits": [line.split()[0] for line in output(*FAILED_UNITS).splitlines()],
    }


def first_boot() -> str:
    """How cloud-init ended, which runs in no later boot."""
    if not FIRST_BOOT.exists():
        return "not ended"
    return "; ".join(json.loads(FIRST_BOOT.read_text())["v1"]["errors"]) or "done"


def disks() -> dict[str, dict[str, Any]]:
    """The disks by serial number, or name where there is none: size in GiB, and whether they discard."""
    listed = json.loads(output("lsblk", "--json", "--bytes", "--nodeps", "--output", "NAME,SERIAL,SIZE,DISC-GRAN,TYPE"))
    return {
        disk["serial"] or disk["name"]: {"gib": disk["size"] >> 30, "discards": bool(disk["disc-gran"])}
        for disk in listed["blockdevices"]
        if disk["type"] == "disk"
    }


def listening() -> list[str]:
    """Who listens beyond the node itself: protocol, port, program. A container's port is Docker's and not in here."""
    found = set()
    for line in output("ss", "--no-header", "--numeric", "--listening", "--processes", "--tcp", "--udp").splitlines():
        words = line.split()
        address, _, port = words[4].rpartition(":")
        programs = re.findall(r'"([^"]+)"', line)
        own = address.startswith(("127.", "[::1]")) or "docker-proxy" in programs
        answer_to_itself = words[0] == "udp" and int(port) >= FIRST_EPHEMERAL_PORT
        if programs and not own and not answer_to_itself:
            found.add(f"{words[0]}/{port} {programs[0]}")
    return sorted(found)


def last_backup() -> dict[str, Any] | None:
    """What the backup wrote down when it was last whole, with its age; nothing where there was none on this node."""
    if not LAST_BACKUP.exists():
        return None
    last = json.loads(LAST_BACKUP.read_text())
    return {"snapshot": last["snapshot"][:8], "ageSeconds": int(time.time()) - last["time"]}


def mended() -> list[dict[str, Any]]:
    """What the node lately had to mend itself: when, epoch seconds, and what."""
    lines = MENDED.read_text().splitlines() if MENDED.exists() else []
    return [each for each in map(json.loads, lines) if time.time() - each["time"] < MENDED_SECONDS]


def clock_offset() -> float | None:
    """How far the clock was from its server's at the last answer, seconds; nothing before the first."""
    said = output("timedatectl", "timesync-status")
    found = re.search(r"Offset: ([+-][0-9.]+)(us|ms|s)\b", said)
    return float(found[1]) * {"us": 1e-6, "ms": 1e-3, "s": 1.0}[found[2]] if found else None


def boot_seconds() -> float | None:
    """From the kernel's start to the last service of the boot; nothing while it boots."""
    microseconds = output("systemctl", "show", "--property=FinishTimestampMonotonic", "--value")
    return round(int(microseconds) / 1e6, 1) if microseconds not in ("", "0") else None


def sysctl(key: str) -> str:
    """Read a sysctl, its values separated by single spaces."""
    return " ".join(Path("/proc/sys", key.replace(".", "/")).read_text().split())


def root_qdisc(interface: str) -> str:
    """Name the queueing discipline at an interface's root, or nothing, also where there is no such interface."""
    qdiscs = json.loads(output("tc", "-json", "qdisc", "show", "dev", interface, "root") or "[]")
    return qdiscs[0]["kind"] if qdiscs else ""


def data_disk_gib() -> int:
    """Size of the data disk, GiB."""
    size = output("blockdev", "--getsize64", DATA_DISK)
    return int(size or 0) >> 30


def input_policy() -> str:
    """What the firewall does with what no rule accepts, or nothing where it is not in force."""
    listed = json.loads(output("nft", "--json", "list", "chain", "inet", "fjord_edge", "input") or '{"nftables": []}')
    return "".join(part["chain"]["policy"] for part in listed["nftables"] if "chain" in part)


def mount_source(target: str) -> str:
    """Name the label of the file system mounted at a path, or nothing."""
    return output("findmnt", "--noheadings", "--output", "LABEL", "--mountpoint", target)


def output(*command: str) -> str:
    """Run a command; a failing one says nothing."""
    done = subprocess.run(command, stdout=subprocess.PIPE, check=False)
    return done.stdout.decode().strip()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
