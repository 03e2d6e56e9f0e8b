import json
import os
from pathlib import Path

import pytest
import yaml

from lab.hypervisor.root import _OWN_FILES as HYPERVISOR_FILES
from node_image.build import ENABLED, HERE

ROOTFS = HERE / "rootfs"
UNITS = ROOTFS / "etc/systemd/system"


@pytest.mark.parametrize("folder", [ROOTFS, HYPERVISOR_FILES])
def test_programs_are_executable_and_nothing_else_is(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            assert os.access(path, os.X_OK) == path.read_bytes().startswith(b"#!"), path


def test_every_enabled_unit_is_ours_and_says_when_it_starts() -> None:
    for unit in ENABLED:
        assert "WantedBy=multi-user.target" in (UNITS / unit).read_text()


def test_every_program_that_a_unit_starts_is_there() -> None:
    for unit in UNITS.glob("*.service"):
        command = next(line for line in unit.read_text().splitlines() if line.startswith("ExecStart="))
        assert (ROOTFS / command.removeprefix("ExecStart=").split()[0].lstrip("/")).is_file()


def test_docker_never_starts_without_the_data_disk() -> None:
    drop_in = (UNITS / "docker.service.d/fjord-edge.conf").read_text()
    assert "RequiresMountsFor=/srv/fjord-edge" in drop_in.splitlines()
    mount = (UNITS / r"srv-fjord\x2dedge.mount").read_text().splitlines()
    assert "Requires=fjord-edge-data-disk.service" in mount
    assert "Where=/srv/fjord-edge" in mount


def test_the_tuning_is_in_force_before_any_service() -> None:
    lines = (UNITS / "fjord-edge-tuning.service").read_text().splitlines()
    assert "Before=network-online.target docker.service ssh.service" in lines


def test_docker_bounds_its_logs_and_lets_containers_live_through_its_restart() -> None:
    settings = json.loads((ROOTFS / "etc/docker/daemon.json").read_text())
    assert settings["live-restore"] is True
    assert settings["log-opts"] == {"max-file": "3", "max-size": "10m"}


def test_cloud_init_asks_no_network_for_its_data() -> None:
    settings = yaml.safe_load((ROOTFS / "etc/cloud/cloud.cfg.d/90_fjord-edge.cfg").read_text())
    assert settings["datasource_list"] == ["NoCloud"]


def test_sshd_takes_no_passwords_and_no_root() -> None:
    lines = (ROOTFS / "etc/ssh/sshd_config.d/fjord-edge.conf").read_text().splitlines()
    assert {"PermitRootLogin no", "PasswordAuthentication no", "KbdInteractiveAuthentication no"} <= set(lines)
