"""The guest's network interfaces as it knows them: their names, their MAC addresses, which way out comes first."""

import hashlib

from config.site import Interface, Network

#: Names in the guest by the section's place in `node`; the backup's does not depend on whether there is a LAN.
_NAMES = {"network": "eth0", "network.lan": "eth1", "network.backup": "eth2"}

#: Metrics of the default routes of both families: of those with a link the least is taken. The LAN has no way out.
METRICS = {"eth0": 100, "eth2": 200}


def named(network: Network) -> dict[str, Interface]:
    """The interfaces by their name in the guest, in its order."""
    return {_NAMES[place]: interface for place, interface in network.interfaces.items()}


def uplinks(network: Network) -> list[str]:
    """The names of those with a way out, the preferred one first."""
    return [name for name in named(network) if name in METRICS]


def mac_address(site: str, name: str, interface: Interface) -> str:
    """The configured MAC, or one made of the site's name under QEMU's prefix 52:54:00; a site's own are consecutive."""
    if interface.mac:
        return interface.mac
    first = int.from_bytes(hashlib.sha256(f"fjord-edge/{site}/eth0".encode()).digest()[:3], "big")
    tail = (first + int(name.removeprefix("eth"))) % (1 << 24)
    return ":".join(f"{byte:02x}" for byte in (0x52, 0x54, 0x00, *tail.to_bytes(3, "big")))
