"""What the hypervisor does for a node: a bigger data disk, a crash, and the checks before anything is made."""

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from components.edge_node import hypervisor as programs
from components.edge_node.on_hypervisor.keep_running import LOOK_SECONDS
from config.iot import POWER_CUT_SECONDS
from config.loader import REGISTRY
from config.registry import load_registry
from lab import hypervisor
from lab.boot import analysed
from lab.console import LabError
from lab.drills import RATE, kill_qemu, power_cuts
from lab.hypervisor import ROOT, inside_command
from lab.sensors import at_headquarters, now_ms, on_node
from lab.stacks import Stack
from tests.e2e.waiting import eventually

DATA_SIZE = "sudo blockdev --getsize64 /dev/disk/by-id/virtio-fjord-data"
FREE = "df --output=size --block-size=1G /srv/fjord-edge | tail -n 1"
NUMBERS = "/srv/fjord-edge/numbers"
BOOT_ID = "cat /proc/sys/kernel/random/boot_id"


def inside(*words: str, stdin: str = "") -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        inside_command(list(words)), input=stdin, capture_output=True, text=True, timeout=120, check=False
    )


def answers(stack: Stack) -> str:
    try:
        return on_node(stack, BOOT_ID)
    except (LabError, subprocess.TimeoutExpired):
        return ""


def answers_through_the_tunnel(stack: Stack) -> bool:
    return on_node(stack, "ping -n -q -c 1 -W 2 10.100.0.1 > /dev/null && echo there || true").strip() == "there"


@pytest.fixture
def growing(hq: Stack) -> Iterator[int]:
    """A bigger size for hq's data disk, GiB; what the program never does is done by hand afterwards: it shrinks."""
    size = hq.site.node.data_disk_gib
    with hq.edited("node", "dataDiskGib", value=size + 2):
        yield size + 2
    disk = "/dev/disk/by-id/virtio-fjord-data"
    # A stopped Docker leaves its containers running, and they hold the disk.
    on_node(hq, "sudo docker stop $(sudo docker ps -q) && sudo systemctl stop docker.service docker.socket")
    on_node(hq, f"sudo sh -c 'umount /srv/fjord-edge; e2fsck -fp {disk}; resize2fs {disk} {size}G'")
    inside("virsh", "blockresize", "hq", "vdb", f"{size}G")
    on_node(hq, "sudo systemctl restart 'srv-fjord\\x2dedge.mount' && sudo systemctl start docker.service")
    on_node(hq, "sudo docker start $(sudo docker ps -aq)")
    hq.up()


def test_a_bigger_data_disk_grows_under_the_running_node(hq: Stack, growing: int) -> None:
    boot, before = on_node(hq, BOOT_ID), growing - 2
    assert set(hq.preview()) == {"same", "update"}
    hq.up()
    assert set(hq.preview()) == {"same"}
    assert on_node(hq, DATA_SIZE).strip() == str(growing << 30)
    assert int(on_node(hq, FREE)) > before
    assert on_node(hq, BOOT_ID) == boot
    smaller = preflight(hq, data_disk_gib=before)["data-disk"]
    assert smaller["found"] == f"{growing} GiB"
    assert smaller["remedy"] == f"a data disk never shrinks; write dataDiskGib: {growing}"


@pytest.fixture
def writing(hq: Stack) -> Iterator[Callable[[], int]]:
    """Numbers that hq writes to its data disk, each one synced before the next; asked for, the last one.

    Of a number that was not synced yet a power cut may leave zeros.
    """
    line = f"i=0; while :; do i=$((i+1)); echo $i >>{NUMBERS}; sync {NUMBERS}; done"
    on_node(hq, f"sudo systemd-run --quiet --unit=drill sh -c '{line}'")
    yield lambda: int(on_node(hq, f"(echo 0; cat {NUMBERS}) | grep --text '^[0-9]*$' | tail -n 1"))
    on_node(hq, f"sudo rm {NUMBERS}")


def test_a_node_whose_qemu_is_killed_while_it_writes_comes_back_by_itself(
    hq: Stack, writing: Callable[[], int]
) -> None:
    boot = on_node(hq, BOOT_ID)
    assert eventually(writing, 30)
    written = writing()
    kill_qemu("hq")
    assert eventually(lambda: answers(hq) not in ("", boot), 180)
    # The number that was read last may still have been on its way to the disk.
    assert writing() >= written - 1
    assert on_node(hq, "systemctl is-system-running --wait").strip() == "running"
    assert set(hq.preview("--refresh")) == {"same"}


def restart_hypervisor(_: str) -> None:
    """Its power goes, with all that it runs, and comes back; headquarters does not get far."""
    hypervisor.stop()
    hypervisor.start()
    assert eventually(lambda: inside("virsh", "suspend", "hq").returncode == 0, 60)


def test_after_the_hypervisors_power_cut_its_nodes_run_with_every_reading_and_all_in_force(
    hq: Stack, oslo: Stack
) -> None:
    boot = on_node(oslo, BOOT_ID)
    # What was switched off on purpose stays off, until its hypervisor starts anew.
    assert inside("virsh", "destroy", "hq").returncode == 0
    time.sleep(2 * LOOK_SECONDS)
    assert inside("virsh", "domstate", "hq").stdout.strip() == "shut off"
    [cut] = power_cuts(oslo, 1, cut=restart_hypervisor)
    assert cut.acknowledged > RATE
    assert cut.age <= POWER_CUT_SECONDS, cut
    assert on_node(oslo, BOOT_ID) != boot
    assert not answers_through_the_tunnel(oslo), "it booted without headquarters"
    back = now_ms()
    assert inside("virsh", "resume", "hq").returncode == 0
    for stack in (hq, oslo):
        assert eventually(lambda: answers(stack), 240)  # noqa: B023
        assert on_node(stack, "systemctl is-system-running --wait").strip() == "running"
        assert on_node(stack, "/sbin/sysctl --values net.ipv4.tcp_congestion_control").strip() == "bbr"
        assert on_node(stack, "/sbin/tc qdisc show dev eth0 root").startswith("qdisc fq ")
        assert "policy drop" in on_node(stack, "sudo nft list chain inet fjord_edge input")
    assert eventually(lambda: answers_through_the_tunnel(oslo), 120)
    assert eventually(lambda: at_headquarters(hq, "oslo", f"SELECT waiting FROM site WHERE time >= {back}ms"), 120)
    found = analysed(oslo)
    assert found.units
    assert found.modules


@pytest.mark.usefixtures("hq")
def test_the_first_boot_disk_is_out_and_roots_alone() -> None:
    assert ".iso" not in inside("virsh", "domblklist", "hq").stdout
    [iso] = (ROOT / "srv/nvme/fjord-edge/hq").glob("*.iso")
    assert iso.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("check", ["libvirt", "network", "image", "data-disk", "management"])
def test_the_checks_that_the_lab_does_not_skip_pass(hq: Stack, check: str) -> None:
    results = preflight(hq)
    assert results[check]["passed"] is True, results[check]


def preflight(stack: Stack, **changed: object) -> dict[str, dict[str, object]]:
    """What the checks say, asked by hand."""
    node = stack.site.node.model_copy(update=changed)
    program = programs.preflight(stack.name, node, load_registry(REGISTRY).networks)
    return {result["name"]: result for result in json.loads(inside("python3", "-", stdin=program).stdout)}


NVME = "/srv/nvme/fjord-edge/hq/test-nvme.raw"


def monitor(command: str) -> None:
    inside("virsh", "qemu-monitor-command", "hq", "--hmp", command)


@pytest.fixture
def nvme(hq: Stack) -> Iterator[str]:
    """A folder in the guest on an NVMe disk, which QEMU emulates and which is plugged in for the while."""
    folder = "/run/test-nvme"
    inside("truncate", "--size=64M", NVME)
    monitor(f"drive_add 0 if=none,id=test-nvme,file={NVME},format=raw")
    monitor("device_add nvme,serial=test,drive=test-nvme,id=test-nvme-disk")
    assert eventually(lambda: on_node(hq, "ls /dev/nvme0n1 2> /dev/null || true"), 30)
    on_node(hq, f"sudo sh -c 'mkfs.ext4 -q /dev/nvme0n1 && mkdir {folder} && mount /dev/nvme0n1 {folder}'")
    yield folder
    on_node(hq, f"sudo umount {folder}")
    monitor("device_del test-nvme-disk")
    inside("rm", NVME)


def test_the_disk_check_passes_on_nvme_and_refuses_virtio(hq: Stack, nvme: str) -> None:
    program = (Path(programs.__file__).parent / "on_hypervisor/preflight.py").read_text()
    program += "\nprint(json.dumps([nvme({'pool': pool})[:2] for pool in sys.argv[1:]]))\n"
    said = on_node(hq, f"sudo python3 - {nvme} /srv/fjord-edge", stdin=program)
    assert json.loads(said) == [[True, "/dev/nvme0n1 on nvme0n1"], [False, "/dev/vdb on vdb"]]
