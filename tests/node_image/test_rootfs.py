import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab.hypervisor.root import _OWN_FILES as HYPERVISOR_FILES
from node_image.build import ENABLED, HERE
from tests.judges import judge

ROOTFS = HERE / "rootfs"
UNITS = ROOTFS / "etc/systemd/system"

#: What units start that Debian's packages bring.
OF_PACKAGES = {"/bin/sh", "/usr/bin/apt-get", "/usr/bin/unattended-upgrade"}


@pytest.mark.parametrize("folder", [ROOTFS, HYPERVISOR_FILES])
def test_programs_are_executable_and_nothing_else_is(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            assert os.access(path, os.X_OK) == path.read_bytes().startswith(b"#!"), path


def test_every_enabled_unit_is_ours_and_says_when_it_starts() -> None:
    for unit in ENABLED:
        target = "timers.target" if unit.endswith(".timer") else "multi-user.target"
        assert f"WantedBy={target}" in (UNITS / unit).read_text()


def test_every_program_that_a_unit_starts_is_there() -> None:
    for unit in UNITS.glob("*.service"):
        commands = [line for line in unit.read_text().splitlines() if line.startswith("ExecStart")]
        programs = re.findall(r"(?:^ExecStart\w*=|[' ])(/(?:usr|bin)[\w./-]+)", "\n".join(commands), re.MULTILINE)
        assert len(programs) >= len(commands) > 0
        for program in programs:
            assert (ROOTFS / program.lstrip("/")).is_file() or program in OF_PACKAGES


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


ROUTES = {
    "-json route show default": [{"dev": "eth0", "metric": 100}, {"dev": "eth2", "metric": 200}],
    "-6 -json route show default": [{"dev": "eth0", "metric": 100}, {"dev": "eth3", "metric": 300}],
}


@pytest.mark.parametrize(
    ("routes", "uplinks"), [(ROUTES, ["eth0", "eth2", "eth3"]), ({asked: [] for asked in ROUTES}, ["eth0"])]
)
def test_the_tuning_queues_fairly_on_each_uplink_of_either_family(
    tmp_path: Path, routes: dict[str, Any], uplinks: list[str]
) -> None:
    judge("jq", "--version")  # the program asks it
    answers = [f"'{asked}') echo '{json.dumps(answer)}' ;;" for asked, answer in routes.items()]
    script(tmp_path / "ip", 'case "$*" in', *answers, "*) exit 1 ;;", "esac")
    script(tmp_path / "tc", f'echo "$*" >>{tmp_path}/told')
    for name in ("modprobe", "nft", "sysctl"):
        script(tmp_path / name, "true")
    judge("env", f"PATH={tmp_path}:{os.environ['PATH']}", ROOTFS / "usr/local/lib/fjord-edge/tuning")
    told = (tmp_path / "told").read_text().splitlines()
    assert told == [f"qdisc replace dev {uplink} root fq" for uplink in uplinks]


def script(path: Path, *lines: str) -> None:
    path.write_text("\n".join(["#!/bin/sh", *lines]) + "\n")
    path.chmod(0o755)


def test_no_router_adds_an_address_and_no_route_outlives_its_link() -> None:
    settings = (ROOTFS / "etc/sysctl.d/80-fjord-edge.conf").read_text().splitlines()
    assert {
        "net.ipv6.conf.eth*.accept_ra = 0",
        "net.ipv4.conf.all.ignore_routes_with_linkdown = 1",
        "net.ipv6.conf.all.ignore_routes_with_linkdown = 1",
    } <= set(settings)


def test_the_first_boots_firewall_lets_in_ssh_alone() -> None:
    path = ROOTFS / "etc/fjord-edge/nftables.conf"
    rules = path.read_text()
    judge("unshare", "--map-root-user", "--net", "nft", "--check", "--file", path, program="nft")
    assert "policy drop;" in rules
    assert [line.strip() for line in rules.splitlines() if "dport" in line] == ["tcp dport 22 accept"]


def test_tuning_goes_on_after_a_sysctl_that_the_kernel_refuses(tmp_path: Path) -> None:
    for name, line in {"sysctl": "exit 1", "nft": "", "modprobe": "", "tc": "", "ip": "echo '[]'"}.items():
        script(tmp_path / name, f"echo {name} >>{tmp_path}/called", line)
    tuning = ROOTFS / "usr/local/lib/fjord-edge/tuning"
    judge("env", f"PATH={tmp_path}:{os.environ['PATH']}", tuning, expected_status=1)
    assert (tmp_path / "called").read_text().split() == ["nft", "modprobe", "sysctl", "ip", "ip", "tc"]


def test_only_security_upgrades_are_installed_and_nothing_reboots_on_its_own() -> None:
    settings = (ROOTFS / "etc/apt/apt.conf.d/60fjord-edge").read_text()
    assert "#clear Unattended-Upgrade::Origins-Pattern;" in settings
    assert settings.count("origin=") == settings.count("-security,") == 1
    assert 'Unattended-Upgrade::Automatic-Reboot "false";' in settings


def test_upgrades_come_from_debian() -> None:
    for line in (ROOTFS / "etc/apt/sources.list.debian").read_text().splitlines():
        assert line.split()[1].startswith(("http://deb.debian.org/", "http://security.debian.org/"))


def test_the_windows_end_is_told_to_the_program_that_ends_after_its_package() -> None:
    lines = (ROOTFS / "etc/systemd/system/fjord-edge-upgrades.service").read_text().splitlines()
    [upgrade] = [line for line in lines if line.startswith("ExecStart=")]
    assert upgrade.endswith(" && exec /usr/bin/unattended-upgrade'"), "TimeoutStartSec counts anew for each ExecStart"
    assert "ExecStartPost=/usr/local/lib/fjord-edge/reboot-if-required" in lines, (
        "none where the window's end came first"
    )
    assert "KillMode=mixed" in lines


@pytest.mark.parametrize(
    ("wanted", "reasons", "called"),
    [
        (False, False, []),
        (True, False, ["before-shutdown", "systemctl"]),
        (True, True, ["before-shutdown"]),
    ],
)
def test_an_upgrade_reboots_a_node_that_has_no_reason_to_stay_up(
    tmp_path: Path, wanted: bool, reasons: bool, called: list[str]
) -> None:
    (tmp_path / "called").touch()
    script(tmp_path / "systemctl", f"echo systemctl >>{tmp_path}/called")
    script(tmp_path / "before-shutdown", f"echo before-shutdown >>{tmp_path}/called", f"exit {int(reasons)}")
    if wanted:
        (tmp_path / "reboot-required").touch()
    program = (ROOTFS / "usr/local/lib/fjord-edge/reboot-if-required").read_text()
    here = program.replace("/run/", f"{tmp_path}/").replace("/usr/local/lib/fjord-edge/", f"{tmp_path}/")
    judge("env", f"PATH={tmp_path}:{os.environ['PATH']}", "sh", "-c", here, expected_status=int(reasons))
    assert (tmp_path / "called").read_text().split() == called
