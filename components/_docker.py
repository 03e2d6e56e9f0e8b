"""How a service becomes a container on a node: one place for what holds for every container."""

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_docker

from components._canary import canary_files, try_canary
from components._files import Directory, File, digest
from components._guest import Guest, Login
from components._services import CONFIG_LABEL, Service

NETWORK = "fjord-edge"

#: Docker's own spelling of what it would otherwise fill in, so that a refresh finds nothing to change.
_HEALTH_INTERVAL = "10s"
_HEALTH_TIMEOUT = "15s"
_HEALTH_RETRIES = 3
_WAIT_SECONDS = 300
_LOG_OPTIONS = {"max-size": "10m", "max-file": "3"}
_NO_FILE = 65536


def docker_provider(site: str, login: Login) -> pulumi_docker.Provider:
    """The connection to a node's Docker: by SSH, its host key pinned, the client's key from the agent or ~/.ssh."""
    options = {
        "StrictHostKeyChecking": "yes",
        "UserKnownHostsFile": "none",
        "GlobalKnownHostsFile": "none",
        "KnownHostsCommand": f"/bin/echo {login.address} {login.host_key}",
        "LogLevel": "ERROR",
    }
    return pulumi_docker.Provider(
        f"{site}-docker",
        host=f"ssh://{login}",
        ssh_opts=[word for key, value in options.items() for word in ("-o", f"{key}={value}")],
    )


@dataclass(frozen=True, kw_only=True)
class Runner:
    """Runs a component's services on a node, in a network of their own."""

    site: str
    guest: Guest
    parent: pulumi.Resource
    network: pulumi_docker.Network

    @classmethod
    def on(cls, guest: Guest, *, site: str, parent: pulumi.Resource) -> "Runner":
        """Make the network."""
        network = pulumi_docker.Network(f"{site}-network", name=NETWORK, driver="bridge", opts=guest.options(parent))
        return cls(site=site, guest=guest, parent=parent, network=network)

    def run(
        self, service: Service, files: Sequence[File | Directory], depends_on: Sequence[pulumi.Resource] = ()
    ) -> pulumi_docker.Container:
        """Bring a service's files onto the node and run its container on them; a changed file makes a new container.

        Image and files prove themselves in a canary first; while they do not, the old container runs on its old files.
        """
        guest = self.guest
        resource = f"{self.site}-{service.name}"
        image = pulumi_docker.RemoteImage(
            f"{resource}-image",
            name=service.image,
            keep_locally=True,
            # Otherwise the provider would have the old container deleted before anything of the new one is known.
            opts=guest.options(self.parent, delete_before_replace=False),
        )
        configuration = guest.install(
            f"{resource}-files",
            [*files, *canary_files(service)],
            then=f"systemctl daemon-reload && {try_canary(service)}",
            parent=self.parent,
            depends_on=[image],
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
            labels=[pulumi_docker.ContainerLabelArgs(label=CONFIG_LABEL, value=digest(files))],
            network_mode="host" if service.host_network else "bridge",
            networks_advanced=None
            if service.host_network
            else [pulumi_docker.ContainerNetworksAdvancedArgs(name=self.network.name, aliases=[service.name])],
            ports=[
                pulumi_docker.ContainerPortArgs(
                    internal=port.internal, external=port.external, ip=str(port.address), protocol="tcp"
                )
                for port in service.ports
            ],
            volumes=volumes,
            read_only=True,
            tmpfs={"/tmp": "rw,noexec,nosuid,size=16m"},  # noqa: S108  the container's own
            capabilities=pulumi_docker.ContainerCapabilitiesArgs(
                adds=list(service.capabilities) or None, drops=["ALL"]
            ),
            security_opts=["no-new-privileges:true"],
            memory=service.memory_mib,
            memory_swap=service.memory_mib,
            cpu_shares=service.cpu_shares,
            cgroup_parent=service.slice,
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
            opts=guest.options(
                self.parent,
                depends_on=[configuration, *depends_on],
                # The provider says it updates these, and does nothing (resourceDockerContainerUpdate).
                replace_on_changes=["healthcheck", "tmpfs"],
            ),
        )
