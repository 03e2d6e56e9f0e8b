"""How long a site is without headquarters after what happens to lines, names and nodes: seconds, as the site counts."""

import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from ipaddress import IPv4Address

from lab import hypervisor
from lab.boot import answers
from lab.console import LabError
from lab.sensors import on_node
from lab.stacks import Stack

#: The longest that is waited: a name is looked up again 135 s after the last handshake, a node boots in a minute.
LIMIT_SECONDS = 280

#: How long the line is cut.
CUT_SECONDS = 30

#: Where headquarters moves to, and a site that gets another public address.
OTHER_HUB, OTHER_SITE = "10.20.0.111/24", "10.20.0.112/24"

_HOSTS = "/etc/lab-hosts"
_PORT = 51820


def after_cut(site: Stack, hub: Stack) -> float:
    """The line is cut for `CUT_SECONDS`; counted from its return."""
    with _eaten(hub, f"udp dport {_PORT}"):
        on_node(site, f"timeout {CUT_SECONDS} ping -n -q {_mesh_address(hub)} > /dev/null; true")
    return _until_there(site, hub)


def after_changed_address(site: Stack, hub: Stack) -> float:
    """The site gets another public address."""
    lan = site.site.node.network.lan
    if lan is None:
        raise LabError(f"{site.name} has no other way in", "Choose a site with a `lan`.")
    with _moved(site, OTHER_SITE, control=lan.address.ip):
        return _until_there(site, hub, control=lan.address.ip)


def after_changed_name(site: Stack, hub: Stack) -> float:
    """Headquarters moves: its name stands for another address, and nobody answers at the old one."""
    old, new = str(hub.site.node.network.address.ip), OTHER_HUB.partition("/")[0]
    on_node(hub, f"sudo ip address add {OTHER_HUB} dev eth0")
    try:
        with _eaten(hub, f"ip daddr {old} udp dport {_PORT}"), _named(old, new):
            return _until_there(site, hub)
    finally:
        on_node(hub, f"sudo ip address delete {OTHER_HUB} dev eth0")
        _until_there(site, hub)


def after_reboot_of_the_hub(site: Stack, hub: Stack) -> float:
    """Headquarters reboots; counted from its going down."""
    _reboot(hub)
    return _until_there(site, hub)


def after_reboot_of_the_site(site: Stack, hub: Stack) -> float:
    """The site reboots; counted from its going down, and so without its clock."""
    begun = time.monotonic()
    _reboot(site)
    deadline = begun + LIMIT_SECONDS
    while not answers(site, f"ping -n -q -c 1 -W 2 {_mesh_address(hub)}"):
        if time.monotonic() > deadline:
            raise LabError(f"{site.name} did not reach {hub.name} again", "Look at it: bin/edge mesh.")
        time.sleep(0.5)
    return time.monotonic() - begun


RECOVERIES: Mapping[str, Callable[[Stack, Stack], float]] = {
    "a cut of the line, from its end": after_cut,
    "another public address of the site": after_changed_address,
    "another address behind headquarters' name": after_changed_name,
    "a reboot of headquarters": after_reboot_of_the_hub,
    "a reboot of the site": after_reboot_of_the_site,
}


def _mesh_address(stack: Stack) -> str:
    address: str = stack.outputs["mesh"]["addresses"][0]
    return address.partition("/")[0]


def _until_there(site: Stack, hub: Stack, *, control: IPv4Address | None = None) -> float:
    """Count on the site until headquarters answers in the mesh.

    Raises:
        LabError: it does not within `LIMIT_SECONDS`.
    """
    loop = (
        f"begun=$(date +%s%N); until ping -n -q -c 1 -W 1 {_mesh_address(hub)} > /dev/null; do sleep 0.2; done; "
        "echo $((($(date +%s%N) - begun) / 1000000))"
    )
    return int(on_node(site, f"timeout {LIMIT_SECONDS} bash -c '{loop}'", address=control)) / 1000


def _reboot(stack: Stack) -> None:
    on_node(stack, "sudo systemctl reboot")
    while answers(stack, "true"):
        time.sleep(0.5)


@contextmanager
def _eaten(stack: Stack, packets: str) -> Iterator[None]:
    """The node's firewall eats these packets."""
    on_node(stack, f"sudo nft insert rule inet fjord_edge input {packets} drop")
    try:
        yield
    finally:
        on_node(stack, "sudo nft --file /etc/fjord-edge/nftables.conf")


@contextmanager
def _moved(stack: Stack, address: str, *, control: IPv4Address) -> Iterator[None]:
    """The first uplink has another address; the node is reached by another interface meanwhile."""
    network = stack.site.node.network

    def move(old: object, new: object) -> None:
        on_node(
            stack,
            f"sudo sh -ec 'ip address delete {old} dev eth0; ip address add {new} dev eth0; "
            f"ip route replace default via {network.gateway} dev eth0 metric 100'",
            address=control,
        )

    move(network.address, address)
    try:
        yield
    finally:
        move(address, network.address)


@contextmanager
def _named(old: str, new: str) -> Iterator[None]:
    """The lab's name server tells another address."""

    def tell(this: str, that: str) -> None:
        line = f"sed -i s/^{this}\\ /{that}\\ / {_HOSTS} && pkill -HUP -f addn-host[s]={_HOSTS}"
        subprocess.run(hypervisor.inside_command(["sh", "-c", line]), check=True, capture_output=True)

    tell(old, new)
    try:
        yield
    finally:
        tell(new, old)
