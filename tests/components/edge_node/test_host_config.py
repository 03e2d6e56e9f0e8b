"""What changes in a node's life, as text."""

import re
import subprocess
import sys
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any

import pytest

from components._firewall import Inbound
from components.edge_node.host_config import (
    host_files,
    nftables,
    sysctl_conf,
    sysctls,
    timesyncd_conf,
    upgrades_service,
    upgrades_timer,
)
from config.base import ConfigError
from config.site import SiteSection, UpgradeWindow
from config.versions import FIXED_SYSCTLS
from tests.judges import judge
from tests.sites import edited, section, site_section

HEADQUARTERS, HEADQUARTERS6 = IPv4Address("10.100.0.1"), IPv6Address("fd5c:9a1e:27d4::1")
OF_A_SITE = Inbound(tunnel_ports=[51820], administrators=[HEADQUARTERS, HEADQUARTERS6], device_ports=[8883, 1883])
OF_THE_HUB = Inbound(tunnel_ports=[51820, 51821], published=[(HEADQUARTERS, 8086)])
RULES = nftables(OF_A_SITE)
NO_BYPASS = 'iifname != "br-*" oifname "br-*" ct state new ct status & dnat == 0 drop'


def rules(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.startswith("        ") and " hook " not in line]


@pytest.mark.parametrize("inbound", [OF_A_SITE, OF_THE_HUB], ids=["site", "hub"])
def test_nft_reads_the_rules_twice_over(tmp_path: Path, inbound: Inbound) -> None:
    path = tmp_path / "nftables.conf"
    path.write_text(nftables(inbound))
    twice = f"nft --file {path} && nft --file {path}"
    judge("unshare", "--map-root-user", "--net", "sh", "-c", twice, program="nft")


def test_what_no_rule_accepts_is_dropped() -> None:
    assert "type filter hook input priority filter; policy drop;" in RULES


def test_from_the_tunnel_headquarters_alone_may_log_in() -> None:
    found = rules(RULES)
    administration = [
        rule for rule in found if rule.startswith('iifname { "wg0", "wg1" }') and rule.endswith(" accept")
    ]
    assert administration == [
        'iifname { "wg0", "wg1" } ip saddr 10.100.0.1 tcp dport 22 accept',
        'iifname { "wg0", "wg1" } ip6 saddr fd5c:9a1e:27d4::1 tcp dport 22 accept',
    ]
    closed = found.index('iifname { "wg0", "wg1" } drop')
    assert found.index(administration[-1]) < closed < found.index("tcp dport 22 accept")
    assert not set(administration) & set(rules(nftables(OF_THE_HUB)))


def test_each_port_of_a_tunnel_is_let_in() -> None:
    assert rules(nftables(OF_THE_HUB).split("chain forward")[0])[-2:] == [
        "udp dport 51820 accept",
        "udp dport 51821 accept",
    ]


def test_the_sites_reach_what_headquarters_publishes_and_nothing_beside_it() -> None:
    assert rules(nftables(OF_THE_HUB).split("chain forward")[1]) == [
        NO_BYPASS,
        "ct state established,related accept",
        'iifname { "wg0", "wg1" } meta l4proto tcp ct original ip daddr 10.100.0.1 ct original proto-dst 8086 accept',
        'iifname { "wg0", "wg1" } drop',
    ]


def test_nothing_new_is_forwarded_out_of_the_tunnel() -> None:
    _, _, *forward = rules(RULES.split("chain forward")[1])
    assert forward == ["ct state established,related accept", 'iifname { "wg0", "wg1" } drop']


def test_a_container_is_reached_by_its_published_port_alone() -> None:
    first, *_ = rules(RULES.split("chain forward")[1])
    assert first == NO_BYPASS


def test_one_devices_flood_is_dropped_before_anything_of_it_is_let_on() -> None:
    _, flood, *_ = rules(RULES.split("chain forward")[1])
    assert flood == (
        "ct status dnat ct direction original meta l4proto tcp ct original proto-dst { 8883, 1883 } "
        "add @senders { ip saddr limit rate over 512 kbytes/second burst 1 mbytes } counter drop"
    )
    assert "@senders" not in nftables(OF_THE_HUB)


def test_dockers_tables_stay() -> None:
    assert "flush" not in RULES
    assert set(re.findall(r"table (\S+ \S+)", RULES)) == {"inet fjord_edge"}


def test_a_sites_own_sysctls_come_beside_the_fixed_ones() -> None:
    node = SiteSection.parse(edited(section("oslo"), "node", "sysctls", value={"vm.swappiness": "10"}), file="").node
    assert sysctls(node) == {**FIXED_SYSCTLS, "vm.swappiness": "10"}
    assert sysctl_conf(sysctls(node)).endswith("vm.swappiness = 10\n")


@pytest.mark.parametrize(
    ("key", "value", "remedy"),
    [
        ("net.core.default_qdisc", "fq_codel", "net.core.default_qdisc is 'fq' at every site; remove it here"),
        ("swappiness", "10", "String should match pattern"),
        ("vm.swappiness", "10\nkernel.sysrq = 1", "String should match pattern"),
        ("dev.raid.speed_limit_max", "1", "String should match pattern"),
    ],
)
def test_a_sysctl_that_a_site_may_not_set_is_told(key: str, value: str, remedy: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(remedy)):
        SiteSection.parse(edited(section("oslo"), "node", "sysctls", value={key: value}), file="")


def test_those_who_may_log_in_are_the_listed_ones_alone() -> None:
    node = site_section("oslo").node
    [file] = [file for file in host_files(node, OF_A_SITE) if "authorized_keys" in file.path]
    assert file.path == "/home/edge/.ssh/authorized_keys"
    assert file.contents.splitlines() == list(node.authorized_keys)
    assert (file.mode, file.owner) == (0o600, 1000)


def test_the_time_comes_from_the_sites_servers() -> None:
    assert timesyncd_conf(["ntp.justervesenet.no", "10.20.0.1"]) == "[Time]\nNTP=ntp.justervesenet.no 10.20.0.1\n"


PROGRAM = Path(__file__).parents[3] / "components/edge_node/on_node/before_shutdown.py"


@pytest.mark.parametrize(("reason", "regardless", "status"), [("", False, 0), ("busy", False, 1), ("busy", True, 0)])
def test_a_node_with_a_reason_stays_up_unless_told_otherwise(
    tmp_path: Path, reason: str, regardless: bool, status: int
) -> None:
    folder, mark, log = tmp_path / "programs", tmp_path / "regardless", tmp_path / "log"
    folder.mkdir()
    asked = folder / "service"
    asked.write_text(
        f'#!/bin/sh\necho $1 >> {log}\n[ $1 = stop ] || [ -z "{reason}" ] || {{ echo {reason} >&2; exit 1; }}\n'
    )
    asked.chmod(0o755)
    if regardless:
        mark.touch()
    text = PROGRAM.read_text().replace("/etc/fjord-edge/before-shutdown.d", str(folder))
    text = text.replace("/run/fjord-edge-shut-down-regardless", str(mark))
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=False)
    assert done.returncode == status
    assert log.read_text().split() == (["check"] if status else ["check", "stop"])
    assert done.stdout.startswith(f"{reason}. Wait until that is over" if status else "")


@pytest.mark.parametrize(
    ("given", "calendar", "limit"),
    [
        ({}, "*-*-* 02:00:00 UTC", "120min"),
        ({"day": "Sun", "start": "23:30", "minutes": 30}, "Sun *-*-* 23:30:00 UTC", "30min"),
    ],
)
def test_upgrades_begin_and_end_in_the_sites_window(given: dict[str, Any], calendar: str, limit: str) -> None:
    window = UpgradeWindow.parse(given, file="Pulumi.oslo.yaml")
    assert upgrades_timer(window) == f"[Timer]\nOnCalendar=\nOnCalendar={calendar}\n"
    assert upgrades_service(window) == f"[Service]\nTimeoutStartSec={limit}\n"


@pytest.mark.parametrize("given", [{"start": "25:00"}, {"start": "2:00"}, {"day": "Sunday"}, {"minutes": 5}])
def test_a_window_that_is_none_is_told(given: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(given))):
        UpgradeWindow.parse(given, file="Pulumi.oslo.yaml")
