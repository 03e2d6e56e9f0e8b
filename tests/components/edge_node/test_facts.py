import json

import pytest

from components.edge_node.facts import asked
from components.edge_node.on_node import facts
from components.edge_node.on_node.facts import mismatches
from tests.sites import site_section

NODE = site_section("oslo").node
ASKED = asked(NODE)
FOUND = json.loads(json.dumps(ASKED)) | {"kernel": "6.1.0", "docker": "20.10.24"}


def test_a_node_that_is_as_asked_has_no_mismatch() -> None:
    assert mismatches(ASKED, FOUND) == []


def test_a_mismatch_names_both_values() -> None:
    found = FOUND | {"sysctls": FOUND["sysctls"] | {"net.ipv4.tcp_congestion_control": "cubic"}}
    assert mismatches(ASKED, found) == [
        "sysctls: net.ipv4.tcp_congestion_control: asked 'bbr', found 'cubic'",
    ]


def test_every_mismatch_is_named() -> None:
    found = FOUND | {"qdiscs": {"eth0": "fq_codel", "eth2": "fq"}, "firstBoot": "error"}
    assert mismatches(ASKED, found) == [
        "qdiscs: eth0: asked 'fq', found 'fq_codel'",
        "firstBoot: asked 'done', found 'error'",
    ]


def test_what_is_not_there_is_a_mismatch() -> None:
    missing = {key: value for key, value in FOUND.items() if key != "mounts"}
    assert mismatches(ASKED, missing) == ["mounts: /srv/fjord-edge: asked 'fjord-data', found None"]
    assert mismatches(ASKED, missing | {"mounts": None}) == mismatches(ASKED, missing)


def test_the_tuning_that_was_promised_is_asked_for() -> None:
    """The values of the brief; each is read back from the kernel."""
    assert ASKED == {
        "sysctls": {
            "net.core.rmem_max": "16777216",
            "net.core.wmem_max": "16777216",
            "net.ipv4.tcp_rmem": "4096 87380 16777216",
            "net.ipv4.tcp_wmem": "4096 65536 16777216",
            "net.core.default_qdisc": "fq",
            "net.ipv4.tcp_congestion_control": "bbr",
            "net.core.netdev_max_backlog": "5000",
        },
        "qdiscs": {"eth0": "fq", "eth2": "fq"},
        "mounts": {"/srv/fjord-edge": "fjord-data"},
        "firstBoot": "done",
        "firewall": "drop",
        "dataDiskGib": 8,
    }


def test_an_interface_that_is_not_there_has_no_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facts, "output", lambda *_: "")
    assert facts.root_qdisc("eth2") == ""


def test_each_uplink_is_asked_for_fair_queueing_and_the_lan_is_not() -> None:
    assert ASKED["qdiscs"] == {"eth0": "fq", "eth2": "fq"}
    assert asked(site_section("hq").node)["qdiscs"] == {"eth0": "fq"}
