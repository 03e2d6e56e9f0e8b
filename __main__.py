"""One stack is one site: load it, construct its components, say what there is."""

import pulumi

from components._docker import docker_provider
from components._hypervisor import HypervisorHost
from components._influxdb import ADMIN, INFLUXDB_PORT
from components.backup import Backup, BackupArgs
from components.edge_node import EdgeNode, EdgeNodeArgs, Inbound, hypervisor_provider
from components.iot_stack import IoTStack, IoTStackArgs
from components.summary_store import SummaryStore, SummaryStoreArgs
from components.wireguard_mesh import WireGuardMesh, WireGuardMeshArgs, mtu, ports
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
        mesh=site.registry.networks,
        inbound=Inbound(
            tunnel_ports=ports(site.name, site.registry),
            administrators=site.headquarters,
            published=[(site.entry.address, INFLUXDB_PORT)] if site.summaries else [],
        ),
    ),
    pulumi.ResourceOptions(providers=[hypervisor_provider(site.name, site.node.hypervisor)]),
)
mesh = WireGuardMesh(
    site.name,
    WireGuardMeshArgs(
        registry=site.registry,
        keys=site.tunnel_keys,
        epoch=site.epochs.wireguard,
        mtu=mtu(site.node.network),
        guest=node.guest,
    ),
)
guest = node.guest
endpoints = {"ssh": f"{site.node.user}@{site.node.network.address.ip}"}
docker = pulumi.ResourceOptions()
if site.iot or site.summaries:
    docker = pulumi.ResourceOptions(providers=[docker_provider(site.name, site.node, host_key.public)])
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
if site.iot:
    stack = IoTStack(
        site.name,
        IoTStackArgs(
            iot=site.iot,
            epochs=site.epochs,
            seed=site.seed,
            former_seed=site.former_seed,
            network=site.node.network,
            guest=guest,
        ),
        docker,
    )
    endpoints |= stack.endpoints
    pulumi.export("certificateAuthority", stack.certificate_authority)
if site.summaries:
    store = SummaryStore(
        site.name,
        SummaryStoreArgs(
            summaries=site.summaries,
            accounts=site.summary_accounts,
            admin=derive.influxdb_passwords(site.seed, site.former_seed, site.name, ADMIN, site.epochs.passwords),
            address=site.entry.address,
            tunnel=mesh.applied,
            guest=guest,
        ),
        docker,
    )
    endpoints |= store.endpoints

pulumi.export("site", site.name)
pulumi.export("endpoints", endpoints)
pulumi.export("hostKey", host_key.public)
pulumi.export("facts", node.facts)
pulumi.export("mesh", {"addresses": mesh.addresses, "peers": mesh.peers})
pulumi.export(
    "nextSteps",
    [
        f"log in: ssh {endpoints['ssh']}",
        f"see the tunnels: bin/edge mesh {site.name}",
        "see the containers: docker ps",
    ],
)
