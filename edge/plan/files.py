"""What a site's files tell of a change that its resources do not."""

from collections.abc import Iterator, Mapping

from config.iot import Storage
from edge.plan.custody import refusals
from edge.plan.revisions import Revision
from edge.plan.verdict import Verdict


def by_files(site: str, before: Revision, after: Revision) -> Mapping[Verdict, str]:
    """Compare what two revisions have of a site; a text for each verdict."""
    found: dict[Verdict, list[str]] = {}
    told = [(Verdict.REFUSED, why) for why in refusals(site, before, after)]
    for verdict, what in [*told, *(_found(site, before, after) if site in before.sites & after.sites else ())]:
        found.setdefault(verdict, []).append(what)
    return {verdict: "; ".join(what) for verdict, what in found.items()}


def _found(site: str, before: Revision, after: Revision) -> Iterator[tuple[Verdict, str]]:
    kept_before, kept = (_retention_days(site, revision) for revision in (before, after))
    if kept < kept_before:
        yield (
            Verdict.DATA_LOST,
            f"iot.storage.retentionDays {kept_before} → {kept}: the update deletes what is older than {kept} days",
        )
    had, has = (_number(revision.in_section(site, "node", "dataDiskGib"), 0) for revision in (before, after))
    if 0 < has < had:
        yield Verdict.REFUSED, f"node.dataDiskGib {had} → {has}: a data disk never shrinks; write {had} or more"
    if before.encrypted_seed(site) != after.encrypted_seed(site):
        yield Verdict.KEYS, "the encrypted seed is another, or encrypted anew; only its team can tell which"
    if (was := before.backend(site)) != (is_ := after.backend(site)):
        yield (
            Verdict.UNKNOWN,
            f"backend {was or 'of the shell'} → {is_ or 'of the shell'}: a state that was not moved there before the "
            f"merge is empty, and an update stops at what it finds; `edge handover {site} --backend` moves it",
        )
    if changed := _other_providers(before, after):
        yield Verdict.UNKNOWN, f"{changed}: what they do otherwise only a preview shows"


def _retention_days(site: str, revision: Revision) -> int:
    return _number(revision.in_section(site, "iot", "storage", "retentionDays"), Storage().retention_days)


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
