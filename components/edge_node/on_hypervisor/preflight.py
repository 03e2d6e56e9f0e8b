#!/usr/bin/env python3
"""Runs on the hypervisor before anything is made there: can it carry this node, and is what lies there as pinned?"""

import fcntl
import hashlib
import ipaddress
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

GIB = 1 << 30

#: KVM_GET_API_VERSION of linux/kvm.h, and its only answer since Linux 2.6.22.
KVM_GET_API_VERSION, KVM_API_VERSION = 0xAE00, 12

VIRSH = ("virsh", "--connect", "qemu:///system")

#: Debian 12's.
LIBVIRT = (9, 0, 0)

#: Whether it passed, what was found, and the remedy.
Result = tuple[bool, str, str]


def main(asked: dict[str, Any]) -> int:
    """Print every check as JSON; each that failed is a line on standard error too, and the status is 1."""
    results = [result(name, asked) for name in CHECKS]
    print(json.dumps(results))
    failed = [check for check in results if check["passed"] is False]
    for check in failed:
        print(f"check {check['name']}: found {check['found']}; {check['remedy']}", file=sys.stderr)
    return 1 if failed else 0


def result(name: str, asked: dict[str, Any]) -> dict[str, Any]:
    """Run one check; `passed` is null where the site skips it."""
    if name in asked["skipChecks"]:
        return {"name": name, "passed": None, "found": "skipped by skipChecks", "remedy": ""}
    try:
        passed, found, remedy = CHECKS[name](asked)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        passed, found, remedy = False, f"{error}", "see that the hypervisor is set up as README.md says"
    return {"name": name, "passed": passed, "found": found, "remedy": "" if passed else remedy}


def kvm(_: dict[str, Any]) -> Result:
    """The kernel answers as KVM."""
    if not Path("/dev/kvm").exists():
        return False, "no /dev/kvm", "switch on virtualisation in the firmware and load kvm_intel or kvm_amd"
    device = os.open("/dev/kvm", os.O_RDWR | os.O_CLOEXEC)
    try:
        version = fcntl.ioctl(device, KVM_GET_API_VERSION)
    finally:
        os.close(device)
    return version == KVM_API_VERSION, f"KVM API {version}", "use a kernel with KVM"


def libvirt(_: dict[str, Any]) -> Result:
    """The daemon answers and is new enough."""
    said = output(*VIRSH, "version", "--daemon")
    version = next((line.split()[-1] for line in said.splitlines() if "daemon" in line), "0.0.0")
    new_enough = tuple(map(int, version.split("."))) >= LIBVIRT
    return new_enough, f"libvirt {version}", "install libvirt 9.0 or newer: Debian 12's libvirt-daemon-system"


def network(asked: dict[str, Any]) -> Result:
    """Every bridge and libvirt network that the node joins is there, and none is another's second name.

    The provider reads a network that stands for a bridge back as that bridge, and would replace the VM at each update.
    """
    missing = [f"bridge {name}" for name in asked["bridges"] if not Path("/sys/class/net", name, "bridge").is_dir()]
    active = output(*VIRSH, "net-list", "--name").split() if asked["networks"] else []
    missing += [f"active libvirt network {name}" for name in asked["networks"] if name not in active]
    if missing:
        return False, f"no {', no '.join(missing)}", "make it, or name another"
    for name in asked["networks"]:
        described = ElementTree.fromstring(output(*VIRSH, "net-dumpxml", name))  # noqa: S314  libvirt wrote it
        bridge = next((each.get("name") for each in described.iter("bridge")), None)
        if described.find("forward[@mode='bridge']") is not None:
            return False, f"libvirt network {name} is another name of the bridge {bridge}", f"write `bridge: {bridge}`"
    return True, ", ".join([*asked["bridges"], *asked["networks"]]), ""


def space(asked: dict[str, Any]) -> Result:
    """The pool's file system has room for the disks when they are full, less what they already take."""
    status = os.statvfs(existing(Path(asked["pool"])))
    free = status.f_bavail * status.f_frsize
    taken = sum(file.stat().st_blocks * 512 for file in Path(asked["pool"]).glob("*.qcow2"))
    lacking = asked["bytes"] - taken - free
    return lacking <= 0, f"{free / GIB:.1f} GiB free", f"free {lacking / GIB:.1f} GiB more below {asked['pool']}"


def nvme(asked: dict[str, Any]) -> Result:
    """The pool lies on NVMe, through whatever partitions, volumes or mirrors."""
    folder = existing(Path(asked["pool"]))
    source = output("findmnt", "--noheadings", "--output", "SOURCE", "--target", str(folder)).split("[")[0]
    disks = disks_below(source)
    found = f"{source} on {', '.join(disks) or 'no disk'}"
    passed = bool(disks) and all(is_nvme(disk) for disk in disks)
    return (
        passed,
        found,
        f"mount a file system on NVMe there, or name its folder in node.hypervisor.pool; {folder} is none",
    )


def image(asked: dict[str, Any]) -> Result:
    """The base image, where it already lies in the pool, has the pinned checksum."""
    path = Path(asked["image"]["path"])
    if not path.exists():
        return True, "not there yet", ""
    digest = sha256(path)
    remedy = f"delete it: virsh vol-delete {path}; the next update brings it anew"
    return digest == asked["image"]["sha256"], f"SHA-256 {digest}", remedy


def data_disk(asked: dict[str, Any]) -> Result:
    """The data disk, where there is one, is no larger than asked: it never shrinks."""
    path = Path(asked["dataDisk"]["path"])
    if not path.exists():
        return True, "not there yet", ""
    size = json.loads(output("qemu-img", "info", "--force-share", "--output=json", str(path)))["virtual-size"]
    remedy = f"a data disk never shrinks; write dataDiskGib: {-(-size // GIB)}"
    return size <= asked["dataDisk"]["bytes"], f"{size / GIB:g} GiB", remedy


def management(asked: dict[str, Any]) -> Result:
    """The address by which we came is not behind the guest that is to be made."""
    connection = os.environ.get("SSH_CONNECTION", "").split()
    if len(connection) != 4:
        return True, "not reached by SSH", ""
    address = ipaddress.ip_address(connection[2])
    remedy = f"give node.hypervisor.host an address outside the mesh {', '.join(asked['mesh'])}"
    inside = any(address in ipaddress.ip_network(network) for network in asked["mesh"])
    return not inside, f"reached at {address}", remedy


CHECKS = {
    "kvm": kvm,
    "libvirt": libvirt,
    "network": network,
    "space": space,
    "nvme": nvme,
    "image": image,
    "data-disk": data_disk,
    "management": management,
}


def existing(path: Path) -> Path:
    """The path, or its nearest parent that is there."""
    return next(folder for folder in (path, *path.parents) if folder.exists())


def disks_below(source: str) -> list[str]:
    """Name the physical disks below a block device: partitions, device mapper and md are looked through."""
    if not source.startswith("/dev/"):
        return []
    found, ahead = set(), [Path("/sys/class/block", os.path.realpath(source).rpartition("/")[2]).resolve()]
    while ahead:
        device = ahead.pop()
        if not device.exists():
            return []
        below = list(device.glob("slaves/*"))
        if (device / "partition").exists():
            ahead.append(device.parent)
        elif below:
            ahead += [slave.resolve() for slave in below]
        else:
            found.add(device.name)
    return sorted(found)


def is_nvme(disk: str) -> bool:
    """Whether a disk speaks NVMe and does not turn."""
    folder = Path("/sys/class/block", disk)
    subsystem = os.path.realpath(folder / "device" / "subsystem").rpartition("/")[2]
    return subsystem.startswith("nvme") and (folder / "queue" / "rotational").read_text().strip() == "0"


def sha256(path: Path) -> str:
    """SHA-256 of a file, hex."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def output(*command: str) -> str:
    """Run a command and return what it prints."""
    done = subprocess.run(command, capture_output=True, timeout=60, check=False)
    if done.returncode != 0:
        raise ValueError(f"{command[0]}: {done.stderr.decode().strip()}")
    return done.stdout.decode().strip()
