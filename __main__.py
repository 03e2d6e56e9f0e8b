"""One stack is one site: load it, construct its components, say what there is."""

import pulumi

from components._docker import docker_provider
from components._firewall import Inbound
from components._hypervisor import HypervisorHost
from components._influxdb import ADMIN, INFLUXDB_PORT
from components.backup import Backup, BackupArgs
from components.edge_node import EdgeNode, EdgeNodeArgs, hypervisor_provider
from components.existing_host import ExistingHost, ExistingHostArgs
from components.iot_stack import MQTT_PORT, MQTT_TLS_PORT, IoTStack, IoTStackArgs
from components.summary_store import HEADQUARTERS, SummaryStore, SummaryStoreArgs, reached_by
from components.wireguard_mesh import WireGuardMesh, WireGuardMeshArgs, mtu, ports
from config import derive
from config.iot import POWER_CUT_SECONDS
from config.loader import load_site
from config.site import HostSection

site = load_site()
inbound = Inbound(
    tunnel_ports=ports(site.name, site.registry),
    administrators=site.headquarters,
    published=[(site.entry.address, INFLUXDB_PORT)] if site.summaries else [],
    device_ports=[] if site.summaries else [MQTT_TLS_PORT, MQTT_PORT],
)
section = None
if isinstance(site.place, HostSection):
    guest = ExistingHost(site.name, ExistingHostArgs(host=site.place.host, inbound=inbound)).guest
else:
    section, keys = site.place.section, site.place.keys
    asked = section.node
    node = EdgeNode(
        site.name,
        EdgeNodeArgs(
            node=asked,
            host_key=derive.ssh_host_key(site.seed, site.name, asked.generation),
            hypervisor=HypervisorHost(hypervisor=asked.hypervisor, host_key=keys.host, client_key=keys.client),
            mesh=site.registry.networks,
            inbound=inbound,
        ),
        pulumi.ResourceOptions(providers=[hypervisor_provider(site.name, asked.hypervisor)]),
    )
    guest = node.guest
    pulumi.export("facts", node.facts)
mesh = WireGuardMesh(
    site.name,
    WireGuardMeshArgs(
        registry=site.registry,
        keys=site.tunnel_keys,
        epoch=site.epochs.wireguard,
        mtu=mtu(site.uplink_mtus),
        guest=guest,
    ),
)
login = guest.login
endpoints = {"ssh": str(login)}
docker = pulumi.ResourceOptions()
if site.summaries or (section and section.iot):
    docker = pulumi.ResourceOptions(providers=[docker_provider(site.name, login)])
if section:
    backup_key = derive.backup_ssh_key(site.seed, site.name, site.epochs.backup)
    backup = Backup(
        site.name,
        BackupArgs(
            backup=section.backup,
            epoch=site.epochs.backup,
            key=backup_key,
            password=derive.backup_password(site.seed, site.name, site.epochs.backup),
            guest=guest,
        ),
    )
    guest = backup.guest
    if section.backup:
        pulumi.export("backupKey", backup_key.public)
if section and section.iot:
    stack = IoTStack(
        site.name,
        IoTStackArgs(
            iot=section.iot,
            epochs=site.epochs,
            seed=site.seed,
            former_seed=site.former_seed,
            network=section.node.network,
            headquarters=reached_by(site.name, site.headquarters[0], site.summary_account),
            guest=guest,
        ),
        docker,
    )
    endpoints |= stack.endpoints
    pulumi.export("powerCutSeconds", POWER_CUT_SECONDS)
    pulumi.export("certificateAuthority", stack.certificate_authority)
    if stack.page_pin:
        pulumi.export("pagePin", stack.page_pin)
if site.summaries:
    store = SummaryStore(
        site.name,
        SummaryStoreArgs(
            summaries=site.summaries,
            epochs=site.epochs,
            seed=site.seed,
            accounts=site.summary_accounts,
            admin=derive.influxdb_passwords(site.seed, site.former_seed, site.name, ADMIN, site.epochs.passwords),
            headquarters=derive.influxdb_password(site.seed, site.name, HEADQUARTERS, site.epochs.passwords),
            webhook_key=derive.webhook_key(site.seed, site.name, site.epochs.passwords),
            address=site.entry.address,
            page_address=site.address,
            tunnel=mesh.applied,
            guest=guest,
        ),
        docker,
    )
    endpoints |= store.endpoints
    if store.certificate_authority:
        pulumi.export("certificateAuthority", store.certificate_authority)

pulumi.export("site", site.name)
pulumi.export("endpoints", endpoints)
pulumi.export("hostKey", login.host_key)
pulumi.export("mesh", {"addresses": mesh.addresses, "peers": mesh.peers})
pulumi.export(
    "nextSteps",
    [
        f"log in: ssh {login}",
        f"see the tunnels: bin/edge mesh {site.name}",
        "see the containers: docker ps",
    ],
)
