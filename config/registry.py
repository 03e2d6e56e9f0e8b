"""The registry `config/mesh/<site>.yaml`: public facts, one file a site, owned by its team."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Annotated, Literal, Self

import yaml
from pydantic import StringConstraints, model_validator

from config.base import ConfigError, Mistake, Model

PublicKey = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=$")]
Endpoint = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9.-]+:\d{1,5}$")]


class Entry(Model):
    """One site's public facts."""

    role: Literal["hub", "site"]
    """Headquarters is the hub, all others are sites."""
    owner: str
    """The team that owns the site, as CODEOWNERS names it."""
    address: IPv4Address
    """Address in the mesh."""
    tunnel_key: PublicKey
    """WireGuard public key, base64."""
    identity_key: PublicKey
    """X25519 public key for secrets shared in pairs, base64."""
    networks: tuple[IPv4Network, ...] = ()
    """Networks reached through the site."""
    endpoint: Endpoint | None = None
    """host:port where others reach it; absent behind NAT."""
    mesh: IPv4Network | None = None
    """The mesh's network; the hub's file alone says it."""

    @model_validator(mode="after")
    def hub_is_found_and_says_the_mesh(self) -> Self:
        """Sites dial the hub, so it needs an endpoint; the mesh's network has one place."""
        if self.role == "hub" and (self.endpoint is None or self.mesh is None):
            raise ValueError("a hub needs `endpoint` (host:port) and `mesh` (the mesh's network)")
        if self.role == "site" and self.mesh is not None:
            raise ValueError("only the hub's file says `mesh`; remove it")
        return self


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


def load_registry(folder: Path) -> Registry:
    """Read and validate all entries.

    Raises:
        ConfigError: every mistake of the whole registry, with its file.
    """
    entries: dict[str, Entry] = {}
    mistakes: list[Mistake] = []
    for path in sorted(folder.glob("*.yaml")):
        try:
            entries[path.stem] = Entry.parse(_content(path), file=_shown(path.stem))
        except ConfigError as error:
            mistakes.extend(error.mistakes)
    if not mistakes:
        mistakes.extend(_mistakes_between(entries))
    if mistakes:
        raise ConfigError(*mistakes)
    return Registry(entries)


def registered_keys(folder: Path, site: str) -> dict[str, str]:
    """Read one site's entry alone, as it stands; `load_registry` judges it.

    Raises:
        ConfigError: there is no such file, or it holds no `key: value` lines.
    """
    path = folder / f"{site}.yaml"
    if not path.exists():
        raise ConfigError(Mistake(_shown(site), "", "", "the site has no registry entry; add this file"))
    return {key: str(value) for key, value in _content(path).items()}


def _content(path: Path) -> dict[str, object]:
    try:
        content = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise ConfigError(Mistake(_shown(path.stem), "", "", f"not YAML: {error}".replace("\n", " "))) from None
    if not isinstance(content, dict):
        raise ConfigError(Mistake(_shown(path.stem), "", "", "expected `key: value` lines; see config/mesh/hq.yaml"))
    return content


def _shown(name: str) -> str:
    return f"config/mesh/{name}.yaml"


def _mistakes_between(entries: Mapping[str, Entry]) -> Iterator[Mistake]:
    hubs = [name for name, entry in entries.items() if entry.role == "hub"]
    if len(hubs) != 1:
        yield Mistake("config/mesh", "role", ", ".join(hubs) or "no hub", "exactly one file must say `role: hub`")
        return
    mesh = entries[hubs[0]].mesh
    for name, entry in entries.items():
        file = _shown(name)
        if mesh is not None and entry.address not in mesh:
            yield Mistake(file, "address", str(entry.address), f"outside the mesh {mesh}; choose a free address in it")
        for network in entry.networks:
            if mesh is not None and network.overlaps(mesh):
                yield Mistake(
                    file, "networks", str(network), f"overlaps the mesh {mesh}; a site's networks lie outside"
                )
    for key in ("address", "tunnel_key", "identity_key"):
        yield from _repeated(entries, key)
    yield from _overlapping(entries)


def _repeated(entries: Mapping[str, Entry], key: str) -> Iterator[Mistake]:
    owners: dict[object, str] = {}
    for name, entry in entries.items():
        value = getattr(entry, key)
        if (owner := owners.setdefault(value, name)) != name:
            shown = Entry.model_fields[key].alias or key
            yield Mistake(_shown(name), shown, str(value), f"already taken by {owner}; each site has its own")


def _overlapping(entries: Mapping[str, Entry]) -> Iterator[Mistake]:
    """Sorted by address, an overlap is always with the network before it that reaches furthest."""
    networks = sorted((network, name) for name, entry in entries.items() for network in entry.networks)
    furthest: tuple[IPv4Network, str] | None = None
    for network, name in networks:
        if furthest and network.overlaps(furthest[0]):
            remedy = f"overlaps {furthest[0]} of {furthest[1]}; a network has one site"
            yield Mistake(_shown(name), "networks", str(network), remedy)
        if furthest is None or network.broadcast_address > furthest[0].broadcast_address:
            furthest = network, name
