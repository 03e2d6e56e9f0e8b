"""Make a new site: its stack file with an encrypted seed, its registry file, its owner; then say what to fill in."""

import argparse
import base64
import json
import os
import secrets
from contextlib import ExitStack
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from string import Template
from typing import Any

import yaml
from pydantic import TypeAdapter, ValidationError

from config import codeowners
from config.base import to_fill_in
from config.derive import SEED_BYTES, Seed
from config.iot import MAX_SERVER_DAYS
from config.loader import CHECKOUT, PROJECT, REGISTRY, public_keys
from config.names import Name
from config.registry import Entry, Registry, load_registry, shown
from config.site import Epochs
from config.versions import IMAGES
from edge import site as command
from edge.key import new_entry, with_keys, with_line
from edge.site import EdgeError, table

TEMPLATE = Path(__file__).parent / "templates" / "site.yaml"

#: Written down in the stack file, where it is reviewed; an alarm tells when the end comes near.
CERTIFICATE_YEARS = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What it understands beside the site."""
    parser.add_argument("--owner", required=True, help="the team that owns it: @team or @organisation/team")
    add_ownership(parser)


def add_ownership(parser: argparse.ArgumentParser) -> None:
    """What an owner brings along."""
    parser.add_argument("--approver", action="append", default=[], help="who approves its changes, if not the owner")
    parser.add_argument("--backend", help="where Pulumi keeps its state; else where the shell says, or is logged in")
    parser.add_argument("--secrets-provider", default="passphrase", help="what encrypts its seed: awskms://…")


def run(arguments: argparse.Namespace) -> int:
    """Make the files and the stack; what fails leaves nothing behind."""
    site = arguments.site
    registry = load_registry(REGISTRY)
    stack_file, registry_file = CHECKOUT / f"Pulumi.{site}.yaml", REGISTRY / f"{site}.yaml"
    _check_name(site, stack_file, registry)
    seed = secrets.token_bytes(SEED_BYTES)
    public = with_keys(
        with_ownership(new_entry(site, arguments.owner, registry), arguments),
        public_keys(Seed(seed), None, site, Epochs()),
        with_next=False,
    )
    entry = checked_entry(site, public)
    if entry.backend:
        os.environ["PULUMI_BACKEND_URL"] = entry.backend
    with ExitStack() as undo:
        undo.callback(stack_file.unlink, missing_ok=True)
        stack_file.write_text(stack_file_text(site, datetime.now(UTC).date()))
        _pulumi("stack", "init", site, "--no-select", "--secrets-provider", arguments.secrets_provider)
        undo.callback(_pulumi, "stack", "rm", "--yes", "--preserve-config", "--stack", site)
        seed_text = base64.b64encode(seed).decode()
        _pulumi("config", "set", "--secret", f"{PROJECT}:seed", "--stack", site, stdin=seed_text)
        undo.callback(registry_file.unlink, missing_ok=True)
        registry_file.write_text(public)
        codeowners.write()
        undo.pop_all()
    print(_said(site, entry, stack_file))
    return 0


def stack_file_text(site: str, today: date) -> str:
    """A new site's stack file, without its seed."""
    life = {
        "not_before": today,
        "not_after": date(today.year + CERTIFICATE_YEARS, 12, 31),
        "page_not_after": today + timedelta(days=MAX_SERVER_DAYS - 1),
    }
    return Template(TEMPLATE.read_text()).substitute(site=site, **life, **IMAGES)


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
    content: dict[str, Any] = yaml.safe_load(text)
    return Entry.parse(content, file=shown(site))


def _check_name(site: str, stack_file: Path, registry: Registry) -> None:
    try:
        TypeAdapter(Name).validate_python(site)
    except ValidationError:
        raise EdgeError(
            f"{site} is no site's name: small letters, digits and hyphens, at most 31, a letter first, no hyphen last"
        ) from None
    for taken, file in ((stack_file.exists(), stack_file.name), (site in registry.entries, shown(site))):
        if taken:
            raise EdgeError(f"{file} is there already; take another name, or edit the site that there is")


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
            "Keep a copy of the seed where your team keeps keys: all other keys come from it.",
            f"Next: {prepared}pulumi preview --stack {site}",
        ]
    )


def _pulumi(*words: str, stdin: str = "") -> None:
    done = command.run(["pulumi", *words, "--non-interactive"], stdin=stdin)
    if done.returncode != 0:
        raise EdgeError(f"pulumi {' '.join(words[:2])}: {done.stderr.strip()}; nothing was made")
