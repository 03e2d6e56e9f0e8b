"""The registry `config/mesh/<site>.yaml`: public facts, one file a site, owned by its team."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
    ip_interface,
)
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import parse_qsl, urlsplit

from pydantic import AfterValidator, Field, IPvAnyNetwork, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from config import yaml_text
from config.base import ConfigError, Mistake, Model
from config.versions import DOCKER_NETWORK

IPNetwork = IPv4Network | IPv6Network
IPInterface = IPv4Interface | IPv6Interface

#: WireGuard's customary port, on which a site without an endpoint listens.
DEFAULT_PORT = 51820

#: What WireGuard adds to a packet that it carries over IPv6: 40 of IPv6, 8 of UDP, 32 of its own (wg-quick(8)).
OVERHEAD_BYTES = 80


#: Where Pulumi keeps states: `pulumi login --help`.
_BACKENDS = ("file", "s3", "gs", "azblob", "https")

#: What a backend's address may say after its `?`: where a bucket lies and how it is spoken to, never a key to it.
_BACKEND_OPTIONS = ("awssdk", "disableSSL", "endpoint", "profile", "region", "s3ForcePathStyle", "storage_account")


def port_of(endpoint: str) -> int:
    """The port of host:port."""
    return int(endpoint.rpartition(":")[2])


def host_of(endpoint: str) -> str:
    """The name or address of host:port."""
    return urlsplit(f"//{endpoint}").hostname or endpoint


def _can_be_dialled(endpoint: str) -> str:
    if not re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?):[0-9]{1,5}", endpoint):
        raise ValueError("not host:port; write a name or an address and a port, hq.example.com:51820")
    if not 1 <= port_of(endpoint) <= 65535:
        raise ValueError("the port is not within 1 to 65535")
    return endpoint


def _is_a_team(owner: str) -> str:
    if not re.fullmatch(r"@[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(/[A-Za-z0-9_.-]+)?", owner):
        raise ValueError("no team of the forge's; write @team or @organisation/team")
    return owner


def _is_a_backend_without_credentials(address: str) -> str:
    parts = urlsplit(address)
    options = {key for key, _ in parse_qsl(parts.query, keep_blank_values=True)}
    if "@" in address or not options <= set(_BACKEND_OPTIONS):
        raise PydanticCustomError(
            "credentials",
            "everybody reads this file: credentials come from the environment; the options may be "
            + ", ".join(_BACKEND_OPTIONS),
        )
    if parts.scheme not in _BACKENDS or not (parts.netloc or parts.path):
        raise ValueError(f"not an address that `pulumi login` takes; it begins with {'://, '.join(_BACKENDS)}://")
    return address


def place_of(backend: str) -> str | None:
    """Where a backend's states lie, as policy/places.json names places: a region, a host or a bucket; None is here."""
    parts = urlsplit(backend)
    options = dict(parse_qsl(parts.query))
    match parts.scheme:
        case "file":
            return None
        case "s3" if "endpoint" in options:
            return host_of(options["endpoint"].rpartition("//")[2])
        case "s3":
            return options.get("region", parts.netloc)
    return parts.hostname


PublicKey = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=$")]
Endpoint = Annotated[str, AfterValidator(_can_be_dialled)]
Owner = Annotated[str, AfterValidator(_is_a_team)]
Backend = Annotated[str, AfterValidator(_is_a_backend_without_credentials)]


class Entry(Model):
    """One site's public facts."""

    role: Literal["hub", "site"]
    """Headquarters is the hub, all others are sites."""
    owner: Owner
    """The team that owns the site, as CODEOWNERS names it: @team or @organisation/team."""
    approvers: tuple[Owner, ...] = ()
    """Who approves a change of the site's files, where that is not the owner."""
    backend: Backend | None = None
    """Where Pulumi keeps the site's state; without it, wherever the shell is logged in."""
    address: IPv4Address
    """Address in the mesh."""
    address6: IPv6Address | None = None
    """IPv6 address in the mesh."""
    tunnel_key: PublicKey
    """WireGuard public key, base64."""
    next_tunnel_key: PublicKey | None = None
    """The WireGuard public key that takes its place in a rotation; the others let both in meanwhile."""
    identity_key: PublicKey
    """X25519 public key for secrets shared in pairs, base64."""
    next_identity_key: PublicKey | None = None
    """The identity key that takes its place; headquarters takes the passwords of both meanwhile."""
    networks: tuple[IPvAnyNetwork, ...] = ()
    """Networks reached through the site."""
    endpoint: Endpoint | None = None
    """host:port where others reach it; absent behind NAT."""
    next_endpoint: Endpoint | None = None
    """Where the hub is reached with its next key: another port, since both keys are in use at once."""
    ring: Annotated[int, Field(ge=1, le=4)] = 3
    """When a merged change is deployed here: ring by ring, the lowest first; headquarters has a place of its own."""
    mesh: IPv4Network | None = None
    """The mesh's network; the hub's file alone says it."""
    mesh6: IPv6Network | None = None
    """The mesh's IPv6 network, if it has one; the hub's file alone says it."""

    @model_validator(mode="after")
    def hub_is_found_and_says_the_mesh(self) -> Self:
        """Sites dial the hub, so it needs an endpoint; the mesh's network has one place."""
        if self.role == "hub" and (self.endpoint is None or self.mesh is None):
            raise ValueError("a hub needs `endpoint` (host:port) and `mesh` (the mesh's network)")
        if self.role == "site" and (self.mesh is not None or self.mesh6 is not None):
            raise ValueError("only the hub's file says `mesh` and `mesh6`; remove it")
        return self

    @model_validator(mode="after")
    def hub_is_in_no_ring(self) -> Self:
        """Headquarters goes before or after all rings, as the change asks; `edge order` tells which."""
        if self.role == "hub" and "ring" in self.model_fields_set:
            raise ValueError("headquarters is in no ring; remove `ring`")
        return self

    @model_validator(mode="after")
    def hub_rotates_by_a_second_port(self) -> Self:
        """Two interfaces cannot listen on one port, and a site changes its key on the interface that it has."""
        if self.role == "site" and self.next_endpoint:
            raise ValueError("a site's next key needs no `nextEndpoint`; remove it")
        if self.role == "site":
            return self
        if bool(self.next_tunnel_key) != bool(self.next_endpoint):
            raise ValueError("a hub's `nextTunnelKey` and `nextEndpoint` come and go together")
        if self.next_endpoint and self.endpoint and port_of(self.next_endpoint) == port_of(self.endpoint):
            raise ValueError("`nextEndpoint` has the port of `endpoint`; give it another one")
        return self

    @property
    def allowed_ips(self) -> tuple[IPNetwork, ...]:
        """What lies behind the site's end of the tunnel: its own addresses and its networks."""
        own: list[IPNetwork] = [IPv4Network(self.address), *self.networks]
        if self.address6:
            own.insert(1, IPv6Network(self.address6))
        return tuple(own)


@dataclass(frozen=True)
class Registry:
    """Every site's entry by name, valid as a whole."""

    entries: Mapping[str, Entry]

    @cached_property
    def hub(self) -> str:
        """The hub's name."""
        return next(name for name, entry in self.entries.items() if entry.role == "hub")

    @cached_property
    def network(self) -> IPv4Network:
        """The mesh's network."""
        network = self.entries[self.hub].mesh
        assert network is not None  # noqa: S101  Entry's own rule
        return network

    @property
    def networks(self) -> tuple[IPNetwork, ...]:
        """The mesh's networks of both families."""
        network6 = self.entries[self.hub].mesh6
        return (self.network, network6) if network6 else (self.network,)

    def interfaces(self, site: str) -> tuple[IPInterface, ...]:
        """A site's addresses in the mesh, each with the mesh's prefix length."""
        entry = self.entries[site]
        own = [entry.address, *([entry.address6] if entry.address6 else [])]
        return tuple(
            ip_interface(f"{address}/{network.prefixlen}") for address, network in zip(own, self.networks, strict=False)
        )


@dataclass(frozen=True)
class RegistryFile:
    """One file as it was written: what it says, and where."""

    name: str
    content: Mapping[str, object]
    lines: Mapping[str, int]
    """Line of each key, and of each item of a list as `key.number`, from 1."""

    @property
    def path(self) -> str:
        """As messages show it."""
        return shown(self.name)

    def at(self, key: str) -> str:
        """File and line of a key; the file alone where it has none."""
        while key and key not in self.lines:
            key = key.rpartition(".")[0]
        return f"{self.path}:{self.lines[key]}" if key else self.path


def load_registry(folder: Path) -> Registry:
    """Read and validate all entries.

    Raises:
        ConfigError: every mistake of the whole registry, with its file and line.
    """
    files: dict[str, RegistryFile] = {}
    entries: dict[str, Entry] = {}
    mistakes: list[Mistake] = []
    for path in sorted(folder.glob("*.yaml")):
        try:
            file = read_entry(folder, path.stem)
            files[file.name] = file
            entries[file.name] = Entry.parse(file.content, file=file.path)
        except ConfigError as error:
            mistakes += [_placed(mistake, files.get(path.stem)) for mistake in error.mistakes]
    if not mistakes:
        mistakes += _mistakes_between(entries, files)
    if mistakes:
        raise ConfigError(*mistakes)
    return Registry(entries)


def read_entry(folder: Path, site: str) -> RegistryFile:
    """Read one site's entry alone, as it stands; `load_registry` judges it.

    Raises:
        ConfigError: there is no such file, it holds no `key: value` lines, or one of them twice.
    """
    path = folder / f"{site}.yaml"
    if not path.exists():
        raise ConfigError(Mistake(shown(site), "", "", "the site has no registry entry; `edge key` prints one"))
    content, lines = yaml_text.read(path, shown(site))
    if not isinstance(content, dict):
        raise ConfigError(Mistake(shown(site), "", "", "expected `key: value` lines; see config/registry.py"))
    return RegistryFile(site, content, lines)


def shown(site: str) -> str:
    """A site's registry file as messages show it."""
    return f"config/mesh/{site}.yaml"


def _placed(mistake: Mistake, file: RegistryFile | None) -> Mistake:
    return mistake._replace(file=file.at(mistake.key)) if file else mistake


def _mistakes_between(entries: Mapping[str, Entry], files: Mapping[str, RegistryFile]) -> Iterator[Mistake]:
    hubs = [name for name, entry in entries.items() if entry.role == "hub"]
    if len(hubs) != 1:
        remedy = "exactly one file must say `role: hub`"
        if not hubs:
            remedy += '; `edge new-site <name> --hub` makes the first: docs/tutorial.md, "A fleet of your own"'
        yield Mistake("config/mesh", "role", ", ".join(hubs) or "no hub", remedy)
        return
    meshes: Sequence[IPNetwork] = Registry(entries).networks
    for name, entry in entries.items():
        yield from _outside(entry, files[name], meshes)
        yield from _dockers(entry, files[name])
    for keys in (("address",), ("address6",), ("tunnelKey", "nextTunnelKey"), ("identityKey", "nextIdentityKey")):
        yield from _repeated(entries, files, keys)
    yield from _overlapping(entries, files)


def _outside(entry: Entry, file: RegistryFile, meshes: Sequence[IPNetwork]) -> Iterator[Mistake]:
    """Addresses outside the mesh, and networks inside it."""
    by_version = {mesh.version: mesh for mesh in meshes}
    for key, address in (("address", entry.address), ("address6", entry.address6)):
        if address is None:
            continue
        mesh = by_version.get(address.version)
        if mesh is None:
            yield Mistake(file.at(key), key, str(address), "the mesh has no IPv6 network; remove it, or add `mesh6`")
        elif address not in mesh:
            yield Mistake(file.at(key), key, str(address), f"outside the mesh {mesh}; choose a free address in it")
        elif address == mesh.network_address or (mesh.version == 4 and address == mesh.broadcast_address):
            yield Mistake(file.at(key), key, str(address), f"is no host's address in {mesh}; choose a free one")
    for number, network in enumerate(entry.networks):
        mesh = by_version.get(network.version)
        if mesh is not None and network.overlaps(mesh):
            remedy = f"overlaps the mesh {mesh}; a site's networks lie outside"
            yield Mistake(file.at(f"networks.{number}"), "networks", str(network), remedy)


def _dockers(entry: Entry, file: RegistryFile) -> Iterator[Mistake]:
    """Each node has Docker's own bridge there: it would look for the others on itself."""
    remedy = f"overlaps {DOCKER_NETWORK}, which Docker takes on each node; give it another network"
    named = (("mesh", entry.mesh), *((f"networks.{number}", each) for number, each in enumerate(entry.networks)))
    for key, network in named:
        if isinstance(network, IPv4Network) and network.overlaps(DOCKER_NETWORK):
            yield Mistake(file.at(key), key.partition(".")[0], str(network), remedy)


def _repeated(
    entries: Mapping[str, Entry], files: Mapping[str, RegistryFile], keys: Sequence[str]
) -> Iterator[Mistake]:
    owners: dict[object, str] = {}
    attributes = {field.alias: name for name, field in Entry.model_fields.items()}
    for name, entry in entries.items():
        for key in keys:
            value = getattr(entry, attributes[key])
            if value is None:
                continue
            if value in owners:
                remedy = f"already taken by {owners[value]}; each site has its own"
                yield Mistake(files[name].at(key), key, str(value), remedy)
            owners.setdefault(value, name)


def _overlapping(entries: Mapping[str, Entry], files: Mapping[str, RegistryFile]) -> Iterator[Mistake]:
    """Sorted by address, an overlap is always with the network before it that reaches furthest."""
    everything = [
        (network.version, int(network.network_address), int(network.broadcast_address), name, number, network)
        for name, entry in entries.items()
        for number, network in enumerate(entry.networks)
    ]
    furthest: tuple[int, int, str, IPNetwork] | None = None
    for version, first, last, name, number, network in sorted(everything, key=lambda each: each[:5]):
        if furthest and furthest[0] == version and first <= furthest[1]:
            remedy = f"overlaps {furthest[3]} of {furthest[2]}; a network has one site"
            yield Mistake(files[name].at(f"networks.{number}"), "networks", str(network), remedy)
        if furthest is None or furthest[0] != version or last > furthest[1]:
            furthest = version, last, name, network
