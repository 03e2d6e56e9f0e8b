"""Where a site's state lies and what encrypts its seed, which no policy sees; judged where a change touches it."""

import contextlib
from collections.abc import Iterator

from config.registry import place_of, shown
from edge.plan.revisions import Revision
from edge.scan import known_passphrase
from policy.rules import PLACES, is_allowed


def refusals(site: str, before: Revision, after: Revision) -> Iterator[str]:
    """Why a site's change must not be merged; either revision may lack the site."""
    for file, was, backend in (
        (shown(site), before.backend(site), after.backend(site)),
        ("Pulumi.yaml", before.project_backend, after.project_backend),
    ):
        place = place_of(backend) if backend and backend != was else None
        if place and not is_allowed(place, PLACES["backends"]):
            listed = "the backends of policy/places.json; use another, or add it there"
            yield f"{file}: backend: {place} is not among {listed}"
    encrypted = after.encrypted_seed(site)
    if encrypted["seed"] and encrypted != before.encrypted_seed(site):
        provider = encrypted.get("secretsprovider", "passphrase")
        if provider == "passphrase" and after.in_section(site, "allowPublishedSeed") is not True:
            yield from _passphrase(site, encrypted.get("encryptionsalt"))


def _passphrase(site: str, salt: object) -> Iterator[str]:
    where = f"Pulumi.{site}.yaml: encryptionsalt"
    remedy = f"pulumi stack change-secrets-provider passphrase --stack {site}"
    if not isinstance(salt, str):
        yield f"{where}: missing: nobody can say what encrypts the seed; copy the line from where it was encrypted"
        return
    # The engine refuses what is no salt.
    with contextlib.suppress(ValueError):
        if weakness := known_passphrase(salt):
            yield f"{where}: {weakness}; {remedy}, then another seed"
