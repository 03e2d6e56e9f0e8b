"""One stack is one site: load it, construct its components, say what there is."""

import pulumi

from components._docker import docker_provider
from components._hypervisor import HypervisorHost
from components.backup import Backup, BackupArgs
from components.edge_node import EdgeNode, EdgeNodeArgs, hypervisor_provider
from components.iot_stack import IoTStack, IoTStackArgs
from components.wireguard_mesh import PORT, WireGuardMesh, WireGuardMeshArgs
from config import derive
from config.loader import load_site

site = load_site()
host_key = derive.ssh_host_key(site.seed, site.name, site.node.generation)

node = EdgeNode(
    site.name,
    EdgeNodeArgs(
        node=site.node,
        host_key=host_key,
        hypervisor=HypervisorHost(
            hypervisor=site.node.hypervisor, host_key=site.hypervisor_keys.host, client_key=site.hypervisor_keys.client
        ),
        mesh=site.registry.network,
        tunnel_port=PORT,
        headquarters=site.headquarters,
    ),
    pulumi.ResourceOptions(providers=[hypervisor_provider(site.name, site.node.hypervisor)]),
)
mesh = WireGuardMesh(
    site.name,
    WireGuardMeshArgs(
        registry=site.registry,
        key=derive.wireguard_key(site.seed, site.name, site.epochs.wireguard),
        guest=node.guest,
    ),
)
guest = node.guest
if site.backup:
    backup_key = derive.backup_ssh_key(site.seed, site.name, site.epochs.backup)
    backup = Backup(
        site.name,
        BackupArgs(
            backup=site.backup,
            epoch=site.epochs.backup,
            key=backup_key,
            password=derive.backup_password(site.seed, site.name, site.epochs.backup),
            guest=guest,
        ),
    )
    guest = backup.guest
    pulumi.export("backupKey", backup_key.public)
endpoints = {"ssh": f"{site.node.user}@{site.node.network.address.ip}"}
if site.iot:
    stack = IoTStack(
        site.name,
        IoTStackArgs(
            iot=site.iot,
            epochs=site.epochs,
            seed=site.seed,
            network=site.node.network,
            guest=guest,
        ),
        pulumi.ResourceOptions(providers=[docker_provider(site.name, site.node, host_key.public)]),
    )
    endpoints |= stack.endpoints
    pulumi.export("certificateAuthority", stack.certificate_authority)

pulumi.export("site", site.name)
pulumi.export("endpoints", endpoints)
pulumi.export("hostKey", host_key.public)
pulumi.export("facts", node.facts)
pulumi.export("mesh", {"address": mesh.address, "peers": mesh.peers})
pulumi.export(
    "nextSteps",
    [
        f"log in: ssh {endpoints['ssh']}",
        "see the tunnel: sudo wg show wg0",
        "see the containers: docker ps",
    ],
)
