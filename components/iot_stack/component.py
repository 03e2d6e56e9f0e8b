"""`IoTStack`: the containers of a site, from rendered files to running services."""

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address

import pulumi
import pulumi_docker

from components._files import Directory, File, digest
from components._guest import Guest
from components.iot_stack import containers
from components.iot_stack.containers import Service, hook_files
from components.iot_stack.influxdb import APPLY_USERS, INFLUXDB_CONF, user_files
from components.iot_stack.mosquitto import COLLECTOR, HEALTH, BrokerUsers, mosquitto_files
from components.iot_stack.telegraf import telegraf_files
from config import derive
from config.derive import CertifiedKey, Seed
from config.site import Epochs, Iot, Network, Node

#: Docker's own spelling of what it would otherwise fill in, so that a refresh finds nothing to change.
_HEALTH_INTERVAL = "10s"
_HEALTH_TIMEOUT = "15s"
_HEALTH_RETRIES = 3
_WAIT_SECONDS = 300
_LOG_OPTIONS = {"max-size": "10m", "max-file": "3"}
_NO_FILE = 65536


def docker_provider(site: str, node: Node, host_key: str) -> pulumi_docker.Provider:
    """The connection to a node's Docker: by SSH, its host key pinned, the client's key from the agent or ~/.ssh."""
    address = node.network.address.ip
    options = {
        "StrictHostKeyChecking": "yes",
        "UserKnownHostsFile": "none",
        "GlobalKnownHostsFile": "none",
        "KnownHostsCommand": f"/bin/echo {address} {host_key}",
        "LogLevel": "ERROR",
    }
    return pulumi_docker.Provider(
        f"{site}-docker",
        host=f"ssh://{node.user}@{address}",
        ssh_opts=[word for key, value in options.items() for word in ("-o", f"{key}={value}")],
    )


@dataclass(frozen=True, kw_only=True)
class IoTStackArgs:
    """What the containers are made of: the site's sections, the seed of its passwords, and the node they run on."""

    iot: Iot
    epochs: Epochs
    seed: Seed
    network: Network
    guest: Guest


class IoTStack(pulumi.ComponentResource):
    """Broker, collector and database of one site.

    Attributes:
        endpoints: where sensors and people on the node reach them.
        certificate_authority: what a sensor trusts, PEM.
    """

    endpoints: dict[str, str]
    certificate_authority: str

    def __init__(self, name: str, args: IoTStackArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("fjord-edge:index:IoTStack", name, None, opts)
        self._site = name
        self._args = args
        self._addresses = _broker_addresses(args.network)
        self._network = pulumi_docker.Network(
            f"{name}-network",
            name=containers.NETWORK,
            driver="bridge",
            opts=args.guest.options(self),
        )
        args.guest.install(f"{name}-hooks", hook_files(), then="true", parent=self)
        authority = self._authority()
        self._collector(authority, after=[self._broker(authority), self._database()])
        self.certificate_authority = authority.certificate
        self.endpoints = {
            "mqtt": f"mqtts://{self._addresses[-1]}:{containers.MQTT_TLS_PORT}",
            "influxdb": f"http://{containers.LOOPBACK}:{containers.INFLUXDB_PORT} (on the node)",
        }
        self.register_outputs({"endpoints": self.endpoints})

    def _authority(self) -> CertifiedKey:
        life = self._args.iot.certificates
        return derive.certificate_authority(
            self._args.seed,
            self._site,
            self._args.epochs.mqtt_authority,
            not_before=life.not_before,
            not_after=life.not_after,
        )

    def _mqtt_user(self, user: str) -> derive.MqttUser:
        return derive.mqtt_user(self._args.seed, self._site, user, self._args.epochs.passwords)

    def _influxdb_password(self, user: str) -> str:
        return derive.influxdb_password(self._args.seed, self._site, user, self._args.epochs.passwords)

    def _broker(self, authority: CertifiedKey) -> pulumi_docker.Container:
        iot = self._args.iot
        server = derive.server_certificate(
            self._args.seed,
            self._site,
            self._args.epochs.mqtt_server,
            authority=authority,
            names=["mosquitto", "localhost", *iot.server_names],
            addresses=self._addresses,
            not_before=iot.certificates.not_before,
            not_after=iot.certificates.not_after,
        )
        users = BrokerUsers(
            sensors=[self._mqtt_user(sensor.id) for sensor in iot.sensors],
            collector=self._mqtt_user(COLLECTOR),
            health=self._mqtt_user(HEALTH),
        )
        service = containers.mosquitto(iot.images, self._addresses)
        files = mosquitto_files(users, authority, server, [port.internal for port in service.ports])
        return self._run(service, service.files(files))

    def _database(self) -> pulumi.Resource:
        """The database with its users; what depends on it can write."""
        service = containers.influxdb(self._args.iot.images)
        container = self._run(service, service.files({"influxdb.conf": INFLUXDB_CONF}))
        passwords = {user: self._influxdb_password(user) for user in ("admin", "telegraf", "reader")}
        return self._args.guest.install(
            f"{self._site}-influxdb-users",
            user_files(passwords),
            then=APPLY_USERS,
            parent=self,
            depends_on=[container],
        )

    def _collector(self, authority: CertifiedKey, after: Sequence[pulumi.Resource]) -> pulumi_docker.Container:
        service = containers.telegraf(self._args.iot.images)
        files = telegraf_files(
            self._args.iot.sensors, self._mqtt_user(COLLECTOR), self._influxdb_password("telegraf"), authority
        )
        return self._run(service, service.files(files), depends_on=after)

    def _run(
        self, service: Service, files: Sequence[File | Directory], depends_on: Sequence[pulumi.Resource] = ()
    ) -> pulumi_docker.Container:
        """Bring a service's files onto the node and run its container on them; a changed file makes a new container."""
        guest = self._args.guest
        resource = f"{self._site}-{service.name}"
        configuration = guest.install(f"{resource}-files", files, then="true", parent=self)
        image = pulumi_docker.RemoteImage(
            f"{resource}-image", name=service.image, keep_locally=True, opts=guest.options(self)
        )
        volumes = [
            pulumi_docker.ContainerVolumeArgs(
                host_path=service.configuration_directory, container_path=service.configuration, read_only=True
            )
        ]
        if service.data:
            volumes.append(
                pulumi_docker.ContainerVolumeArgs(host_path=service.data_directory.path, container_path=service.data)
            )
        return pulumi_docker.Container(
            resource,
            name=service.name,
            image=image.image_id,
            user=f"{service.user}:{service.user}",
            entrypoints=list(service.command),
            envs=list(service.environment),
            labels=[pulumi_docker.ContainerLabelArgs(label="fjord-edge.config", value=digest(files))],
            network_mode="bridge",
            networks_advanced=[
                pulumi_docker.ContainerNetworksAdvancedArgs(name=self._network.name, aliases=[service.name])
            ],
            ports=[
                pulumi_docker.ContainerPortArgs(
                    internal=port.internal, external=port.external, ip=str(port.address), protocol="tcp"
                )
                for port in service.ports
            ],
            volumes=volumes,
            read_only=True,
            tmpfs={"/tmp": "rw,noexec,nosuid,size=16m"},  # noqa: S108  the container's own
            capabilities=pulumi_docker.ContainerCapabilitiesArgs(drops=["ALL"]),
            security_opts=["no-new-privileges:true"],
            memory=service.memory_mib,
            memory_swap=service.memory_mib,
            ulimits=[pulumi_docker.ContainerUlimitArgs(name="nofile", soft=_NO_FILE, hard=_NO_FILE)],
            log_driver="json-file",
            log_opts=_LOG_OPTIONS,
            restart="always",
            healthcheck=pulumi_docker.ContainerHealthcheckArgs(
                tests=["CMD", *service.health_check.command],
                interval=_HEALTH_INTERVAL,
                timeout=_HEALTH_TIMEOUT,
                start_period=service.health_check.start_period,
                retries=_HEALTH_RETRIES,
            ),
            must_run=True,
            wait=True,
            wait_timeout=_WAIT_SECONDS,
            opts=guest.options(self, depends_on=[configuration, *depends_on]),
        )


def _broker_addresses(network: Network) -> list[IPv4Address]:
    """Where sensors reach the broker: at the node's own address, and on the farm's own network where there is one."""
    return [interface.address.ip for interface in (network, network.lan) if interface]
