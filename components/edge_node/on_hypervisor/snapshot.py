#!/usr/bin/env python3
"""Runs on the hypervisor: copies of a site's data disk as of one moment, and the way back to one."""

import json
import os
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

#: A full disk of 100 GiB at 200 MB/s takes nine minutes.
COPY_SECONDS = 3600

#: What virsh says of a name that is no domain's.
NO_DOMAIN = "failed to get domain"

_BACKUP = """\
<domainbackup mode="push">
  <disks>
    <disk name="{disk}" type="file"><target file="{target}"/><driver type="qcow2"/></disk>
  </disks>
</domainbackup>
"""


class FailedError(Exception):
    """What could not be done, and what to do."""


def make(asked: dict[str, Any]) -> int:
    """Copy the data disk: of a running node while it runs, its file system held still for the moment it begins."""
    return told(_make, asked)


def show(asked: dict[str, Any]) -> int:
    """Print the snapshots, the oldest first."""
    found = [{"name": path.name, "gib": round(path.stat().st_blocks / (1 << 21), 2)} for path in snapshots(asked)]
    print(json.dumps(found))
    return 0


def delete(asked: dict[str, Any]) -> int:
    """Delete one snapshot."""
    return told(_delete, asked)


def restore(asked: dict[str, Any]) -> int:
    """Put a snapshot in the place of the data disk of a node that is off; what was there becomes a snapshot."""
    return told(_restore, asked)


def release(asked: dict[str, Any]) -> int:
    """Let go of a node of which no state is left, so that it can be made anew: its data disk becomes a snapshot."""
    return told(_release, asked)


def told(action: Any, asked: dict[str, Any]) -> int:
    """Do it; what failed is told on standard error."""
    try:
        print(json.dumps(action(asked)))
    except (FailedError, OSError, subprocess.SubprocessError) as failed:
        print(failed, file=sys.stderr)
        return 1
    return 0


def _make(asked: dict[str, Any]) -> dict[str, str]:
    disk, target = Path(asked["dataDisk"]), _new(asked, "")
    if not disk.exists():
        raise FailedError(f"there is no data disk {disk}; the first update makes it")
    _room(disk, target.parent)
    partial = target.with_name(f".{target.name}")
    if state(asked["domain"]) == "running":
        _copy_live(asked["domain"], disk, partial)
    else:
        checked("cp", "--sparse=always", str(disk), str(partial))
    partial.rename(target)
    return {"name": target.name}


def _copy_live(domain: str, disk: Path, target: Path) -> None:
    target.unlink(missing_ok=True)
    request = Path("/run") / f"fjord-edge-{domain}-snapshot.xml"
    request.write_text(_BACKUP.format(disk=_device(domain, disk), target=target))
    frozen = virsh("domfsfreeze", domain, "--mountpoint", "/srv/fjord-edge").returncode == 0
    if not frozen:
        print(f"the agent of {domain} does not answer: the copy is as after a power cut", file=sys.stderr)
    try:
        checked_virsh("backup-begin", domain, str(request))
    finally:
        if frozen:
            checked_virsh("domfsthaw", domain)
        request.unlink()
    deadline = time.monotonic() + COPY_SECONDS
    while "None" not in checked_virsh("domjobinfo", domain).splitlines()[0]:
        if time.monotonic() > deadline:
            virsh("domjobabort", domain)
            target.unlink(missing_ok=True)
            raise FailedError(f"the copy did not end within {COPY_SECONDS} s and was given up; the node runs on")
        time.sleep(0.5)
    ended = checked_virsh("domjobinfo", domain, "--completed")
    if "Completed" not in ended:
        target.unlink(missing_ok=True)
        raise FailedError(f"the copy failed: {ended}; look at the hypervisor's log; the node runs on")


def _delete(asked: dict[str, Any]) -> dict[str, str]:
    path = _existing(asked)
    path.unlink()
    return {"name": path.name}


def _restore(asked: dict[str, Any]) -> dict[str, str]:
    chosen, disk = _existing(asked), Path(asked["dataDisk"])
    if state(asked["domain"]) not in {"shut off", None}:
        raise FailedError(f"{asked['domain']} is not off; shut it down first")
    _room(chosen, disk.parent)
    partial = disk.with_name(f".{disk.name}")
    checked("cp", "--sparse=always", str(chosen), str(partial))
    if disk.exists():
        size = _size(disk)
        if _size(partial) < size:
            checked("qemu-img", "resize", "-q", str(partial), str(size))
        disk.rename(_new(asked, "before-restore-"))
    partial.rename(disk)
    if state(asked["domain"]) is not None:
        checked_virsh("start", asked["domain"])
    return {"name": chosen.name}


def _release(asked: dict[str, Any]) -> dict[str, str]:
    domain, pool, disk = asked["domain"], asked["pool"], Path(asked["dataDisk"])
    if state(domain) not in {"shut off", None}:
        raise FailedError(f"{domain} is not off; shut it down first")
    if state(domain) is not None:
        checked_virsh("undefine", domain)
    if virsh("pool-info", pool).returncode == 0:
        virsh("pool-destroy", pool)
        checked_virsh("pool-undefine", pool)
    Path(asked["record"]).unlink(missing_ok=True)
    if disk.exists():
        disk.rename(_new(asked, "before-release-"))
    for path in disk.parent.glob(f"{domain}-*"):
        path.unlink()
    # The newest: a release that was cut short had moved the disk already.
    return {"name": snapshots(asked)[-1].name} if snapshots(asked) else {}


def snapshots(asked: dict[str, Any]) -> list[Path]:
    """The snapshots there are, by the time in their names."""
    return sorted(Path(asked["folder"]).glob("*.qcow2"), key=lambda path: path.name.rpartition("-")[2])


def _existing(asked: dict[str, Any]) -> Path:
    for path in snapshots(asked):
        if path.name == asked["name"]:
            return path
    there = ", ".join(path.name for path in snapshots(asked)) or "none"
    raise FailedError(f"there is no snapshot {asked['name']}; there are: {there}")


def _new(asked: dict[str, Any], kind: str) -> Path:
    folder = Path(asked["folder"])
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder / f"{kind}{datetime.now(UTC):%Y%m%dT%H%M%SZ}.qcow2"


def _room(origin: Path, folder: Path) -> None:
    needed, status = origin.stat().st_blocks * 512, os.statvfs(folder)
    lacking = needed - status.f_bavail * status.f_frsize
    if lacking > 0:
        raise FailedError(f"{lacking / (1 << 30):.1f} GiB are lacking below {folder}; delete a snapshot")


def _device(domain: str, disk: Path) -> str:
    for line in checked_virsh("domblklist", domain, "--details").splitlines():
        words = line.split()
        if len(words) == 4 and Path(words[3]).name == disk.name:
            return words[2]
    raise FailedError(f"{domain} has no disk {disk.name}; look at virsh domblklist {domain}")


def _size(disk: Path) -> int:
    size: int = json.loads(checked("qemu-img", "info", "--output=json", str(disk)))["virtual-size"]
    return size


def state(domain: str) -> str | None:
    """Libvirt's word for how a domain is; None where there is none.

    Raises:
        FailedError: libvirt does not say. The guest may run, and its disk must not be taken from under it.
    """
    done = virsh("domstate", domain)
    if done.returncode == 0:
        return done.stdout.strip()
    if NO_DOMAIN in done.stderr:
        return None
    raise FailedError(
        f"libvirt does not say how {domain} is: {done.stderr.strip()}; nothing was changed. "
        "Look at systemctl status libvirtd"
    )


def checked_virsh(*words: str) -> str:
    """Ask libvirt, which must agree."""
    return checked("virsh", "--connect", "qemu:///system", *words)


def virsh(*words: str) -> "subprocess.CompletedProcess[str]":
    """Ask libvirt."""
    command = ["virsh", "--connect", "qemu:///system", *words]
    return subprocess.run(
        command, env=os.environ | {"LC_ALL": "C"}, capture_output=True, text=True, timeout=60, check=False
    )


def checked(*command: str) -> str:
    """Run a program, which must succeed."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=COPY_SECONDS, check=False)
    if done.returncode != 0:
        raise FailedError(f"{' '.join(command[:4])}: {done.stderr.strip()}")
    return done.stdout
