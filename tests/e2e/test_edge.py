"""The edge command on a site that runs."""

import json

from lab.stacks import Stack
from tests.e2e.waiting import eventually


def test_doctor_finds_a_hypervisor_that_carries_its_node(oslo: Stack) -> None:
    done = oslo.shell(f"bin/edge doctor oslo --json --config-file {oslo.config_file}")
    assert done.returncode == 0, done.stdout + done.stderr
    passed = {check["name"]: check["passed"] for check in json.loads(done.stdout)}
    assert [name for name, well in passed.items() if well is None] == ["kvm", "space", "nvme"]


def test_status_tells_the_facts_and_that_all_is_well(oslo: Stack) -> None:
    command = f"bin/edge status oslo --config-file {oslo.config_file}"
    # A clock is synchronised some minutes after its boot.
    assert eventually(lambda: oslo.shell(command).returncode == 0, 180), oslo.shell(command).stdout
    printed = oslo.shell(command).stdout
    assert "sysctls net.ipv4.tcp_congestion_control  bbr" in printed
    assert "(healthy)" in printed
    assert printed.endswith("all is well\n")
