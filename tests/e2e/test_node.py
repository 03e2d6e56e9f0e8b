"""What the kernels of the two guests say of themselves, read past the program's own facts."""

import re
import subprocess
from xml.etree import ElementTree

import pytest

from config.versions import FIXED_SYSCTLS
from lab.hypervisor import inside_command
from lab.sensors import on_node
from lab.stacks import Stack
from tests.test_golden import GOLDEN


@pytest.fixture(params=["hq", "oslo"])
def stack(request: pytest.FixtureRequest, stacks: dict[str, Stack]) -> Stack:
    return stacks[request.param]


@pytest.mark.parametrize("key", FIXED_SYSCTLS)
def test_each_sysctl_of_the_seed_is_in_force(stack: Stack, key: str) -> None:
    assert on_node(stack, f"/sbin/sysctl --values {key}").split() == FIXED_SYSCTLS[key].split()


def test_fq_paces_the_egress_interface(stack: Stack) -> None:
    assert on_node(stack, "/sbin/tc qdisc show dev eth0 root").startswith("qdisc fq ")


def test_a_new_connection_uses_bbr(stack: Stack) -> None:
    # The connection looked at is the one that asks.
    assert " bbr " in on_node(stack, "ss --tcp --info --no-header state established sport = :22")


def test_the_data_disk_is_found_by_its_serial_and_mounted(stack: Stack) -> None:
    source = on_node(stack, "findmnt --noheadings --output SOURCE /srv/fjord-edge").strip()
    assert on_node(stack, "readlink --canonicalize /dev/disk/by-id/virtio-fjord-data").strip() == source


def test_disks_are_as_asked_in_the_live_domain(stack: Stack) -> None:
    dumped = subprocess.run(
        inside_command(["virsh", "dumpxml", stack.name]), check=True, capture_output=True, text=True
    )
    domain = ElementTree.fromstring(dumped.stdout)  # noqa: S314  libvirt wrote it
    root, data = domain.findall("devices/disk[@device='disk']")
    for driver in (*root.findall("driver"), *data.findall("driver")):
        asked = {"cache": "none", "io": "io_uring", "discard": "unmap", "iothread": "1", "type": "qcow2"}
        asked["queues"] = domain.findtext("vcpu") or ""
        assert asked.items() <= driver.attrib.items()
    assert [layer.attrib["type"] for layer in root.findall("backingStore/format")] == ["qcow2"]
    assert data.findtext("serial") == "fjord-data"
    for interface in domain.findall("devices/interface"):
        found = interface.find("driver")
        # libvirt leaves a single queue unsaid.
        assert found is not None
        assert found.get("queues", "1") == domain.findtext("vcpu")
    assert [balloon.get("model") for balloon in domain.findall("devices/memballoon")] == ["none"]


def test_cloud_init_ended_without_a_complaint(stack: Stack) -> None:
    # In a later boot it tells how the first one ended.
    status = on_node(stack, "cloud-init status --long")
    assert "status: done" in status
    assert "errors" not in status
    assert (
        on_node(stack, "sudo grep --count --extended-regexp 'WARNING|ERROR' /var/log/cloud-init.log || true") == "0\n"
    )


@pytest.mark.parametrize("site", ["hq", "oslo", "small-farm"])
def test_cloud_init_accepts_what_three_sites_that_differ_bring(hq: Stack, site: str) -> None:
    user_data = (GOLDEN / site / "cloud-init/user-data").read_text()
    assert "Valid cloud-config" in on_node(hq, "cloud-init schema --config-file /dev/stdin", stdin=user_data)


def test_the_journal_is_kept_and_bounded(stack: Stack) -> None:
    told = on_node(stack, "sudo journalctl --unit systemd-journald --output cat")
    assert re.search(r"^System Journal \(/var/log/journal/.* max 200\.0M", told, re.MULTILINE)


def test_no_password_opens_the_node(stack: Stack) -> None:
    settings = on_node(stack, "sudo /usr/sbin/sshd -T").splitlines()
    assert "passwordauthentication no" in settings
    assert "permitrootlogin no" in settings
