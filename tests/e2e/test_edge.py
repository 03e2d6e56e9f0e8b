"""The edge command on a site that runs."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from config.derive import Seed, identity_key, wireguard_key
from config.loader import PROJECT, REGISTRY
from lab.stacks import Stack
from tests.e2e.registered import registered
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
    # What another test raised an alarm for may not be over yet.
    assert printed.splitlines()[-1].startswith("the node is well; " if "\nalarm  " in printed else "all is well")


@pytest.mark.long
def test_another_seed_takes_three_steps_and_keeps_the_data(oslo: Stack, tmp_path: Path) -> None:
    """On a copy of the stack file: what an update would do is a preview's word here, and other tests replace VMs."""
    file = tmp_path / "Pulumi.oslo.yaml"
    file.write_text(oslo.config_file.read_text())

    def step(*words: str) -> Any:
        done = oslo.shell(f"bin/edge reseed oslo {' '.join(words)} --config-file {file}")
        assert done.returncode == 0, done.stderr
        return yaml.safe_load(file.read_text())["config"]

    def seed(key: str) -> Seed:
        return Seed.parse(oslo.shell(f"pulumi config get {PROJECT}:{key} --stack oslo --config-file {file}").stdout)

    def keys() -> dict[str, Any]:
        entry = yaml.safe_load((REGISTRY / "oslo.yaml").read_text())
        return {key: value for key, value in entry.items() if key.endswith("Key")}

    def preview() -> str:
        done = oslo.shell(f"pulumi preview --diff --stack oslo --config-file {file}")
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    with registered():
        before = keys()
        step()
        following = seed("nextSeed")
        new = {"tunnelKey": wireguard_key(following, "oslo", 2), "identityKey": identity_key(following, "oslo", 2)}
        assert keys() == before | {f"next{name[0].upper()}{name[1:]}": key.public for name, key in new.items()}
        assert "to replace" not in preview()
        again = oslo.shell(f"bin/edge reseed oslo --config-file {file}")
        assert (again.returncode, "has fjord-edge:nextSeed already" in again.stderr) == (1, True)
        switched = step("--switch")
        assert seed("seed") == following
        assert seed("formerSeed") == oslo.seed
        assert keys() == {name: key.public for name, key in new.items()}
        assert switched[f"{PROJECT}:site"]["epochs"] == {"wireguard": 2, "identity": 2, "backup": 2}
        planned = preview()
        assert "libvirt:index/domain:Domain: (replace)" in planned
        assert "oslo-data]" not in planned
        too_early = oslo.shell(f"bin/edge reseed oslo --finish --config-file {file}")
        assert (too_early.returncode, "last update was not by this seed" in too_early.stderr) == (1, True)
        assert seed("formerSeed") == oslo.seed
