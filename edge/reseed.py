"""Give a site another seed, after a leak or when it changes hands: begin, then --switch, then --finish."""

import argparse
import base64
import secrets
from collections.abc import Callable

from config import derive
from config.base import ConfigError
from config.derive import SEED_BYTES, Seed
from config.loader import PROJECT, REGISTRY
from config.registry import load_registry
from config.site import SiteSection
from edge import key
from edge.site import EdgeError, Site, refused

SEED, NEXT, FORMER = (f"{PROJECT}:{name}" for name in ("seed", "nextSeed", "formerSeed"))

#: Raised with the seed: what must not be the old key's place, and the node, whose SSH host key is of the seed.
_RAISED_EPOCHS = ("wireguard", "identity", "backup")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What it understands beside the site."""
    step = parser.add_mutually_exclusive_group()
    step.add_argument("--switch", action="store_true", help="the next seed becomes the seed")
    step.add_argument("--finish", action="store_true", help="forget the former seed, once the switch is deployed")


def run(arguments: argparse.Namespace) -> int:
    """Do one step on the stack file and the registry; nothing is deployed."""
    site = Site.of(arguments)
    step: Callable[[Site], str] = _switch if arguments.switch else _finish if arguments.finish else begin
    print(step(site))
    return 0


def begin(site: Site) -> str:
    """Make the next seed, and the keys that it gives in the registry; return what comes next.

    Raises:
        EdgeError: it is under way already.
        ConfigError: the registry is not valid.
    """
    needs(site, present=[SEED], absent=[NEXT, FORMER])
    hub = load_registry(REGISTRY).hub
    _set_secret(site, NEXT, base64.b64encode(secrets.token_bytes(SEED_BYTES)).decode())
    try:
        key.write(_again(site), with_next=True)
    except (ConfigError, EdgeError):
        # Else this step would be refused when it is tried again.
        _pulumi(site, "config", "rm", NEXT)
        raise
    return (
        f"The next seed is in {site.config_file.name}, the keys that it gives in config/mesh/{site.name}.yaml. "
        f"Merge both, deploy headquarters (pulumi up --stack {hub}), then: "
        f"edge reseed {site.name} --switch"
    )


def _switch(site: Site) -> str:
    needs(site, present=[SEED, NEXT], absent=[FORMER])
    former, seed = (_get(site, place) for place in (SEED, NEXT))
    epochs = site.stack_section.epochs.model_dump()
    for name in _RAISED_EPOCHS:
        _pulumi(site, "config", "set", "--path", f"{PROJECT}:site.epochs.{name}", str(epochs[name] + 1))
    if isinstance(site.stack_section, SiteSection):
        generation = site.stack_section.node.generation + 1
        _pulumi(site, "config", "set", "--path", f"{PROJECT}:site.node.generation", str(generation))
    _set_secret(site, FORMER, former)
    _set_secret(site, SEED, seed)
    _pulumi(site, "config", "rm", NEXT)
    key.write(_again(site), with_next=False)
    return (
        f"{site.name} has its new seed. Merge, then deploy it (pulumi up --stack {site.name}){consequences(site)}. "
        f"Then deploy headquarters, then: edge reseed {site.name} --finish"
    )


def consequences(site: Site) -> str:
    """What the next update does to a node, and what people must do with it; nothing of a machine that was there."""
    section = site.stack_section
    if not isinstance(section, SiteSection):
        return ""
    said = ": its VM is replaced, its data stays"
    if section.iot:
        said += ", and every sensor needs its new password"
    if section.backup:
        said += (
            ". Its backups begin anew, and fail until its new key is let in where they go "
            f"(pulumi stack output backupKey --stack {site.name})"
        )
    return said


def _finish(site: Site) -> str:
    needs(site, present=[SEED, FORMER], absent=[NEXT])
    if isinstance(site.stack_section, SiteSection):
        _needs_deployment(site, site.stack_section.node.generation)
    _pulumi(site, "config", "rm", FORMER)
    return f"The former seed is gone from {site.config_file.name}; what it gave is of no use any more. Merge."


def _needs_deployment(site: Site, generation: int) -> None:
    """Refuse what would leave the node with passwords that nothing gives any more."""
    host_key = derive.ssh_host_key(Seed.parse(_get(site, SEED)), site.name, generation).public
    if site.outputs.get("hostKey") != host_key:
        raise EdgeError(
            f"{site.name}'s last update was not by this seed, and the next one changes passwords by the former one, "
            f"which stays until then: pulumi up --stack {site.name}, then this again"
        )


def needs(site: Site, *, present: list[str], absent: list[str]) -> None:
    """Refuse a step out of turn, before anything is changed."""
    for place in present:
        if place not in site.content:
            raise EdgeError(f"{site.config_file.name} has no {place}; the steps are: edge reseed, --switch, --finish")
    for place in absent:
        if place in site.content:
            raise EdgeError(f"{site.config_file.name} has {place} already; go on with --switch or --finish")


def _again(site: Site) -> Site:
    """The site as its file says now."""
    return Site.named(site.name, argparse.Namespace(config_file=site.config_file), site.backend)


def _get(site: Site, place: str) -> str:
    return _pulumi(site, "config", "get", place).strip()


def _set_secret(site: Site, place: str, value: str) -> None:
    """By standard input: it is in no command."""
    _pulumi(site, "config", "set", "--secret", place, stdin=value)


def _pulumi(site: Site, *words: str, stdin: str = "") -> str:
    where = ("--stack", site.name, "--config-file", str(site.config_file), "--non-interactive")
    done = site.engine(*words, *where, stdin=stdin)
    if done.returncode != 0:
        raise refused(" ".join(words[:2]), site.name, done, site.backend)
    return done.stdout
