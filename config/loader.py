"""From a stack's config and the registry to one valid `Site`; the only reader of pulumi.Config."""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Any

import pulumi
from pulumi.runtime.config import get_config, is_config_secret

from config.base import ConfigError, Mistake
from config.derive import IdentityKey, Seed, WireGuardKey, identity_key, rotated, summary_account, wireguard_key
from config.image import check_image
from config.names import pins_are_needed
from config.registry import OVERHEAD_BYTES, Entry, IPNetwork, Registry, RegistryFile, load_registry, read_entry, shown
from config.site import Epochs, HostSection, SiteSection, Summaries
from config.ssh import HypervisorKeys, hypervisor_keys, planned_keys

PROJECT = "fjord-edge"

#: The smallest packet that every IPv6 link carries, bytes.
IPV6_MTU = 1280

CHECKOUT = Path(__file__).parent.parent
REGISTRY = CHECKOUT / "config" / "mesh"

#: Fingerprints of the seeds in the example stacks, which anyone can read, by their stack.
PUBLISHED_SEEDS: Mapping[str, str] = {
    "df8c6c3e0f43bca4": "hq",
    "59c67a45079ee61d": "oslo",
    "d9795f0b640c3691": "bergen",
    "215c948940df4d2f": "tromso",
}

#: Salts of the passphrases that these stacks are encrypted by, which are published too.
PUBLISHED_SALTS: Mapping[str, str] = {
    "sJU4/gfvWdk=": "hq",
    "rrs30Btajd4=": "oslo",
    "XrTHgiFhYo8=": "bergen",
    "ChpNiLZeQWo=": "tromso",
}

_PLACEHOLDER: ContextVar[Seed | None] = ContextVar("placeholder", default=None)


def published_passphrase(salt: str) -> str | None:
    """The example whose passphrase a stack is encrypted by, from the stack file's `encryptionsalt`: `v1:<salt>:…`."""
    return PUBLISHED_SALTS.get(salt.split(":")[1] if ":" in salt else "")


def example_passphrase(example: str) -> str:
    """The passphrase of an example stack, published like its seed; each has its own, as each team's stack has."""
    return f"fjord-{example}"


@contextmanager
def placeholder(seed: Seed) -> Iterator[None]:
    """Within it, a stack with this seed needs no pins, nor the keys of its registry entry, nor those of this machine.

    Only for a plan, which deploys nothing. Neither a config nor the environment leads here, and any other seed is held
    against the registry as ever.
    """
    token, pins = _PLACEHOLDER.set(seed), pins_are_needed.set(False)
    try:
        yield
    finally:
        _PLACEHOLDER.reset(token)
        pins_are_needed.reset(pins)


@dataclass(frozen=True, kw_only=True)
class OnHypervisor:
    """A site with a node of its own, and the keys to the hypervisor that carries it."""

    section: SiteSection
    keys: HypervisorKeys


@dataclass(frozen=True, kw_only=True)
class Site:
    """One site, valid as a whole: its own section, every site's public facts, and the seed of its keys."""

    name: str
    place: OnHypervisor | HostSection
    """Its section: of a site with a node of its own, or of a headquarters on a machine that is there already."""
    registry: Registry
    seed: Seed
    next_seed: Seed | None
    former_seed: Seed | None

    @property
    def section(self) -> SiteSection | HostSection:
        """What its stack file says."""
        return self.place.section if isinstance(self.place, OnHypervisor) else self.place

    @property
    def summaries(self) -> Summaries | None:
        """The store of what the sites send; at headquarters alone."""
        return self.section.summaries

    @property
    def address(self) -> IPv4Address | None:
        """Its own address outside the mesh."""
        place = self.place
        return place.address if isinstance(place, HostSection) else place.section.node.network.address.ip

    @property
    def uplink_mtus(self) -> list[int]:
        """The largest packet that each way out carries, bytes."""
        if isinstance(self.place, HostSection):
            return [self.place.host.mtu]
        network = self.place.section.node.network
        return [uplink.mtu for uplink in (network, network.backup) if uplink]

    @property
    def epochs(self) -> Epochs:
        """Of the derived keys."""
        return self.section.epochs

    @property
    def entry(self) -> Entry:
        """The site's own public facts."""
        return self.registry.entries[self.name]

    @property
    def tunnel_keys(self) -> list[WireGuardKey]:
        """The key of the site's end of the tunnel, and the one that takes its place while it is rotated."""
        keys = [wireguard_key(self.seed, self.name, self.epochs.wireguard)]
        if self.entry.next_tunnel_key:
            keys.append(next_wireguard_key(self.seed, self.next_seed, self.name, self.epochs))
        return keys

    @property
    def summary_accounts(self) -> dict[str, dict[str, str]]:
        """Headquarters' user names and passwords for each other site: those of every pair of keys that is in use."""
        own = [identity_key(self.seed, self.name, self.epochs.identity)]
        if self.entry.next_identity_key:
            own.append(next_identity_key(self.seed, self.next_seed, self.name, self.epochs))
        return {
            name: dict(
                summary_account(name, key, theirs)
                for key in own
                for theirs in (entry.identity_key, entry.next_identity_key)
                if theirs
            )
            for name, entry in self.registry.entries.items()
            if name != self.name
        }

    @property
    def summary_account(self) -> tuple[str, str]:
        """A site's user name and password at headquarters, by the key that the registry has of it now."""
        own = identity_key(self.seed, self.name, self.epochs.identity)
        return summary_account(self.name, own, self.registry.entries[self.registry.hub].identity_key)

    @property
    def headquarters(self) -> tuple[IPv4Address | IPv6Address, ...]:
        """Headquarters' addresses in the mesh; none for headquarters itself."""
        hub = self.registry.entries[self.registry.hub]
        if hub is self.entry:
            return ()
        return (hub.address, hub.address6) if hub.address6 else (hub.address,)


@dataclass(frozen=True, kw_only=True)
class StackConfig:
    """What a stack file says, as the engine hands it over: text, decrypted."""

    site: str | None
    seed: str | None
    seed_is_secret: bool
    next_seed: str | None = None
    former_seed: str | None = None
    further_seeds_are_secret: bool = True
    backend: str | None = None
    """Where the shell says that Pulumi keeps states; None where the engine goes by its login."""


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
        next_seed=get_config(f"{PROJECT}:nextSeed"),
        former_seed=get_config(f"{PROJECT}:formerSeed"),
        further_seeds_are_secret=all(
            is_config_secret(key)
            for key in (f"{PROJECT}:nextSeed", f"{PROJECT}:formerSeed")
            if get_config(key) is not None
        ),
        backend=os.environ.get("PULUMI_BACKEND_URL"),
    )
    try:
        site = assemble(stack, content, REGISTRY)
        if isinstance(site.place, OnHypervisor) and not pulumi.runtime.is_dry_run():
            check_image(
                site.place.section.node.image, CHECKOUT, file=f"Pulumi.{stack}.yaml", key=f"{PROJECT}:site.node.image"
            )
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
    section = parse_section(_site_section(content, file), file)
    seed = _seed(content, file, stack, allow_published=section.allow_published_seed)
    next_seed = _further_seed(content, "nextSeed", content.next_seed, file)
    former_seed = _further_seed(content, "formerSeed", content.former_seed, file)
    entry = read_entry(folder, stack)
    is_placeholder = seed == _PLACEHOLDER.get()
    if not is_placeholder:
        _check_keys(entry, public_keys(seed, next_seed, stack, section.epochs))
    registry = load_registry(folder)
    _check_backend(stack, registry.entries[stack], content.backend)
    _check_role(registry.entries[stack], section, file)
    place: OnHypervisor | HostSection
    if isinstance(section, HostSection):
        place = section
    else:
        _check_management_path(section, registry, file)
        _check_backup_path(section, registry, file)
        _check_networks(stack, section, registry, file)
        hypervisor, key = section.node.hypervisor, f"{PROJECT}:site.node.hypervisor"
        if is_placeholder:
            keys = planned_keys(hypervisor, CHECKOUT)
        else:
            keys = hypervisor_keys(hypervisor, CHECKOUT, file=file, key=key)
        place = OnHypervisor(section=section, keys=keys)
    site = Site(
        name=stack,
        place=place,
        registry=registry,
        seed=seed,
        next_seed=next_seed,
        former_seed=former_seed,
    )
    _check_tunnel(site, file)
    return site


def parse_section(content: Mapping[str, Any], file: str) -> SiteSection | HostSection:
    """Validate `fjord-edge:site`: of a site with a node, or of a headquarters on a machine that is there already.

    Raises:
        ConfigError: what is wrong.
    """
    model = HostSection if "host" in content else SiteSection
    return model.parse(content, file=file, root=f"{PROJECT}:site")


def _site_section(content: StackConfig, file: str) -> dict[str, Any]:
    key = f"{PROJECT}:site"
    if content.site is None:
        raise ConfigError(
            Mistake(file, key, "", "this key is missing; copy the section of edge/templates/site.yaml and edit it")
        )
    try:
        section = json.loads(content.site)
    except ValueError:
        section = None
    if not isinstance(section, dict):
        raise ConfigError(Mistake(file, key, "", "expected a section of keys; see edge/templates/site.yaml"))
    return section


def _seed(content: StackConfig, file: str, stack: str, *, allow_published: bool) -> Seed:
    key = f"{PROJECT}:seed"
    if content.seed is None:
        raise no_seed(file, stack)
    if not content.seed_is_secret:
        raise no_seed(file, stack, "the seed lies here in the clear; it is spent, make another")
    try:
        seed = Seed.parse(content.seed)
    except ValueError as error:
        raise ConfigError(Mistake(file, key, "", str(error))) from None
    example = PUBLISHED_SEEDS.get(seed.fingerprint)
    if example and not allow_published:
        remedy = f"this is the published seed of the example {example}, as its passphrase is; make a site of your own: "
        raise ConfigError(Mistake(file, key, "", f"{remedy}bin/edge new-site <name> --owner <team>"))
    return seed


def no_seed(file: str, stack: str, why: str = "the seed is missing; make one") -> ConfigError:
    """That a stack has no seed that can be used, and the command that makes one."""
    command = f"openssl rand -base64 32 | pulumi config set --secret seed --stack {stack}"
    return ConfigError(Mistake(file, f"{PROJECT}:seed", "", f"{why}: {command}"))


def _further_seed(content: StackConfig, name: str, text: str | None, file: str) -> Seed | None:
    """The seed before or after the one in use, while it is changed by `edge reseed`."""
    key = f"{PROJECT}:{name}"
    if text is None:
        return None
    if not content.further_seeds_are_secret:
        raise ConfigError(Mistake(file, key, "", "a seed lies here in the clear; it is spent, make another"))
    try:
        return Seed.parse(text)
    except ValueError as error:
        raise ConfigError(Mistake(file, key, "", str(error))) from None


def _check_backend(stack: str, entry: Entry, asked: str | None) -> None:
    """A state that lies elsewhere would be empty, and the site would be made a second time.

    What `pulumi login` remembered is the engine's alone: without the variable nothing is known, and nothing is checked.
    """
    if entry.backend and asked is not None and entry.backend.rstrip("/") != asked.rstrip("/"):
        remedy = f'PULUMI_BACKEND_URL is another; in this shell: eval "$(bin/edge env {stack})"'
        raise ConfigError(Mistake(shown(stack), "backend", entry.backend, remedy))


def _check_role(entry: Entry, section: SiteSection | HostSection, file: str) -> None:
    root = f"{PROJECT}:site"
    mistake = None
    if isinstance(section, HostSection):
        if entry.role == "site":
            mistake = "host", "only the hub may be on a machine that is there already; give the site a `node`"
    elif entry.role == "site" and section.iot is None:
        mistake = "iot", "a site needs this section; see edge/templates/site.yaml"
    elif entry.role == "hub" and section.iot is not None:
        mistake = "iot", "a hub takes in no sensors; remove this section"
    elif entry.role == "site" and section.summaries is not None:
        mistake = "summaries", "only the hub keeps summaries; remove this section"
    if mistake:
        raise ConfigError(Mistake(file, f"{root}.{mistake[0]}", "", mistake[1]))


def _check_management_path(section: SiteSection, registry: Registry, file: str) -> None:
    """A hypervisor that is reached through its own guest is out of reach exactly when it is needed."""
    host = section.node.hypervisor.host
    if mesh := _mesh_around(host, registry):
        remedy = f"lies inside the mesh {mesh}; give the hypervisor's own management address"
        raise ConfigError(Mistake(file, f"{PROJECT}:site.node.hypervisor.host", host, remedy))


def _check_backup_path(section: SiteSection, registry: Registry, file: str) -> None:
    """A new node takes its data back before its tunnel is up."""
    if section.backup and (mesh := _mesh_around(section.backup.host, registry)):
        remedy = f"lies inside the mesh {mesh}; a new node takes its data back before it has a tunnel"
        raise ConfigError(Mistake(file, f"{PROJECT}:site.backup.host", section.backup.host, remedy))


def _mesh_around(host: str, registry: Registry) -> IPNetwork | None:
    """The mesh's network in which a host lies that is given by its address."""
    try:
        address = ip_address(host)
    except ValueError:
        return None
    return next((network for network in registry.networks if address in network), None)


def _check_tunnel(site: Site, file: str) -> None:
    """Linux gives no IPv6 address to an interface whose packets are smaller (RFC 8200, section 5)."""
    smallest, needed = min(site.uplink_mtus), IPV6_MTU + OVERHEAD_BYTES
    if site.entry.address6 and smallest < needed:
        remedy = (
            f"the tunnel's packets would be too small for its IPv6 address; write at least {needed}, or drop address6"
        )
        raise ConfigError(Mistake(file, f"{PROJECT}:site … mtu", str(smallest), f"{remedy} in {shown(site.name)}"))


def _check_networks(stack: str, section: SiteSection, registry: Registry, file: str) -> None:
    """What the tunnel leads to, the mesh and the other sites' networks, cannot also lie beside the guest."""
    beyond: dict[IPNetwork, str] = dict.fromkeys(registry.networks, "the mesh") | {
        network: f"the network of {name}"
        for name, entry in registry.entries.items()
        if name != stack
        for network in entry.networks
    }
    mistakes = [
        Mistake(
            file,
            f"{PROJECT}:site.node.{place}.{key}",
            str(address),
            f"overlaps {whose} {network}, to which the tunnel leads; give the interface another network",
        )
        for place, interface in section.node.network.interfaces.items()
        for key, address in zip(("address", "address6"), interface.addresses, strict=False)
        for network, whose in beyond.items()
        if address.version == network.version and address.network.overlaps(network)
    ]
    if mistakes:
        raise ConfigError(*mistakes)


def public_keys(seed: Seed, next_seed: Seed | None, site: str, epochs: Epochs) -> dict[str, str]:
    """The public keys that a site's registry file says, by their place in it: those in use, and those to come."""
    computed: dict[str, WireGuardKey | IdentityKey] = {
        "tunnelKey": wireguard_key(seed, site, epochs.wireguard),
        "identityKey": identity_key(seed, site, epochs.identity),
        "nextTunnelKey": next_wireguard_key(seed, next_seed, site, epochs),
        "nextIdentityKey": next_identity_key(seed, next_seed, site, epochs),
    }
    return {name: key.public for name, key in computed.items()}


def next_wireguard_key(seed: Seed, next_seed: Seed | None, site: str, epochs: Epochs) -> WireGuardKey:
    """The tunnel key that follows the one in use."""
    source, epoch = rotated(seed, next_seed, epochs.wireguard)
    return wireguard_key(source, site, epoch)


def next_identity_key(seed: Seed, next_seed: Seed | None, site: str, epochs: Epochs) -> IdentityKey:
    """The identity key that follows the one in use."""
    source, epoch = rotated(seed, next_seed, epochs.identity)
    return identity_key(source, site, epoch)


def _check_keys(registered: RegistryFile, computed: Mapping[str, str]) -> None:
    """The registry tells everyone else this site's public keys: they must be the ones that its seed gives."""
    mistakes = []
    for name, key in computed.items():
        found = registered.content.get(name)
        is_next = name.startswith("next")
        if found == key or (is_next and found is None):
            continue
        remedy = f"the seed and epoch give another key; write `{name}: {key}`"
        if is_next:
            remedy += ", or remove the line when the rotation is over"
        mistakes.append(Mistake(registered.at(name), name, str(found or ""), remedy))
    if mistakes:
        raise ConfigError(*mistakes)
