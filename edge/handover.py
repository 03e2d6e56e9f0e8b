"""Pass a site to another team, which runs this: its backend, secrets provider and owner; then reseed, in its steps."""

import argparse
import json
import os
import shlex
from pathlib import Path

from config import codeowners
from config.base import ConfigError
from config.loader import PUBLISHED_SALTS, REGISTRY, example_passphrase
from config.registry import load_registry, shown
from config.yaml_text import read_text
from edge import reseed
from edge import site as command
from edge.key import without
from edge.new_site import add_ownership, checked_entry, with_ownership
from edge.scan import opens
from edge.site import PASSPHRASE, PASSPHRASE_FILE, EdgeError, Site


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What it understands beside the site."""
    parser.add_argument("--owner", required=True, help="the team that takes it over: @team or @organisation/team")
    add_ownership(parser)
    parser.add_argument(
        "--passphrase-file", type=Path, help="the new team's passphrase, for --secrets-provider=passphrase"
    )
    parser.add_argument(
        "--go-on", action="store_true", help="after a handover that stopped: the secrets are the new team's already"
    )


def run(arguments: argparse.Namespace) -> int:
    """Hand over and begin to reseed; nothing is deployed. The shell is the former owner's: it decrypts."""
    site = Site.of(argparse.Namespace(site=arguments.site, config_file=None))
    passphrase = _passphrase(arguments)
    if passphrase and not arguments.go_on:
        _check_new(site, passphrase, arguments.passphrase_file)
    reseed.needs(site, present=[reseed.SEED], absent=[reseed.NEXT, reseed.FORMER])
    registry_file = REGISTRY / f"{site.name}.yaml"
    former = load_registry(REGISTRY).entries.get(site.name)
    if former is None:
        raise EdgeError(
            f"config/mesh has no {site.name}.yaml; bring it back, or write it: edge key {site.name} --write"
        )
    entry = checked_entry(site.name, _owned(registry_file.read_text(), arguments))
    # Begun once already, the state is at its new place, and no copy of it is to be removed.
    moves = entry.backend not in {None, former.backend, os.environ.get("PULUMI_BACKEND_URL")}
    copied_from = _copy_state(site, entry.backend) if moves and entry.backend else ""
    words = ("stack", "change-secrets-provider", arguments.secrets_provider, "--stack", site.name)
    _pulumi(site.name, *words, stdin=passphrase)
    if passphrase:
        os.environ.pop(PASSPHRASE, None)
        os.environ[PASSPHRASE_FILE] = str(arguments.passphrase_file.resolve())
    try:
        reseed.begin(Site.named(site.name, argparse.Namespace(config_file=None), entry.backend))
    except (ConfigError, EdgeError) as error:
        raise EdgeError(f"{error}\n{_half_done(site.name, copied_from)}") from None
    registry_file.write_text(_owned(registry_file.read_text(), arguments))
    codeowners.write()
    print(_said(site.name, entry.owner, copied_from))
    return 0


def _passphrase(arguments: argparse.Namespace) -> str:
    """The new passphrase, which travels by standard input; empty where none is needed."""
    file = arguments.passphrase_file
    if (arguments.secrets_provider == "passphrase") != (file is not None):
        raise EdgeError("a passphrase needs its file, and nothing else does: --passphrase-file, or --secrets-provider")
    if file is None:
        return ""
    passphrase = read_text(file, str(file)).strip() if file.is_file() else ""
    if not passphrase:
        raise EdgeError(f"{file} holds no passphrase; write it there, for your team's eyes only")
    if passphrase in map(example_passphrase, PUBLISHED_SALTS.values()):
        raise EdgeError(f"{file} holds the published passphrase of an example; write another there")
    return passphrase


def _check_new(site: Site, passphrase: str, file: Path) -> None:
    """With the passphrase that it had, a site would stay the former team's.

    Raises:
        EdgeError: it is the former team's: the shell's, or the one that the stack file is encrypted by.
    """
    salt = command.read_stack_file(site.config_file).get("encryptionsalt")
    if passphrase == command.shell_passphrase(site.name) or _opens(salt, passphrase):
        raise EdgeError(
            f"{file} holds the passphrase that {site.name} has now, which the former team knows; write another there. "
            "After a handover that stopped, and said so: --go-on"
        )


def _opens(salt: object, passphrase: str) -> bool:
    try:
        return isinstance(salt, str) and opens(salt, passphrase)
    except ValueError:
        # It is no salt, and the engine says so.
        return False


def _owned(text: str, arguments: argparse.Namespace) -> str:
    """The registry file of the new owner; the former one's approvers go."""
    return with_ownership(without(text, "approvers"), arguments)


def _copy_state(site: Site, backend: str) -> str:
    """To the new backend, secrets as they are encrypted there; returns the former one, where the copy stays."""
    former: str = json.loads(_pulumi(site.name, "whoami", "--output", "json"))["url"]
    state = _pulumi(site.name, "stack", "export", "--stack", site.name)
    os.environ["PULUMI_BACKEND_URL"] = backend
    provider = command.read_stack_file(site.config_file).get("secretsprovider", "passphrase")
    _pulumi(site.name, "stack", "select", "--create", site.name, "--secrets-provider", provider)
    _pulumi(site.name, "stack", "import", "--stack", site.name, stdin=state)
    return former


def _said(site: str, owner: str, copied_from: str) -> str:
    lines = [
        f"{site} is {owner}'s: Pulumi.{site}.yaml is encrypted by its own secrets provider, and {shown(site)} has its "
        "name and the keys of the next seed.",
        "The former team still knows the present seed. Merge, deploy headquarters "
        f"(pulumi up --stack {load_registry(REGISTRY).hub}), then: edge reseed {site} --switch",
    ]
    if copied_from:
        lines.append(
            f'The state is in the new backend: eval "$(bin/edge env {site})". After the next update remove its copy in '
            f"the former one: PULUMI_BACKEND_URL={shlex.quote(copied_from)} "
            f"pulumi stack rm --force --preserve-config --stack {site}"
        )
    return "\n".join(lines)


def _half_done(site: str, copied_from: str) -> str:
    """How to go on where the secrets are encrypted anew, and the next seed could not be made."""
    names = ("PULUMI_BACKEND_URL", PASSPHRASE_FILE)
    shell = [f"export {name}={shlex.quote(os.environ[name])}" for name in names if os.environ.get(name)]
    shell += [] if os.environ.get(PASSPHRASE) else [f"unset {PASSPHRASE}"]
    copy = f" The former state's copy is still at {copied_from}." if copied_from else ""
    return (
        f"Pulumi.{site}.yaml is encrypted by the new team's provider already; the registry still names the former "
        f"owner, and there is no next seed.{copy} Mend what failed, and hand over again with the same words "
        "and --go-on, in the new team's shell: " + "; ".join(shell)
    )


def _pulumi(site: str, *words: str, stdin: str = "") -> str:
    line = ["pulumi", *words, "--non-interactive"]
    done = command.run(line, stdin=stdin, environment=command.at_passphrase(site))
    if done.returncode != 0:
        raise command.refused(" ".join(words[:2]).partition(" -")[0], site, done)
    return done.stdout
