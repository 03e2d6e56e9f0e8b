"""From a stack's config and the registry to one valid `Site`; the only reader of pulumi.Config."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, ip_address
from pathlib import Path
from typing import Any

import pulumi
from pulumi.runtime.config import get_config, is_config_secret

from config.base import ConfigError, Mistake
from config.derive import IdentityKey, Seed, WireGuardKey, identity_key, wireguard_key
from config.image import check_image
from config.registry import Entry, Registry, load_registry, registered_keys
from config.site import Backup, Epochs, Iot, Node, SiteSection
from config.ssh import HypervisorKeys, hypervisor_keys

PROJECT = "fjord-edge"
CHECKOUT = Path(__file__).parent.parent
REGISTRY = CHECKOUT / "config" / "mesh"

#: Fingerprints of the seeds in the example stacks, which anyone can read, by their stack.
PUBLISHED_SEEDS: Mapping[str, str] = {"df8c6c3e0f43bca4": "hq", "59c67a45079ee61d": "oslo"}


@dataclass(frozen=True, kw_only=True)
class Site:
    """One site, valid as a whole: its own section, every site's public facts, and the seed of its keys."""

    name: str
    node: Node
    epochs: Epochs
    iot: Iot | None
    backup: Backup | None
    registry: Registry
    seed: Seed
    hypervisor_keys: HypervisorKeys

    @property
    def entry(self) -> Entry:
        """The site's own public facts."""
        return self.registry.entries[self.name]

    @property
    def headquarters(self) -> IPv4Address | None:
        """Headquarters' address in the mesh; None for headquarters itself."""
        hub = self.registry.entries[self.registry.hub]
        return None if hub is self.entry else hub.address


@dataclass(frozen=True, kw_only=True)
class StackConfig:
    """What a stack file says, as the engine hands it over: text, decrypted."""

    site: str | None
    seed: str | None
    seed_is_secret: bool


def load_site() -> Site:
    """Load the site of the running stack.

    Raises:
        pulumi.RunError: every mistake, a line each; no resource was registered.
    """
    stack = pulumi.get_stack()
    content = StackConfig(
        site=get_config(f"{PROJECT}:site"),
        seed=get_config(f"{PROJECT}:seed"),
        seed_is_secret=is_config_secret(f"{PROJECT}:seed"),
    )
    try:
        site = assemble(stack, content, REGISTRY)
        if not pulumi.runtime.is_dry_run():
            check_image(site.node.image, CHECKOUT, file=f"Pulumi.{stack}.yaml", key=f"{PROJECT}:site.node.image")
    except ConfigError as error:
        raise pulumi.RunError(f"the config of {stack} has mistakes, nothing was changed:\n{error}") from None
    return site


def assemble(stack: str, content: StackConfig, folder: Path) -> Site:
    """Validate one stack's config against the registry.

    The site's own keys come before the registry as a whole: a copied entry is told which keys to write.

    Args:
        stack: the stack's name, which is the site's.
        content: the stack's config.
        folder: the registry.

    Raises:
        ConfigError: what is wrong, with file, key, value and remedy.
    """
    file = f"Pulumi.{stack}.yaml"
    section = SiteSection.parse(_site_section(content, file), file=file, root=f"{PROJECT}:site")
    seed = _seed(content, file, stack, allow_published=section.allow_published_seed)
    _check_keys(stack, registered_keys(folder, stack), seed, section.epochs)
    registry = load_registry(folder)
    _check_management_path(section, registry, file)
    _check_backup_path(section, registry, file)
    _check_networks(stack, section, registry, file)
    _check_role(registry.entries[stack], section, file)
    return Site(
        name=stack,
        node=section.node,
        epochs=section.epochs,
        iot=section.iot,
        backup=section.backup,
        registry=registry,
        seed=seed,
        hypervisor_keys=hypervisor_keys(
            section.node.hypervisor, CHECKOUT, file=file, key=f"{PROJECT}:site.node.hypervisor"
        ),
    )


def _site_section(content: StackConfig, file: str) -> dict[str, Any]:
    key = f"{PROJECT}:site"
    if content.site is None:
        raise ConfigError(
            Mistake(file, key, "", "this key is missing; copy the section of Pulumi.oslo.yaml and edit it")
        )
    try:
        section = json.loads(content.site)
    except ValueError:
        section = None
    if not isinstance(section, dict):
        raise ConfigError(Mistake(file, key, "", "expected a section of keys; see Pulumi.oslo.yaml"))
    return section


def _seed(content: StackConfig, file: str, stack: str, *, allow_published: bool) -> Seed:
    key = f"{PROJECT}:seed"
    command = f"openssl rand -base64 32 | pulumi config set --secret seed --stack {stack}"
    if content.seed is None:
        raise ConfigError(Mistake(file, key, "", f"the seed is missing; make one: {command}"))
    if not content.seed_is_secret:
        raise ConfigError(
            Mistake(file, key, "", f"the seed lies here in the clear; it is spent, make another: {command}")
        )
    try:
        seed = Seed.parse(content.seed)
    except ValueError as error:
        raise ConfigError(Mistake(file, key, "", str(error))) from None
    example = PUBLISHED_SEEDS.get(seed.fingerprint)
    if example and not allow_published:
        raise ConfigError(
            Mistake(file, key, "", f"this is the published seed of the example {example}; make one: {command}")
        )
    return seed


def _check_role(entry: Entry, section: SiteSection, file: str) -> None:
    key = f"{PROJECT}:site.iot"
    if entry.role == "site" and section.iot is None:
        raise ConfigError(Mistake(file, key, "", "a site needs this section; see Pulumi.oslo.yaml"))
    if entry.role == "hub" and section.iot is not None:
        raise ConfigError(Mistake(file, key, "", "a hub takes in no sensors; remove this section"))


def _check_management_path(section: SiteSection, registry: Registry, file: str) -> None:
    """A hypervisor that is reached through its own guest is out of reach exactly when it is needed."""
    host = section.node.hypervisor.host
    try:
        inside = ip_address(host) in registry.network
    except ValueError:
        return
    if inside:
        remedy = f"lies inside the mesh {registry.network}; give the hypervisor's own management address"
        raise ConfigError(Mistake(file, f"{PROJECT}:site.node.hypervisor.host", host, remedy))


def _check_backup_path(section: SiteSection, registry: Registry, file: str) -> None:
    """A new node takes its data back before its tunnel is up."""
    try:
        inside = section.backup is not None and ip_address(section.backup.host) in registry.network
    except ValueError:
        return
    if section.backup and inside:
        remedy = f"lies inside the mesh {registry.network}; a new node takes its data back before it has a tunnel"
        raise ConfigError(Mistake(file, f"{PROJECT}:site.backup.host", section.backup.host, remedy))


def _check_networks(stack: str, section: SiteSection, registry: Registry, file: str) -> None:
    """What the tunnel leads to, the mesh and the other sites' networks, cannot also lie beside the guest."""
    beyond = {registry.network: "the mesh"} | {
        network: f"the network of {name}"
        for name, entry in registry.entries.items()
        if name != stack
        for network in entry.networks
    }
    mistakes = [
        Mistake(
            file,
            f"{PROJECT}:site.node.{place}.address",
            str(interface.address),
            f"overlaps {whose} {network}, to which the tunnel leads; give the interface another network",
        )
        for place, interface in section.node.network.interfaces.items()
        for network, whose in beyond.items()
        if interface.address.network.overlaps(network)
    ]
    if mistakes:
        raise ConfigError(*mistakes)


def _check_keys(site: str, registered: Mapping[str, str], seed: Seed, epochs: Epochs) -> None:
    """The registry tells everyone else this site's public keys: they must be the ones that its seed gives."""
    computed: dict[str, WireGuardKey | IdentityKey] = {
        "tunnelKey": wireguard_key(seed, site, epochs.wireguard),
        "identityKey": identity_key(seed, site, epochs.identity),
    }
    mistakes = [
        Mistake(
            f"config/mesh/{site}.yaml",
            name,
            registered.get(name, ""),
            f"the seed and epoch give another key; write `{name}: {key.public}`",
        )
        for name, key in computed.items()
        if registered.get(name) != key.public
    ]
    if mistakes:
        raise ConfigError(*mistakes)
