"""The tunnel between oslo and headquarters."""

import time

import pytest

from lab.console import LabError
from lab.sensors import on_node
from lab.stacks import Stack
from tests.e2e.waiting import eventually

# wg(8): a session is renewed after two minutes, so an older handshake is a dead peer.
FRESH_SECONDS = 180


def handshake_age(stack: Stack) -> float:
    lines = on_node(stack, "sudo wg show wg0 latest-handshakes").splitlines()
    return time.time() - max(int(line.split()[1]) for line in lines)


def test_both_ends_have_had_a_handshake(hq: Stack, oslo: Stack) -> None:
    assert eventually(lambda: handshake_age(oslo) < FRESH_SECONDS, 60)
    assert eventually(lambda: handshake_age(hq) < FRESH_SECONDS, 60)


ANSWER = "timeout {} bash -c 'head -c 7 < /dev/tcp/{}/22'"


def test_headquarters_reaches_a_site_through_the_tunnel(hq: Stack) -> None:
    assert on_node(hq, ANSWER.format(20, "10.100.0.2")) == "SSH-2.0"


def test_nothing_else_comes_out_of_the_tunnel(hq: Stack, oslo: Stack) -> None:
    with pytest.raises(LabError, match="exited with 124"):
        on_node(oslo, ANSWER.format(5, "10.100.0.1"))
    with pytest.raises(LabError, match="exited with 124"):
        on_node(hq, "timeout 5 bash -c 'head -c 1 < /dev/tcp/10.100.0.2/8883'")


def test_the_configuration_is_roots_alone(oslo: Stack) -> None:
    assert on_node(oslo, "sudo stat --format '%a %U' /etc/wireguard/wg0.conf").split() == ["600", "root"]


def test_the_running_tunnel_is_the_file(oslo: Stack) -> None:
    assert "SaveConfig" not in on_node(oslo, "sudo cat /etc/wireguard/wg0.conf")
    shown = on_node(oslo, "sudo wg show wg0 allowed-ips").split()
    assert shown[1:] == ["10.100.0.0/24"]
