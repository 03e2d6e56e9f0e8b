import json
from pathlib import Path

import pytest

from components.edge_node.facts import asked, parse_facts
from components.edge_node.on_node import facts
from components.edge_node.on_node.facts import mismatches
from config.base import ConfigError
from tests.recording import FACTS
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
        "listening": ["tcp/22 sshd"],
    }


def test_an_interface_that_is_not_there_has_no_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facts, "output", lambda *_: "")
    assert facts.root_qdisc("eth2") == ""


def test_each_uplink_is_asked_for_fair_queueing_and_the_lan_is_not() -> None:
    assert ASKED["qdiscs"] == {"eth0": "fq", "eth2": "fq"}
    assert asked(site_section("hq").node)["qdiscs"] == {"eth0": "fq"}


def test_the_record_is_typed_and_refuses_what_it_does_not_know() -> None:
    assert parse_facts("oslo", json.dumps(FACTS)) == FACTS
    with pytest.raises(ConfigError, match="oslo-facts: weather"):
        parse_facts("oslo", json.dumps({**FACTS, "weather": "fog"}))


def said_by(monkeypatch: pytest.MonkeyPatch, **answers: str) -> None:
    monkeypatch.setattr(facts, "output", lambda *command: answers[command[0]])


def test_whoever_listens_beyond_the_node_is_told_and_containers_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    said_by(
        monkeypatch,
        ss="""\
udp UNCONN 0 0 0.0.0.0:51820 0.0.0.0:*
udp UNCONN 0 0 0.0.0.0:41234 0.0.0.0:* users:(("systemd-timesyn",pid=9,fd=1))
udp UNCONN 0 0 0.0.0.0:111 0.0.0.0:* users:(("rpcbind",pid=8,fd=4))
tcp LISTEN 0 128 0.0.0.0:22 0.0.0.0:* users:(("sshd",pid=7,fd=3))
tcp LISTEN 0 128 [::]:22 [::]:* users:(("sshd",pid=7,fd=4))
tcp LISTEN 0 128 10.20.0.12:8883 0.0.0.0:* users:(("docker-proxy",pid=6,fd=4))
tcp LISTEN 0 128 127.0.0.1:8086 0.0.0.0:* users:(("influxd",pid=5,fd=4))
""",
    )
    assert facts.listening() == ["tcp/22 sshd", "udp/111 rpcbind"]


def test_disks_are_known_by_their_serial_number(monkeypatch: pytest.MonkeyPatch) -> None:
    disk = {"name": "vdb", "serial": "fjord-data", "size": 8 << 30, "disc-gran": 512, "type": "disk"}
    drive = {"name": "sr0", "serial": None, "size": 1, "disc-gran": 0, "type": "rom"}
    bare = disk | {"name": "vda", "serial": None, "disc-gran": 0}
    said_by(monkeypatch, lsblk=json.dumps({"blockdevices": [drive, bare, disk]}))
    assert facts.disks() == {"vda": {"gib": 8, "discards": False}, "fjord-data": {"gib": 8, "discards": True}}


@pytest.mark.parametrize(
    ("said", "seconds"),
    [("   Offset: -1.5ms\n", -0.0015), ("   Offset: +20us\n", 2e-05), ("Offset: +2.5s\n", 2.5), ("", None)],
)
def test_the_clocks_offset_is_in_seconds(monkeypatch: pytest.MonkeyPatch, said: str, seconds: float | None) -> None:
    said_by(monkeypatch, timedatectl=said)
    assert facts.clock_offset() == (seconds if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize(
    ("result", "told"),
    [(None, "not ended"), ([], "done"), (["no users", "no files"], "no users; no files")],
)
def test_the_first_boot_is_told_in_its_own_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, result: list[str] | None, told: str
) -> None:
    monkeypatch.setattr(facts, "FIRST_BOOT", tmp_path / "result.json")
    if result is not None:
        (tmp_path / "result.json").write_text(json.dumps({"v1": {"datasource": "NoCloud", "errors": result}}))
    assert facts.first_boot() == told
