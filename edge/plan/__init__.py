"""Say what a change does to every site, as a comment for its pull request; it needs no site, no secret and no state."""

import argparse
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from config.base import ConfigError
from config.codeowners import codeowners_text
from config.loader import CHECKOUT
from config.registry import load_registry
from edge.plan.approvals import FILE as CODEOWNERS
from edge.plan.approvals import approvals
from edge.plan.beyond_steps import beyond_steps
from edge.plan.difference import difference
from edge.plan.markdown import Plan, markdown
from edge.plan.peers import diagram
from edge.plan.policies import broken
from edge.plan.previews import fold, read
from edge.plan.record import record
from edge.plan.revisions import Repository, Revision, judged_anew, refusable, touched
from edge.plan.steps import steps
from edge.plan.verdict import Recorded, SitePlan, Verdict, judge


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What it understands."""
    parser.add_argument("--base", required=True, metavar="COMMIT", help="what the change is to be merged into")
    parser.add_argument("--previews", type=Path, metavar="FOLDER", help="what edge preview said of sites, a file each")
    parser.add_argument("--json", action="store_true", help="for scripts")


def run(arguments: argparse.Namespace) -> int:
    """Print the plan; the status is 1 when a site is refused, loses data or breaks a mandatory policy."""
    plan = compare(Repository(CHECKOUT), arguments.base, read(arguments.previews) if arguments.previews else {})
    print(json.dumps(_told(plan), indent=2) if arguments.json else markdown(plan), end="\n" if arguments.json else "")
    return 1 if plan.fails else 0


def compare(repository: Repository, base: str, previews: Mapping[str, Mapping[str, Any]] | None = None) -> Plan:
    """Compare the working tree with where it went apart from `base`.

    Args:
        repository: of the working tree.
        base: a commit, branch or tag.
        previews: what `edge preview` said, by site; it takes the place of the site's verdict.

    Raises:
        EdgeError: git knows no such commit, or a recorder failed.
    """
    commit = repository.common(base)
    after = Revision(repository.folder)
    with tempfile.TemporaryDirectory() as folder:
        before = repository.extract(commit, Path(folder))
        changed = repository.changed(commit)
        found = touched(changed, before, after) | refusable(before, after)
        by_other_rules = judged_anew(changed, after)
        sites = sorted(found | by_other_rules)
        plans = fold(plan_sites(sites, before, after), previews or {})
        return Plan(
            base=commit,
            sites=sorted(plans, key=lambda plan: (list(Verdict).index(plan.verdicts[0]), plan.site)),
            others=len(after.sites - set(sites)),
            mesh=diagram(before, after),
            # What other rules find is their change's doing, whatever the site was before.
            broken=[
                each for plan in plans for each in broken(plan.site, () if by_other_rules else plan.before, plan.after)
            ],
            approvals=approvals(repository.text(base, CODEOWNERS), changed),
            stale_codeowners=_is_stale(after),
        )


def plan_sites(sites: Sequence[str], before: Revision, after: Revision) -> list[SitePlan]:
    """Run both revisions' programs for these sites, and say what happens to each."""
    asked = [(revision.folder, [site for site in sites if site in revision.sites]) for revision in (before, after)]
    then, now = record(asked)
    return [_plan(site, before, after, then.get(site), now.get(site)) for site in sites]


def _plan(site: str, before: Revision, after: Revision, then: Recorded | None, now: Recorded | None) -> SitePlan:
    done = steps(then.resources, now.resources) if then and now and not (then.refused or now.refused) else []
    return judge(
        site,
        done,
        then,
        now,
        owners=[owner for owner in dict.fromkeys((before.owner(site), after.owner(site))) if owner],
        beyond_steps=beyond_steps(site, before, after, then, now, done) if now else {},
    )


def _is_stale(revision: Revision) -> bool:
    try:
        return revision.codeowners != codeowners_text(load_registry(revision.folder / "config" / "mesh"))
    except ConfigError:
        # Each site is refused for it.
        return False


def _told(plan: Plan) -> dict[str, object]:
    return {
        "base": plan.base,
        "fails": plan.fails,
        "sites": [
            {
                "site": site.site,
                "owners": list(site.owners),
                "verdicts": list(site.verdicts),
                "what": list(site.what),
                "source": site.source,
                "fails": site.fails,
                "steps": [
                    {
                        "operation": step.operation,
                        "type": step.resource.type,
                        "name": step.resource.name,
                        "changed": list(step.changed),
                        "because": list(step.because),
                    }
                    for step in site.steps
                ],
                "difference": difference(site.steps),
            }
            for site in plan.sites
        ],
        "others": plan.others,
        "mesh": plan.mesh,
        "approvals": plan.approvals,
        "staleCodeowners": plan.stale_codeowners,
        "broken": [
            {"site": each.site, **asdict(each.violation), "asBefore": each.as_before, "fails": each.fails}
            for each in plan.broken
        ],
    }
