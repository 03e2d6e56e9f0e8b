"""Make a new site: its stack file with an encrypted seed, its registry file, its owner; then say what to fill in.

With --hub it is headquarters, which comes first, in a checkout whose registry is empty.
"""

import argparse
import base64
import json
import os
import secrets
from collections.abc import Mapping
from contextlib import ExitStack
from datetime import UTC, date, datetime, timedelta
from ipaddress import IPv4Network
from pathlib import Path
from string import Template
from typing import Literal

import yaml
from pydantic import TypeAdapter, ValidationError

from config import codeowners, yaml_text
from config.base import ConfigError, Mistake, to_fill_in
from config.derive import SEED_BYTES, Seed
from config.iot import MAX_SERVER_DAYS
from config.loader import CHECKOUT, PROJECT, REGISTRY, public_keys
from config.names import Name
from config.registry import Entry, host_of, load_registry, read_entry, shown
from config.site import Epochs
from config.versions import IMAGES
from edge import site as command
from edge.key import new_entry, new_hub_entry, with_keys, with_line
from edge.site import PASSPHRASE, PASSPHRASE_FILE, EdgeError, table

TEMPLATES = Path(__file__).parent / "templates"

#: The smallest mesh: headquarters and one site.
MAX_MESH_PREFIX = 30

#: Written down in the stack file, where it is reviewed; an alarm tells when the end comes near.
CERTIFICATE_YEARS = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What it understands beside the site."""
    parser.add_argument("--owner", required=True, help="the team that owns it: @team or @organisation/team")
    add_ownership(parser)
    parser.add_argument("--hub", action="store_true", help="make headquarters, where the registry is empty")
    parser.add_argument("--endpoint", help="with --hub: where the sites' tunnels reach it, host:port")
    parser.add_argument("--mesh", help="with --hub: the network of which each site gets an address: 10.100.0.0/24")


def add_ownership(parser: argparse.ArgumentParser) -> None:
    """What an owner brings along."""
    parser.add_argument("--approver", action="append", default=[], help="who approves its changes, if not the owner")
    parser.add_argument("--backend", help="where Pulumi keeps its state; else where the shell says, or is logged in")
    parser.add_argument("--secrets-provider", default="passphrase", help="what encrypts its seed: awskms://…")


def run(arguments: argparse.Namespace) -> int:
    """Make the files and the stack; what fails leaves nothing behind."""
    site = arguments.site
    stack_file, registry_file = CHECKOUT / f"Pulumi.{site}.yaml", REGISTRY / f"{site}.yaml"
    _check_name(site)
    facts = _hub_facts(arguments) if arguments.hub else _site_facts(arguments)
    _check_free({stack_file.name: stack_file, shown(site): registry_file})
    if arguments.secrets_provider == "passphrase":
        _check_passphrase(site)
    seed = secrets.token_bytes(SEED_BYTES)
    public = with_keys(
        with_ownership(facts, arguments),
        public_keys(Seed(seed), None, site, Epochs()),
        with_next=False,
    )
    entry = checked_entry(site, public)
    if entry.backend:
        os.environ["PULUMI_BACKEND_URL"] = entry.backend
    with ExitStack() as undo:
        undo.callback(stack_file.unlink, missing_ok=True)
        stack_file.write_text(stack_file_text(site, datetime.now(UTC).date(), role=entry.role))
        _pulumi(site, "stack", "init", site, "--no-select", "--secrets-provider", arguments.secrets_provider)
        undo.callback(_pulumi, site, "stack", "rm", "--yes", "--preserve-config", "--stack", site)
        seed_text = base64.b64encode(seed).decode()
        _pulumi(site, "config", "set", "--secret", f"{PROJECT}:seed", "--stack", site, stdin=seed_text)
        undo.callback(registry_file.unlink, missing_ok=True)
        # With its last file, git takes a folder away too.
        REGISTRY.mkdir(exist_ok=True)
        registry_file.write_text(public)
        codeowners.write()
        undo.pop_all()
    print(_said(site, entry, stack_file))
    return 0


def stack_file_text(site: str, today: date, *, role: Literal["hub", "site"] = "site") -> str:
    """A new site's stack file, or headquarters', without its seed."""
    life = {
        "not_before": today,
        "not_after": date(today.year + CERTIFICATE_YEARS, 12, 31),
        "page_not_after": today + timedelta(days=MAX_SERVER_DAYS - 1),
    }
    return Template((TEMPLATES / f"{role}.yaml").read_text()).substitute(site=site, **life, **IMAGES)


def with_ownership(text: str, arguments: argparse.Namespace) -> str:
    """A registry file with the owner and what it brings along."""
    text = with_line(text, "owner", json.dumps(arguments.owner))
    if arguments.approver:
        text = with_line(text, "approvers", json.dumps(arguments.approver))
    if arguments.backend:
        text = with_line(text, "backend", json.dumps(arguments.backend))
    return text


def checked_entry(site: str, text: str) -> Entry:
    """A registry file as it will be read.

    Raises:
        ConfigError: an owner, approver or backend that is none.
    """
    return Entry.parse(yaml_text.parse(text, shown(site)).content, file=shown(site))


def _check_name(site: str) -> None:
    try:
        TypeAdapter(Name).validate_python(site)
    except ValidationError:
        raise EdgeError(
            f"{site} is no site's name: small letters, digits and hyphens, at most 31, a letter first, no hyphen last"
        ) from None


def _check_free(files: Mapping[str, Path]) -> None:
    for name, path in files.items():
        if path.exists():
            raise EdgeError(f"{name} is there already; take another name, or edit the site that there is")


def _check_passphrase(site: str) -> None:
    """An empty one is everybody's; where there is none, the engine tells."""
    if PASSPHRASE in os.environ:
        if not os.environ[PASSPHRASE].strip():
            raise EdgeError(
                f"{PASSPHRASE} is empty; set your team's passphrase, or unset it and give {PASSPHRASE_FILE}"
            )
        return
    file = command.passphrase_file(site)
    # As the engine reads it, which runs there.
    path = CHECKOUT / file if file else None
    if path and not (path.is_file() and path.read_text().strip()):
        raise EdgeError(f"{file} holds no passphrase; write it there, for your team's eyes only")


def _site_facts(arguments: argparse.Namespace) -> str:
    for key in ("endpoint", "mesh"):
        value = getattr(arguments, key)
        if value is not None:
            remedy = f"--{key} is for headquarters; leave it out, or add --hub"
            raise ConfigError(Mistake(shown(arguments.site), key, value, remedy))
    return new_entry(arguments.site, arguments.owner, load_registry(REGISTRY))


def _hub_facts(arguments: argparse.Namespace) -> str:
    _check_empty_registry()
    for key in ("endpoint", "mesh"):
        if getattr(arguments, key) is None:
            remedy = f"headquarters needs this; add --{key}, which `edge new-site --help` explains"
            raise ConfigError(Mistake(shown(arguments.site), key, "", remedy))
    return new_hub_entry(arguments.owner, _mesh(arguments.site, arguments.mesh), arguments.endpoint)


def _check_empty_registry() -> None:
    """A mesh has one headquarters, and it comes before its sites."""
    files = [read_entry(REGISTRY, path.stem) for path in sorted(REGISTRY.glob("*.yaml"))]
    for file in files:
        if file.content.get("role") == "hub":
            remedy = "headquarters is there; a site is made without --hub, a fleet of your own without the examples"
            raise ConfigError(Mistake(file.at("role"), "role", "hub", remedy))
    if files:
        remedy = "this site has no headquarters; remove its files, or bring those of its headquarters back"
        raise ConfigError(Mistake(files[0].path, "", "", remedy))


def _mesh(site: str, text: str) -> IPv4Network:
    try:
        mesh = IPv4Network(text)
    except ValueError as error:
        remedy = f"{error}; write a network of your own such as 10.100.0.0/24"
        raise ConfigError(Mistake(shown(site), "mesh", text, remedy)) from None
    if mesh.prefixlen > MAX_MESH_PREFIX:
        remedy = f"has no room for a site; write /{MAX_MESH_PREFIX} or a bigger network"
        raise ConfigError(Mistake(shown(site), "mesh", text, remedy))
    return mesh


def _said(site: str, entry: Entry, stack_file: Path) -> str:
    section = yaml.safe_load(stack_file.read_text())["config"][f"{PROJECT}:site"]
    rows = [(place.key, place.remedy) for place in to_fill_in(section, file=stack_file.name, root="")]
    prepared = f'eval "$(bin/edge env {site})" && ' if entry.backend else ""
    return "\n".join(
        [
            f"{site} has the address {entry.address}. Its seed is encrypted in {stack_file.name}; its public keys are "
            f"in {shown(site)}, and who approves its changes in .github/CODEOWNERS.",
            f"Fill in below {PROJECT}:site of {stack_file.name}:",
            *(f"  {line}" for line in table(rows).splitlines()),
            f"Digests and the node image's checksum are written by edge pin {site}, once all else is filled in.",
            "Keep a copy of the seed where your team keeps keys: all other keys come from it.",
            *_places(entry),
            f"Next: {prepared}pulumi preview --stack {site}",
        ]
    )


def _places(entry: Entry) -> list[str]:
    """Where headquarters is to be named beside its own files."""
    if entry.role == "site" or entry.endpoint is None:
        return []
    host = host_of(entry.endpoint)
    return [f"Add {host} to `headquarters` in policy/places.json: a node speaks to no place that is not there."]


def _pulumi(site: str, *words: str, stdin: str = "") -> None:
    environment = command.at_passphrase(site)
    done = command.run(["pulumi", *words, "--non-interactive"], stdin=stdin, environment=environment)
    if done.returncode != 0:
        other = "" if command.asked_backend(None) else "; PULUMI_BACKEND_URL or --backend names another"
        said = f"pulumi {' '.join(words[:2])}: {done.stderr.strip()}; nothing was made"
        raise EdgeError(f"{said}. {command.told_backend(None)}{other}")
