"""Start and stop the hypervisor, and tell whether it answers."""

import subprocess
import time
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network

from lab.console import LabError, step
from lab.hypervisor import namespaces
from lab.hypervisor.keys import CLIENT_KEY, KNOWN_HOSTS, REGISTRY_CA, make_keys
from lab.hypervisor.namespaces import LOG, operator_command
from lab.hypervisor.root import lay_root
from lab.paths import LOGS

#: The network of the lab's guests, without a way out, and the hypervisor's address in it.
NETWORK = IPv4Network("10.20.0.0/24")
ADDRESS = IPv4Address("10.20.0.1")
BRIDGE = "br0"

LIBVIRT_URI = f"qemu+ssh://root@{ADDRESS}/system"
REGISTRY = f"{ADDRESS}:5000"

READY_SECONDS = 60
LAUNCH_SECONDS = 5
ASK_SECONDS = 10


def start() -> None:
    """Start the hypervisor, or leave it alone when it answers; one that is half dead is ended first.

    Domains marked for autostart run again afterwards.

    Raises:
        LabError: it does not answer within `READY_SECONDS`.
    """
    if answers():
        return
    stop()
    LOGS.mkdir(parents=True, exist_ok=True)
    make_keys(ADDRESS)
    lay_root()
    with step("start the hypervisor"):
        namespaces.launch()
        _wait_until_it_answers()


def stop() -> None:
    """End the hypervisor as a power cut does, with every guest on it; its disks stay."""
    namespaces.end()


def answers() -> bool:
    """Tell whether libvirt answers through SSH, and the registry through TLS."""
    if namespaces.first_process() is None:
        return False
    ssh = ("ssh", "-F", "none", "-o", "BatchMode=yes", "-o", f"UserKnownHostsFile={KNOWN_HOSTS}", "-i", str(CLIENT_KEY))
    libvirt = (*ssh, f"root@{ADDRESS}", "virsh", "--connect", "qemu:///system", "list")
    registry = ("curl", "--fail", "--silent", "--cacert", str(REGISTRY_CA), f"https://{REGISTRY}/v2/")
    return _succeeds(libvirt) and _succeeds(registry)


def _wait_until_it_answers() -> None:
    begun = time.monotonic()
    while not answers():
        waited = time.monotonic() - begun
        if waited > READY_SECONDS:
            raise LabError(f"The hypervisor did not answer within {READY_SECONDS} s", f"Its output is in {LOG}.")
        if waited > LAUNCH_SECONDS and namespaces.first_process() is None:
            raise LabError("The hypervisor ended while it started", f"Its output is in {LOG}.")
        time.sleep(0.2)


def _succeeds(words: Sequence[str]) -> bool:
    try:
        done = subprocess.run(
            operator_command(words),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=ASK_SECONDS,
            check=False,
        )
    except (subprocess.TimeoutExpired, LabError):
        return False
    return done.returncode == 0
