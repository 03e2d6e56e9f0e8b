"""What changes in a node's life changes in place."""

import pytest

from lab.console import LabError
from lab.sensors import on_node
from lab.stacks import Stack

BOOT_ID = "cat /proc/sys/kernel/random/boot_id"
OTHER_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB other"


def test_an_edited_sysctl_and_key_are_in_force_and_replace_no_vm(hq: Stack) -> None:
    boot, keys = on_node(hq, BOOT_ID), list(hq.site.node.authorized_keys)
    with (
        hq.edited("node", "sysctls", value={"vm.swappiness": "7"}),
        hq.edited("node", "authorizedKeys", value=[*keys, OTHER_KEY]),
    ):
        assert set(hq.preview()) == {"same", "update"}
        hq.up()
        assert on_node(hq, "/sbin/sysctl --values vm.swappiness").strip() == "7"
        assert on_node(hq, "cat .ssh/authorized_keys").splitlines() == [*keys, OTHER_KEY]
        assert set(hq.preview()) == {"same"}
    hq.up()
    assert on_node(hq, "cat .ssh/authorized_keys").splitlines() == keys
    assert on_node(hq, BOOT_ID) == boot


def test_a_sysctl_that_the_kernel_refuses_or_reads_otherwise_fails_the_update(hq: Stack) -> None:
    for value in ("201", "007"):
        with hq.edited("node", "sysctls", value={"vm.swappiness": value}), pytest.raises(LabError):
            hq.up()
    hq.up()
    assert 'sysctl: setting key "vm.swappiness": Invalid argument' in hq.log
    assert "vm.swappiness: asked '007', found '7'" in hq.log


@pytest.mark.parametrize("port", [111, 8086])
def test_a_port_that_is_not_served_does_not_answer(oslo: Stack, port: int) -> None:
    address = oslo.site.node.network.address.ip
    line = f"timeout 5 bash -c 'exec 3<> /dev/tcp/{address}/{port}'"
    assert oslo.shell(line).returncode == 124
