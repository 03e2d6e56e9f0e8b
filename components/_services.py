"""A container on a node, as plain values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address

from components._files import CONFIGURATION, DATA, Directory, File

LOOPBACK = IPv4Address("127.0.0.1")

#: The container's label that holds the digest of its files.
CONFIG_LABEL = "fjord-edge.config"

#: Processes and threads of one container, with those of its health check.
TASKS_MAX = 256


@dataclass(frozen=True, kw_only=True)
class HealthCheck:
    """How Docker knows that a service works: a command without a shell."""

    command: Sequence[str]
    start_period: str


@dataclass(frozen=True, kw_only=True)
class Port:
    """A port at one of the node's addresses, and the container's own to which it leads."""

    address: IPv4Address
    external: int
    internal: int


@dataclass(frozen=True, kw_only=True)
class Service:
    """One container: always its own user, a read-only root, no capabilities, bounded memory."""

    name: str
    image: str
    user: int
    command: Sequence[str]
    memory_mib: int
    cpu_shares: int
    """Its weight where processors are short; the kernel's own is 1024."""
    health_check: HealthCheck
    configuration: str
    """Where the image expects its configuration."""
    data: str | None = None
    """Where the service keeps its data, if it has any."""
    ports: Sequence[Port] = ()
    """What is published."""
    environment: Sequence[str] = ()
    """NAME=value; never a secret."""
    capabilities: Sequence[str] = ()
    """What the kernel lets it do beside what it lets anybody do."""
    host_network: bool = False
    """Whether it sees the node's own interfaces; it then publishes nothing."""

    @property
    def slice(self) -> str:
        """The systemd slice that it lives in: Docker's provider has no field for a limit of processes."""
        return f"fjord_edge_{self.name.replace('-', '_')}.slice"

    @property
    def slice_file(self) -> File:
        """systemd.resource-control(5)."""
        return File(path=f"/etc/systemd/system/{self.slice}", contents=f"[Slice]\nTasksMax={TASKS_MAX}\n")

    @property
    def data_directory(self) -> Directory:
        """The service's own directory on the data disk."""
        return Directory(path=f"{DATA}/{self.name}", mode=0o700, owner=self.user)

    @property
    def configuration_directory(self) -> str:
        """The service's own configuration on the node."""
        return f"{CONFIGURATION}/{self.name}"

    def files(self, contents: Mapping[str, str]) -> list[File | Directory]:
        """The service's configuration for its user alone, and its place on the data disk."""
        directory = self.configuration_directory
        return [
            Directory(path=directory, mode=0o500, owner=self.user),
            *(
                File(path=f"{directory}/{name}", contents=text, mode=0o400, owner=self.user)
                for name, text in contents.items()
            ),
            *([self.data_directory] if self.data else []),
            self.slice_file,
        ]
