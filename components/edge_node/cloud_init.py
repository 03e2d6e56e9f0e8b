"""The cloud-init payload of a node's first boot: NoCloud user data, network and meta data."""

from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from components.edge_node.host_config import SYSCTL_FILE, sysctl_conf, sysctls
from components.edge_node.interfaces import METRICS, mac_address, named
from config.derive import SshKey
from config.site import Interface, Network, Node, Uplink

#: What an interface has unless it is told otherwise, bytes.
ETHERNET_MTU = 1500


def user_data(site: str, node: Node, host_key: SshKey) -> str:
    """Render `#cloud-config`: host name and key, first user, tuning, trusted registries.

    The SSH host key is the one secret here: with it the first connection is already verified.
    """
    return "#cloud-config\n" + _yaml(
        {
            "hostname": site,
            "manage_etc_hosts": True,
            "disable_root": True,
            "ssh_pwauth": False,
            "ssh_deletekeys": True,
            "ssh_keys": {"ecdsa_private": host_key.private, "ecdsa_public": host_key.public},
            "users": [
                {
                    "name": node.user,
                    "groups": ["adm", "docker"],
                    "lock_passwd": True,
                    "shell": "/bin/bash",
                    "ssh_authorized_keys": list(node.authorized_keys),
                    "sudo": "ALL=(ALL) NOPASSWD:ALL",
                }
            ],
            "write_files": [
                {"path": SYSCTL_FILE, "content": sysctl_conf(sysctls(node))},
                {"path": "/etc/resolv.conf", "content": resolv_conf(node.network)},
                *(
                    {"path": f"/etc/docker/certs.d/{registry.host}/ca.crt", "content": registry.certificate_authority}
                    for registry in node.registries
                ),
            ],
        }
    )


def network_config(site: str, network: Network) -> str:
    """Render cloud-init's network config, version 1: each interface found by its MAC, every address static (ADR 11)."""
    return _yaml(
        {
            "version": 1,
            "config": [
                {
                    "type": "physical",
                    "name": name,
                    "mac_address": mac_address(site, name, interface),
                    **_mtu(interface),
                    "subnets": list(_subnets(name, interface)),
                }
                for name, interface in named(network).items()
            ],
        }
    )


def _mtu(interface: Interface) -> dict[str, int]:
    """Said where it is not Ethernet's own."""
    return {"mtu": interface.mtu} if isinstance(interface, Uplink) and interface.mtu != ETHERNET_MTU else {}


def _subnets(name: str, interface: Interface) -> Iterator[dict[str, Any]]:
    gateways = {4: interface.gateway, 6: interface.gateway6} if isinstance(interface, Uplink) else {}
    for address in interface.addresses:
        gateway = gateways.get(address.version)
        way_out = {"gateway": str(gateway), "metric": METRICS[name]} if gateway else {}
        yield {"type": "static" if address.version == 4 else "static6", "address": str(address), **way_out}


def resolv_conf(network: Network) -> str:
    """Render resolv.conf(5); cloud-init's own way there, by ifupdown, needs a resolvconf that nodes do not have."""
    return "".join(f"nameserver {server}\n" for server in network.dns)


def meta_data(site: str, generation: int) -> str:
    """Render NoCloud meta data; a new generation is a new instance, on which cloud-init runs anew."""
    return _yaml({"instance-id": f"{site}-{generation}", "local-hostname": site})


def _yaml(content: Mapping[str, Any]) -> str:
    return yaml.safe_dump(content, sort_keys=False, width=1000)
