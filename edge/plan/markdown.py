"""A plan as a comment of a pull request: one table, what each site's change is, and who must agree."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from edge.plan.difference import difference
from edge.plan.verdict import SitePlan, Verdict
from policy.plan import Violation

#: What a comment on GitHub may have; bytes are counted, which are never fewer than its characters.
LIMIT = 65_536

#: A comment begins with it, so that the next one finds and replaces it.
MARKER = "<!-- fjord-edge plan -->"

#: The table takes no more than that, so that something is left for the rest.
_TABLE = 40_000
_CELL = 300
_SHORTEST = 20
_POLICIES = 50

_CUT = "cut here; all of it: bin/edge plan --json"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a change does, whole."""

    base: str
    """The commit that it is compared with."""
    sites: Sequence[SitePlan]
    """Those that it can touch, the worst first."""
    others: int
    """How many it cannot touch."""
    mesh: str | None
    """A Mermaid diagram, where peers change."""
    violations: Sequence[tuple[str, Violation]]
    """Sites and what of them breaks a policy."""

    @property
    def approvals(self) -> dict[str, list[str]]:
        """Who must agree, and to which sites."""
        found: dict[str, list[str]] = {}
        for site in self.sites:
            if site.verdicts != [Verdict.NOTHING]:
                for owner in site.owners:
                    found.setdefault(owner, []).append(site.site)
        return dict(sorted(found.items()))

    @property
    def fails(self) -> bool:
        """Whether it must not be merged as it is."""
        broken = any(violation.is_mandatory for _, violation in self.violations)
        return broken or any(site.fails for site in self.sites)


def markdown(plan: Plan) -> str:
    """The comment; the table is whole, the sites' differences are cut to what is left."""
    head = [MARKER, "## Plan", "", *_summary(plan), *_table(plan)]
    if plan.mesh:
        head += ["", "### Mesh", "", "```mermaid", plan.mesh, "```"]
    head += ["", "### Policies", "", *_policies(plan.violations)]
    head += ["", "### Approvals", "", *_approvals(plan)]
    foot = [
        "",
        f"Compared with `{plan.base[:12]}`, by placeholder seeds: that a site's seed gives its registered keys is left "
        "to its own update.",
    ]
    left = LIMIT - _size([*head, *foot])
    return "\n".join([*head, *_details(plan.sites, left), *foot]) + "\n"


def _summary(plan: Plan) -> list[str]:
    lost = [site.site for site in plan.sites if Verdict.DATA_LOST in site.verdicts]
    lines = []
    if lost:
        lines += ["> [!CAUTION]", f"> **DATA LOST** at {', '.join(map(_cell, lost))}.", ""]
    if not plan.sites:
        return [*lines, f"It touches none of {plan.others} sites."]
    return [*lines, f"It can touch {len(plan.sites)} of {len(plan.sites) + plan.others} sites.", ""]


def _table(plan: Plan) -> list[str]:
    if not plan.sites:
        return []
    head = ["| Site | Owner | Verdict | What changes |", "|---|---|---|---|"]
    fixed = _size([_row(site, 0) for site in plan.sites])
    width = max(_SHORTEST, min(_CELL, (_TABLE - fixed) // len(plan.sites)))
    return [*head, *(_row(site, width) for site in plan.sites)]


def _row(site: SitePlan, width: int) -> str:
    verdicts = "; ".join(f"**{each}**" if each is Verdict.DATA_LOST else each for each in site.verdicts)
    what = _cell("; ".join(site.what))
    what = what if _size([what]) <= width else what.encode()[:width].decode(errors="ignore") + "…"
    name = _cell(site.site) + ("" if site.source == "plan" else f" ({_cell(site.source)})")
    return f"| {name} | {_cell(' → '.join(site.owners))} | {verdicts} | {what if width else ''} |"


def _policies(violations: Sequence[tuple[str, Violation]]) -> list[str]:
    if not violations:
        return ["All kept."]
    lines = [
        f"- {'**mandatory**' if each.is_mandatory else 'advisory'}: {_cell(site)}, {_cell(each.resource)}: "
        f"{_cell(each.message)[:_CELL]} ({_cell(each.policy)})"
        for site, each in violations[:_POLICIES]
    ]
    more = len(violations) - _POLICIES
    return [*lines, f"- and {more} more"] if more > 0 else lines


def _approvals(plan: Plan) -> list[str]:
    lines = [f"- {_cell(owner)}: {_few(sites)}" for owner, sites in plan.approvals.items()]
    return lines or ["None: no site changes."]


def _few(sites: Sequence[str]) -> str:
    shown = ", ".join(map(_cell, sites[:5]))
    return f"{shown} and {len(sites) - 5} more" if len(sites) > 5 else shown


def _details(sites: Sequence[SitePlan], left: int) -> list[str]:
    """A folded difference for each site, of equal share in the bytes that are left; what does not fit is counted."""
    with_steps = [site for site in sites if site.steps]
    lines: list[str] = []
    for number, site in enumerate(with_steps):
        note = ["", f"_{len(with_steps) - number} sites more: {_CUT}_"]
        share = (left - _size([*lines, *note])) // (len(with_steps) - number)
        block = _detail(site, share)
        if _size(block) > share:
            return [*lines, *note]
        lines += block
    return lines


def _detail(site: SitePlan, limit: int) -> list[str]:
    diff = difference(site.steps)
    fence = "`" * max(3, *(len(run) + 1 for run in re.findall(r"`+", "\n".join(diff))), 3)
    head = ["", f"<details><summary>{_cell(site.site)}: {'; '.join(site.verdicts)}</summary>", "", f"{fence}diff"]
    foot = [fence, "", "</details>"]
    left = limit - _size([*head, *foot])
    if _size(diff) > left:
        left -= _size([f"# {_CUT}"])
        kept: list[str] = []
        for line in diff:
            left -= _size([line])
            if left < 0:
                break
            kept.append(line)
        diff = [*kept, f"# {_CUT}"]
    return [*head, *diff, *foot]


def _size(lines: Sequence[str]) -> int:
    return sum(len(line.encode()) + 1 for line in lines)


def _cell(text: str) -> str:
    """A text on one line, in which nothing is markup."""
    escaped = re.sub(r"([\\`*_{}\[\]|~])", r"\\\1", " ".join(text.split()))
    return escaped.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
