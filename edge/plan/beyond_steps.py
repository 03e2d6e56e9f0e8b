"""What a change does to a site that no step of its resources tells."""

from collections.abc import Iterator, Mapping, Sequence

from edge.plan.custody import refusals
from edge.plan.kept import shortened
from edge.plan.revisions import Revision
from edge.plan.rules import CLOUD_INIT
from edge.plan.steps import Step
from edge.plan.verdict import Recorded, Verdict
from edge.recorder.recording import Registered

#: Of a node, what a first boot alone reads.
_FIRST_BOOT = ("network", "registries", "user")

#: The keys of a registry file that a seed and an epoch give, and which epoch.
_DERIVED = {"tunnelKey": "wireguard", "identityKey": "identity"}

#: The lines of Pulumi.yaml that are not read by the engine alone.
_WORDS_OF_PROJECT = {"author", "description", "website"}


def beyond_steps(
    site: str,
    before: Revision,
    after: Revision,
    then: Recorded | None = None,
    now: Recorded | None = None,
    steps: Sequence[Step] = (),
) -> Mapping[Verdict, str]:
    """Compare what two revisions have of a site; a text for each verdict.

    Args:
        site: its name.
        before: what is now.
        after: what would be.
        then: what the one records of the site.
        now: the same of the other; of a site that it refuses, nothing is told but who could decrypt its seed.
        steps: what the engine would do.
    """
    found: dict[Verdict, list[str]] = {}
    told = [(Verdict.REFUSED, why) for why in refusals(site, before, after)]
    if site in before.sites & after.sites and not (now and now.refused):
        told += _by_files(site, before, after)
        told += [(Verdict.DATA_LOST, what) for what in shortened(steps)]
        told += [(Verdict.REFUSED, why) for why in _unread(site, before, after, then, now)]
    for verdict, what in told:
        found.setdefault(verdict, []).append(what)
    return {verdict: "; ".join(what) for verdict, what in found.items()}


def _by_files(site: str, before: Revision, after: Revision) -> Iterator[tuple[Verdict, str]]:
    had, has = (_number(revision.in_section(site, "node", "dataDiskGib"), 0) for revision in (before, after))
    if 0 < has < had:
        yield Verdict.REFUSED, f"node.dataDiskGib {had} → {has}: a data disk never shrinks; write {had} or more"
    if before.encrypted_seed(site) != after.encrypted_seed(site):
        yield Verdict.KEYS, "the encrypted seed is another, or encrypted anew; only its team can tell which"
    else:
        yield from ((Verdict.REFUSED, why) for why in _not_derived(site, before, after))
    if (was := before.backend(site)) != (is_ := after.backend(site)):
        yield (
            Verdict.UNKNOWN,
            f"backend {was or 'of the shell'} → {is_ or 'of the shell'}: a state that was not moved there before the "
            f"merge is empty, and an update stops at what it finds; `edge handover {site} --backend` moves it",
        )
    if changed := _other_providers(before, after):
        yield Verdict.UNKNOWN, f"{changed}: what they do otherwise only a preview shows"
    if changed := _other_project(before, after):
        yield Verdict.UNKNOWN, f"Pulumi.yaml: {changed}: which state and which program are meant only a preview shows"


def _not_derived(site: str, before: Revision, after: Revision) -> Iterator[str]:
    """Keys that the program will refuse: the same seed gives another with another epoch, and with no other one."""
    for key, purpose in _DERIVED.items():
        epochs = [_number(each.in_section(site, "epochs", purpose), 1) for each in (before, after)]
        keys = [each.registry.get(site, {}).get(key) for each in (before, after)]
        if (keys[0] != keys[1]) == (epochs[0] != epochs[1]) or None in keys:
            continue
        where = f"config/mesh/{site}.yaml: {key}"
        if epochs[0] == epochs[1]:
            yield f"{where}: another one, and epochs.{purpose} is not; the seed gives the one before"
        else:
            yield f"{where}: as before, and epochs.{purpose} is {epochs[1]}; `edge key {site} --write` writes its key"


def _unread(site: str, before: Revision, after: Revision, then: Recorded | None, now: Recorded | None) -> Iterator[str]:
    """What a node that has booted does not read again; in other words alone, it need not."""
    former, first_boot = (_first_boot(each) for each in (then, now))
    if former is None or first_boot is None or former.name != first_boot.name:
        return
    for key in _FIRST_BOOT:
        rendered = "networkConfig" if key == "network" else "userData"
        written = [revision.in_section(site, "node", key) for revision in (before, after)]
        if written[0] != written[1] and former.inputs.get(rendered) != first_boot.inputs.get(rendered):
            yield f"node.{key}: read by a node's first boot alone; raise node.generation, which replaces the node"


def _first_boot(recorded: Recorded | None) -> Registered | None:
    return next((each for each in recorded.resources if each.type == CLOUD_INIT), None) if recorded else None


def _number(value: object, default: int) -> int:
    """A number of a file that may say anything; what is wrong in it the program itself refuses."""
    return value if isinstance(value, int) else default


def _other_providers(before: Revision, after: Revision) -> str:
    """Both programs run with the packages that are installed here: what another version does, no plan shows."""
    were, are = before.providers, after.providers
    return ", ".join(
        f"{name} {were.get(name, 'not there')} → {are.get(name, 'gone')}"
        for name in sorted(were.keys() | are.keys())
        if were.get(name) != are.get(name)
    )


def _other_project(before: Revision, after: Revision) -> str:
    """A project's name is part of a state's place, and its backend the place of all."""
    were, are = before.project, after.project
    keys = (were.keys() | are.keys()) - _WORDS_OF_PROJECT
    return ", ".join(sorted(str(key) for key in keys if were.get(key) != are.get(key)))
