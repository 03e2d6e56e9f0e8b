"""Look through a site's exported state for what must not be there in the clear, and at what encrypts the rest."""

import argparse
import base64
import binascii
import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from config import derive
from config.derive import Purpose, Seed
from config.iot import SERVICES
from config.loader import REGISTRY, published_passphrase
from config.registry import Registry, load_registry
from config.site import HostSection, SiteSection
from edge.site import EdgeError, Site, refused, table

#: What encrypts a state so that only its team reads it; the engine's own names.
_ENCRYPTING = ("cloud", "passphrase", "service")

_KEY = re.compile(r"(?:password|passphrase|secret|token|private_?key)$", re.IGNORECASE)
_TEXT = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----|\bPrivateKey *= *\S{44}"
    r"|\"privateKey\": *\"\S{44}\"|AGE-SECRET-KEY-1|\$7\$\d+\$"
)

#: As `config/crypt.go` of the engine's SDK has them.
_ITERATIONS, _KEY_BYTES = 1_000_000, 32


def add_arguments(_parser: argparse.ArgumentParser) -> None:
    """What it understands beside the site."""


def run(arguments: argparse.Namespace) -> int:
    """Export, look, tell where something is, never what; the status is 1 too when not everything was looked for."""
    site = Site.of(arguments)
    secrets, without = known(site)
    if without:
        print(f"searched by its look alone: {without}")
    found = shown(site, secrets)
    if found:
        print(table(found))
    elif not without:
        print(f"no secret of {site.name} is in the clear, and its state is encrypted")
    if without:
        print(f"not looked for: the seed of {site.name}, and the keys and passwords that it gives")
    return 1 if found or without else 0


def shown(site: Site, secrets: Mapping[str, str]) -> list[tuple[str, str]]:
    """Where its state shows a secret or is not encrypted, and what it is.

    Raises:
        EdgeError: the backend does not answer, or knows no such stack.
    """
    exported = state(site)
    published = site.stack_section.allow_published_seed
    return [*unencrypted(exported, allow_published=published), *in_the_clear(exported, secrets)]


def state(site: Site) -> dict[str, Any]:
    """Its stack's state as its backend holds it, secrets encrypted.

    Raises:
        EdgeError: the backend does not answer, or knows no such stack.
    """
    done = site.engine("stack", "export", "--stack", site.name)
    if done.returncode != 0:
        raise refused("stack export", site.name, done, site.backend)
    exported: dict[str, Any] = json.loads(done.stdout)
    return exported


def derived(
    seed: Seed, name: str, section: SiteSection | HostSection, peers: Mapping[str, str] = MappingProxyType({})
) -> dict[str, str]:
    """The secrets that a site derives from a seed now, by what each is; shared ones with these `identity_keys`.

    The page's PIN is not among them: six digits are in many texts by chance.
    """
    epochs = section.epochs
    own = derive.identity_key(seed, name, epochs.identity)
    found = {
        "seed": base64.b64encode(seed.value).decode(),
        "tunnel key": derive.wireguard_key(seed, name, epochs.wireguard).private,
        "identity key": own.private,
        "backup key": _body(derive.backup_ssh_key(seed, name, epochs.backup).private),
        "backup password": derive.backup_password(seed, name, epochs.backup),
        "webhook key": derive.webhook_key(seed, name, epochs.passwords),
    }
    for user in ("admin", "telegraf", "reader", "uplink", "page", "headquarters"):
        found[f"InfluxDB {user}"] = derive.influxdb_password(seed, name, user, epochs.passwords)
    for site, theirs in peers.items():
        found[f"summaries of {site}"] = derive.summary_account(site, own, theirs)[1]
    if isinstance(section, SiteSection):
        found["host key"] = _body(derive.ssh_host_key(seed, name, section.node.generation).private)
        iot = section.iot
        devices = [*(sensor.id for sensor in iot.sensors), *iot.gateways] if iot else []
        for user in (*SERVICES, *devices) if iot else ():
            found[f"MQTT {user}"] = derive.mqtt_user(seed, name, user, epochs.passwords).password
    for purpose, epoch in (
        (Purpose.MQTT_CA, epochs.mqtt_authority),
        (Purpose.PAGE_CA, epochs.mqtt_authority),
        (Purpose.MQTT_SERVER, epochs.mqtt_server),
        (Purpose.PAGE_SERVER, epochs.mqtt_server),
    ):
        found[f"{purpose} key"] = _body(derive.certified_private(seed, name, purpose, epoch))
    return found


def in_the_clear(exported: Mapping[str, Any], secrets: Mapping[str, str]) -> list[tuple[str, str]]:
    """Where a state shows a secret, and what it is: one of those known, or something that looks like one."""
    found = []
    for where, name, text in _texts(exported.get("deployment") or {}, ""):
        known = [what for what, secret in secrets.items() if any(secret in each for each in _readings(text))]
        looks = _KEY.search(name) or any(map(_TEXT.search, _readings(text)))
        found += [(where, what) for what in known] or ([(where, "looks like a secret")] if looks and text else [])
    return found


def unencrypted(exported: Mapping[str, Any], *, allow_published: bool = False) -> list[tuple[str, str]]:
    """Why anyone who gets at the state reads its secrets; the passphrases of the examples may be allowed."""
    provider = (exported.get("deployment") or {}).get("secrets_providers") or {}
    kind = provider.get("type") or "none"
    if kind not in _ENCRYPTING:
        return [("secrets provider", f"{kind}; pulumi stack change-secrets-provider encrypts what is there")]
    if kind != "passphrase":
        return []
    weakness = known_passphrase(provider["state"]["salt"], allow_published=allow_published)
    remedy = "pulumi stack change-secrets-provider passphrase"
    return [("secrets provider", f"{weakness}; {remedy}")] if weakness else []


def known_passphrase(salt: str, *, allow_published: bool = False) -> str:
    """What everybody knows of the passphrase beside this salt; nothing where only its team knows it."""
    example = published_passphrase(salt)
    if example and not allow_published:
        return f"the passphrase is the published one of the example {example}"
    return "the passphrase is empty" if opens(salt, "") else ""


def opens(salt: str, passphrase: str) -> bool:
    """Whether a passphrase is a stack's, by the word encrypted beside the salt: `v1:<salt>:v1:<nonce>:<word>`."""
    _, salt_text, _, nonce, word = salt.split(":")
    derived_key = hashlib.pbkdf2_hmac(
        "sha256", passphrase.encode(), base64.b64decode(salt_text), _ITERATIONS, _KEY_BYTES
    )
    try:
        return AESGCM(derived_key).decrypt(base64.b64decode(nonce), base64.b64decode(word), None) == b"pulumi"
    except InvalidTag:
        return False


def known(site: Site) -> tuple[dict[str, str], str]:
    """The site's secrets, or why they are not known here."""
    try:
        seeds = {key: site.seed(key) for key in ("seed", "nextSeed", "formerSeed")}
    except EdgeError as error:
        return {}, str(error)
    if seeds["seed"] is None:
        return {}, f"{site.config_file.name} has no seed"
    peers = identity_keys(load_registry(REGISTRY), site.name)
    found: dict[str, str] = {}
    for key, seed in seeds.items():
        words = {"seed": "", "nextSeed": "next seed's ", "formerSeed": "former seed's "}[key]
        secrets = derived(seed, site.name, site.stack_section, peers) if seed else {}
        found |= {words + what: secret for what, secret in secrets.items()}
    return found, ""


def identity_keys(registry: Registry, site: str) -> dict[str, str]:
    """The public identity keys that a site's shared passwords are made with, by the site that sends summaries."""
    hub = registry.entries[registry.hub]
    if site != registry.hub:
        return {site: hub.identity_key}
    return {name: entry.identity_key for name, entry in registry.entries.items() if name != site}


def _texts(value: Any, where: str, name: str = "") -> Iterator[tuple[str, str, str]]:
    """The texts in the clear below a value: the place, the key that holds it, the text."""
    match value:
        case {"ciphertext": str()}:
            return
        case Mapping():
            place = value["urn"].rpartition("::")[2] if isinstance(value.get("urn"), str) else where
            for each, item in value.items():
                yield from _texts(item, f"{place}.{each}".strip("."), each)
        case list():
            for index, item in enumerate(value):
                yield from _texts(item, f"{where}[{index}]", name)
        case str():
            yield where, name, value


def _readings(text: str) -> Iterable[str]:
    """A text as it is, and what it says where it is base64 of a file or an archive."""
    try:
        return text, base64.b64decode(text, validate=True).decode("latin-1")
    except (binascii.Error, ValueError):
        return (text,)


def _body(pem: str) -> str:
    """The first line of a key's PEM that nobody else's has."""
    return pem.splitlines()[1]
