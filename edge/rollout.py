"""Deploy a change to all sites that it touches, ring by ring; stop where one is not well, or its state not secret."""

import argparse
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from config.base import ConfigError
from config.loader import CHECKOUT, REGISTRY
from config.registry import Registry, load_registry
from edge.look import look
from edge.order import Step, since
from edge.scan import known, shown
from edge.site import PASSPHRASE_FILE, EdgeError, Site

#: An update keeps a core busy for seconds and then waits.
_AT_ONCE = 4

#: A clock is synchronised, and a tunnel dialled anew, some minutes after a boot.
_SETTLE_SECONDS = 300
_POLL_SECONDS = 10

#: What no site may do is held before anything is changed, here as in deploy-sites.yml.
_POLICY = ("--policy-pack", str(CHECKOUT / "policy"))

#: Of a failed update's output, where it says why.
_LAST_LINES = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What it understands."""
    parser.add_argument("--base", required=True, metavar="REVISION", help="what is deployed: a commit, branch or tag")
    parser.add_argument("--dry-run", action="store_true", help="say what would be done, and do nothing")


def run(arguments: argparse.Namespace) -> int:
    """Deploy step by step; the status is 1 when one failed, and nothing of a later step was begun then.

    It needs no memory: run again, what is deployed already changes nothing.
    """
    registry = load_registry(REGISTRY)
    found = since(arguments.base)
    _can_decrypt([_site(name, arguments, registry) for step in found for name in step.sites])
    for number, step in enumerate(found, 1):
        _say(f"step {number} of {len(found)}, {step.name}: {', '.join(step.sites)}")
        failed = {} if arguments.dry_run else _deployed(step, arguments, registry)
        for site, why in failed.items():
            _say(f"{site} FAILED: {why}")
        if failed:
            later = [site for step in found[number:] for site in step.sites]
            raise EdgeError(
                f"stopped at {', '.join(failed)}; not begun: {', '.join(later) or 'none'}. Mend what failed and run "
                "this again, or revert the change and roll that out; a site that is cut off holds nobody up in a later "
                "`ring` of its registry file"
            )
    _say("nothing was done: --dry-run" if arguments.dry_run else "all is deployed and well")
    return 0


def _site(name: str, arguments: argparse.Namespace, registry: Registry) -> Site:
    return Site.named(name, arguments, registry.entries[name].backend)


def _can_decrypt(sites: Sequence[Site]) -> None:
    """Before anything is changed: one shell is to deploy the sites of many teams.

    Raises:
        EdgeError: not each site's seed can be decrypted.
    """
    told = []
    for site in sites:
        try:
            site.seed()
        except EdgeError as error:
            told.append(str(error))
    if told:
        raise EdgeError(
            "\n".join(
                [*told, f"nothing was begun. Each site has its passphrase: {PASSPHRASE_FILE}='/run/secrets/<site>'"]
            )
        )


def _deployed(step: Step, arguments: argparse.Namespace, registry: Registry) -> dict[str, str]:
    """Deploy a step's sites side by side; why each failed that did."""

    def deploy(name: str) -> str:
        try:
            site = _site(name, arguments, registry)
            return _update(site) or _unwell(site, registry) or _in_the_clear(site)
        except (ConfigError, EdgeError) as error:
            return str(error)

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        results = dict(zip(step.sites, pool.map(deploy, step.sites), strict=True))
    return {site: why for site, why in results.items() if why}


def _update(site: Site) -> str:
    _say(f"{site.name}: pulumi up")
    words = ["up", "--yes", "--non-interactive", "--suppress-progress", *_POLICY]
    begun = time.monotonic()
    done = site.engine(*words, "--stack", site.name, "--config-file", str(site.config_file), limit_seconds=None)
    if done.returncode != 0:
        return "\n".join(["pulumi up failed", *(done.stdout + done.stderr).strip().splitlines()[-_LAST_LINES:]])
    _say(f"{site.name}: deployed in {time.monotonic() - begun:.0f} s")
    return ""


def _unwell(site: Site, registry: Registry) -> str:
    """What is still not well when a site has had time to settle."""
    deadline = time.monotonic() + _SETTLE_SECONDS
    # A copy each time: what a site has told once, it keeps.
    while problems := look(replace(site), registry).problems:
        if time.monotonic() > deadline:
            return "; ".join(problems)
        time.sleep(_POLL_SECONDS)
    _say(f"{site.name}: well")
    return ""


def _in_the_clear(site: Site) -> str:
    """Where its state shows a secret now; never which."""
    secrets, _ = known(site)
    found = shown(site, secrets)
    return f"its state is not secret: {'; '.join(': '.join(each) for each in found)}" if found else ""


def _say(line: str) -> None:
    print(line, flush=True)
