"""The running containers, held against CIS Docker Benchmark 1.6, and what a change does to them."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from lab.console import LabError
from lab.sensors import Reading, now_ms, on_node, publish, query
from lab.stacks import Stack
from tests.e2e.running import containers
from tests.e2e.waiting import eventually


@pytest.fixture(scope="module")
def running(oslo: Stack, hq: Stack) -> list[tuple[Stack, dict[str, Any]]]:
    return [
        (stack, container)
        for stack in (oslo, hq)
        for container in json.loads(on_node(stack, "docker inspect $(docker ps --quiet)"))
    ]


Running = list[tuple[Stack, dict[str, Any]]]

#: Rule by rule, what must be so; 5.29, processes, is read from the kernel below.
RULES: Mapping[str, Any] = {
    "5.4 no capabilities": lambda c: (
        c["HostConfig"]["CapDrop"] == ["ALL"]
        and (c["HostConfig"]["CapAdd"] or []) == (["CAP_NET_ADMIN"] if c["Name"] == "/telegraf-mesh" else [])
    ),
    "5.5 not privileged": lambda c: c["HostConfig"]["Privileged"] is False,
    "5.11 memory bounded": lambda c: c["HostConfig"]["Memory"] > 0,
    "5.12 processor weighted": lambda c: c["HostConfig"]["CpuShares"] > 0,
    "5.13 root read-only": lambda c: c["HostConfig"]["ReadonlyRootfs"] is True,
    "5.14 ports at one address": lambda c: all(
        binding["HostIp"] not in ("", "0.0.0.0", "::")  # noqa: S104
        for bindings in (c["HostConfig"]["PortBindings"] or {}).values()
        for binding in bindings
    ),
    "5.26 no new privileges": lambda c: "no-new-privileges:true" in c["HostConfig"]["SecurityOpt"],
    "5.27 health is asked": lambda c: c["State"]["Health"]["Status"] == "healthy",
    "5.30 not on docker0": lambda c: "bridge" not in c["NetworkSettings"]["Networks"],
    "5.32 no Docker socket": lambda c: not any("docker.sock" in mount["Source"] for mount in c["Mounts"]),
}


@pytest.mark.parametrize("rule", RULES)
def test_every_container_keeps_the_rule(running: Running, rule: str) -> None:
    assert len(running) == 10
    assert [container["Name"] for _, container in running if not RULES[rule](container)] == []


def test_every_containers_processes_are_bounded(running: Running) -> None:
    """5.29: the limit is its slice's, since the provider has no field for the container's own."""
    for stack, container in running:
        folder = container["HostConfig"]["CgroupParent"]
        assert on_node(stack, f"cat /sys/fs/cgroup/{folder}/pids.max").strip() == "256", container["Name"]
        assert folder in on_node(stack, f"cat /proc/{container['State']['Pid']}/cgroup")


def test_a_bad_image_leaves_the_old_container_running(oslo: Stack) -> None:
    before = containers(oslo)
    other = oslo.site.iot.images.influxdb  # type: ignore[union-attr]
    with oslo.edited("iot", "images", "mosquitto", value=other):
        with pytest.raises(LabError):
            oslo.up()
        assert "did not prove itself with these files; the old container runs on" in oslo.log
        assert containers(oslo) == before
        reading = Reading("pen1-temp", "temperature", 8.5, now_ms())
        publish(oslo, reading)
        where = f"sensor = 'pen1-temp' AND time = {reading.time}ms"
        assert eventually(lambda: query(oslo, f"SELECT value FROM reading WHERE {where}"), 30)
    oslo.up()
    assert containers(oslo) == before
    assert set(oslo.preview()) == {"same"}
