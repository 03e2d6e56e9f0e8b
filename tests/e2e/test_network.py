"""The networks of oslo, which has one of each kind: first uplink, the farm's own network, second uplink."""

import json
import subprocess
from collections.abc import Iterator
from ipaddress import IPv4Address
from typing import Any

import pytest

from components.edge_node.interfaces import METRICS, mac_address, named
from lab.hypervisor import inside_command, operator_command
from lab.sensors import Reading, mosquitto_pub, now_ms, on_node, query
from lab.stacks import Stack
from tests.e2e.waiting import eventually

HEADQUARTERS = IPv4Address("10.20.0.11")


def said(stack: Stack, command: str, **words: Any) -> Any:
    """What an `ip` command says on the node, read by the address that is given."""
    return json.loads(on_node(stack, f"ip -json {command}", **words))


def lan(stack: Stack) -> IPv4Address:
    assert stack.site.node.network.lan
    return stack.site.node.network.lan.address.ip


def backup(stack: Stack) -> IPv4Address:
    assert stack.site.node.network.backup
    return stack.site.node.network.backup.address.ip


def set_link(stack: Stack, interface: str, state: str) -> None:
    """Plug an interface's cable in (up) or out (down)."""
    mac = mac_address(stack.name, interface, named(stack.site.node.network)[interface])
    subprocess.run(inside_command(["virsh", "domif-setlink", stack.name, mac, state]), check=True, capture_output=True)


@pytest.fixture
def cut(oslo: Stack) -> Iterator[None]:
    """The first uplink's cable is out."""
    set_link(oslo, "eth0", "down")
    yield
    set_link(oslo, "eth0", "up")
    assert eventually(lambda: answers(oslo.site.node.network.address.ip), 30)


def answers(address: object) -> bool:
    """Whether sshd is there, for one who is on the hypervisor."""
    words = ["timeout", "5", "bash", "-c", f"head -c 7 < /dev/tcp/{address}/22"]
    return subprocess.run(operator_command(words), capture_output=True, check=False).stdout == b"SSH-2.0"


@pytest.mark.parametrize("name", ["eth0", "eth1", "eth2"])
def test_each_interface_has_its_mac_and_its_addresses_and_no_others(oslo: Stack, name: str) -> None:
    interface = named(oslo.site.node.network)[name]
    [link] = said(oslo, f"address show dev {name}")
    addresses = {f"{each['local']}/{each['prefixlen']}" for each in link["addr_info"] if each["scope"] == "global"}
    assert link["address"] == mac_address("oslo", name, interface)
    assert addresses == {str(address) for address in interface.addresses}


@pytest.mark.parametrize(("family", "uplinks"), [("-4", ["eth0", "eth2"]), ("-6", ["eth0"])])
def test_the_default_routes_are_the_uplinks_in_their_order(oslo: Stack, family: str, uplinks: list[str]) -> None:
    routes = said(oslo, f"{family} route show default")
    assert [(route["dev"], route["metric"]) for route in routes] == [(uplink, METRICS[uplink]) for uplink in uplinks]


@pytest.mark.parametrize("uplink", ["eth0", "eth2"])
def test_fq_paces_each_uplink(oslo: Stack, uplink: str) -> None:
    assert on_node(oslo, f"/sbin/tc qdisc show dev {uplink} root").startswith("qdisc fq ")


@pytest.mark.parametrize("name", ["eth0", "eth1", "eth2"])
def test_no_router_adds_an_address_or_a_route(oslo: Stack, name: str) -> None:
    assert on_node(oslo, f"/sbin/sysctl --values net.ipv6.conf.{name}.accept_ra").strip() == "0"


def test_the_node_is_reached_by_ipv6(oslo: Stack) -> None:
    assert oslo.site.node.network.address6
    assert answers(oslo.site.node.network.address6.ip)


def test_a_sensor_on_the_farms_network_publishes_over_tls(oslo: Stack) -> None:
    reading = Reading("pen1-temp", "temperature", 7.75, now_ms())
    done = mosquitto_pub(oslo, reading.sensor, reading.topic, reading.payload, address=lan(oslo))
    assert done.returncode == 0, done.stderr
    assert eventually(lambda: query(oslo, f"SELECT value FROM reading WHERE time = {reading.time}ms"), 30)


def test_the_broker_is_not_reached_by_the_second_uplink(oslo: Stack) -> None:
    listening = on_node(oslo, "ss --tcp --listening --numeric --no-header 'sport = :8883'")
    own = oslo.site.node.network.address.ip
    assert sorted(line.split()[3] for line in listening.splitlines()) == [f"{own}:8883", f"{lan(oslo)}:8883"]


def container_address(stack: Stack, container: str) -> str:
    template = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
    return on_node(stack, f"docker inspect --format '{template}' {container}").strip()


def neighbour_reaches(stack: Stack, address: str, port: int) -> bool:
    """Whether one beside the node, at its uplink, who sends packets for an address to it, has a connection."""
    own = stack.site.node.network.address.ip
    script = f"ip route add {address} via {own}; timeout 5 bash -c ': < /dev/tcp/{address}/{port}'"
    try:
        return subprocess.run(inside_command(["bash", "-c", script]), capture_output=True, check=False).returncode == 0
    finally:
        subprocess.run(inside_command(["ip", "route", "del", address]), check=True, capture_output=True)


@pytest.mark.parametrize(("container", "port"), [("influxdb", 8086), ("mosquitto", 1883), ("mosquitto", 8883)])
def test_a_neighbour_reaches_a_container_by_its_published_address_alone(oslo: Stack, container: str, port: int) -> None:
    assert not neighbour_reaches(oslo, container_address(oslo, container), port)


def test_a_neighbour_at_the_uplink_reaches_nothing_that_is_published_elsewhere(hq: Stack, oslo: Stack) -> None:
    assert not neighbour_reaches(oslo, str(lan(oslo)), 8883)
    assert not neighbour_reaches(hq, "10.100.0.1", 8086)


@pytest.mark.usefixtures("cut")
def test_without_the_first_uplink_the_tunnel_goes_by_the_second(hq: Stack, oslo: Stack) -> None:
    [route] = said(oslo, f"route get {HEADQUARTERS}", address=backup(oslo))
    assert (route["dev"], route["prefsrc"]) == ("eth2", str(backup(oslo)))
    # Headquarters learns the other way with the site's next packet, a keepalive at the latest.
    asked = "timeout 5 bash -c 'head -c 7 < /dev/tcp/10.100.0.2/22' || true"
    assert eventually(lambda: on_node(hq, asked) == "SSH-2.0", 60)


def test_with_the_first_uplink_back_it_is_taken_again(oslo: Stack) -> None:
    [route] = said(oslo, f"route get {HEADQUARTERS}")
    assert route["dev"] == "eth0"
