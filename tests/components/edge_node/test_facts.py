import json

from components.edge_node.facts import asked
from components.edge_node.on_node.facts import mismatches
from tests.sites import site_section

NODE = site_section("oslo").node
FOUND = json.loads(json.dumps(asked(NODE))) | {"kernel": "6.1.0", "docker": "20.10.24"}


def test_a_node_that_is_as_asked_has_no_mismatch() -> None:
    assert mismatches(asked(NODE), FOUND) == []


def test_a_mismatch_names_both_values() -> None:
    found = FOUND | {"sysctls": FOUND["sysctls"] | {"net.ipv4.tcp_congestion_control": "cubic"}}
    assert mismatches(asked(NODE), found) == [
        "sysctls: net.ipv4.tcp_congestion_control: asked 'bbr', found 'cubic'",
    ]


def test_every_mismatch_is_named() -> None:
    found = FOUND | {"qdiscs": {"eth0": "fq_codel"}, "firstBoot": "error"}
    assert mismatches(asked(NODE), found) == [
        "qdiscs: eth0: asked 'fq', found 'fq_codel'",
        "firstBoot: asked 'done', found 'error'",
    ]


def test_what_is_not_there_is_a_mismatch() -> None:
    missing = {key: value for key, value in FOUND.items() if key != "mounts"}
    assert mismatches(asked(NODE), missing) == ["mounts: /srv/fjord-edge: asked 'fjord-data', found None"]
    assert mismatches(asked(NODE), missing | {"mounts": None}) == mismatches(asked(NODE), missing)


def test_the_tuning_that_was_promised_is_asked_for() -> None:
    """The values of the brief; each is read back from the kernel."""
    assert asked(NODE) == {
        "sysctls": {
            "net.core.rmem_max": "16777216",
            "net.core.wmem_max": "16777216",
            "net.ipv4.tcp_rmem": "4096 87380 16777216",
            "net.ipv4.tcp_wmem": "4096 65536 16777216",
            "net.core.default_qdisc": "fq",
            "net.ipv4.tcp_congestion_control": "bbr",
            "net.core.netdev_max_backlog": "5000",
        },
        "qdiscs": {"eth0": "fq"},
        "mounts": {"/srv/fjord-edge": "fjord-data"},
        "firstBoot": "done",
        "dataDiskGib": 8,
    }
