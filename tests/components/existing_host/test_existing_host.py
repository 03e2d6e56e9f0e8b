"""Headquarters on a machine that somebody else looks after."""

import base64
import io
import os
import shlex
import subprocess
import tarfile
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest

from components._firewall import Inbound
from components.existing_host.firewall import LOOK, PROGRAMS, nftables
from edge.recorder.recording import Registered
from tests.judges import judge
from tests.recording import Recording, deploy
from tests.sites import host_section

INBOUND = Inbound(tunnel_ports=[51820], published=[(IPv4Address("10.100.0.1"), 8086)])


def deployed(**changed: Any) -> Recording:
    site = host_section() | changed
    return deploy("hq", {key: value for key, value in site.items() if value is not None})


def commands(recording: Recording) -> list[Registered]:
    return list(recording.of_type("command:remote:Command").values())


def test_nothing_is_made_but_interface_service_and_firewall() -> None:
    recording = deployed(summaries=None)
    assert {resource.name for resource in recording.registered} == {"hq", "hq-programs", "hq-firewall", "hq-tunnel"}
    files = {name for command in commands(recording) for name in brought(command)}
    assert files == {
        "etc/fjord-edge/mesh",
        "etc/fjord-edge/mesh/mesh.json",
        "etc/fjord-edge/nftables.conf",
        "etc/systemd/system/fjord-edge-mesh.service",
        "etc/systemd/system/fjord-edge-mesh.service.d/firewall.conf",
        "usr/local/lib/fjord-edge/mesh",
    }


def brought(command: Registered) -> list[str]:
    if "stdin" not in command.inputs:
        return []
    with tarfile.open(fileobj=io.BytesIO(base64.b64decode(command.inputs["stdin"].value))) as tar:
        return tar.getnames()


def test_the_store_comes_where_it_is_asked_for() -> None:
    assert set(deployed().of_type("docker:index/container:Container")) == {"hq-influxdb", "hq-watch"}
    [provider] = deployed().of_type("pulumi:providers:docker").values()
    assert provider.inputs["host"] == "ssh://edge@10.20.0.11"


def test_the_machine_is_looked_at_before_anything_is_made_there() -> None:
    recording = deployed()
    assert recording.named("hq-programs").dependencies == set()
    assert "command:remote:Command::hq-programs" in recording.named("hq-firewall").dependencies
    assert "command:remote:Command::hq-firewall" in recording.named("hq-tunnel").dependencies


def test_its_host_key_is_pinned() -> None:
    keys = {command.inputs["connection"].value["hostKey"] for command in commands(deployed())}
    assert keys == {"ssh-ed25519 AAAA"}


def test_files_come_by_a_program_that_leaves_nothing_behind() -> None:
    """What a node has from its image travels in the command; it is the same text, and a shell reads it."""
    create = deployed().named("hq-firewall").inputs["create"]
    words = shlex.split(create)
    assert words[:3] == ["sudo", "sh", "-c"]
    assert words[4:] == ["install-files", "nft --file /etc/fjord-edge/nftables.conf"]
    judge("sh", "-n", stdin=words[3])
    assert words[3].startswith("#!/bin/sh\n# Unpack the archive")


def test_what_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sudo = tmp_path / "sudo"
    sudo.write_text('#!/bin/sh\nexec "$@"\n')
    sudo.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    done = subprocess.run(["sh", "-c", LOOK.replace("getent", "no-such-program")], capture_output=True, check=False)
    assert done.returncode == 1
    assert "missing here:" in done.stderr.decode()
    assert "no-such-program" in done.stderr.decode()


def test_each_program_that_is_used_is_looked_for() -> None:
    assert {"wg", "nft", "ip", "ping"} < set(PROGRAMS)
    judge("sh", "-n", stdin=LOOK)


def test_its_owners_firewall_stays(tmp_path: Path) -> None:
    """Only of the tunnels' packets something is said; the port of the tunnel is its owner's to open."""
    text = nftables(INBOUND)
    assert "policy accept;" in text
    assert "policy drop" not in text
    assert "dport 22" not in text
    path = tmp_path / "nftables.conf"
    path.write_text(text)
    twice = f"nft --file {path} && nft --file {path}"
    judge("unshare", "--map-root-user", "--net", "sh", "-c", twice, program="nft")
