"""A plan as a comment of a pull request: one table, what each site's change is, and who must agree."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edge.plan.difference import difference
from edge.plan.policies import Broken
from edge.plan.verdict import SitePlan, Verdict

#: What a comment on GitHub may have; bytes are counted, which are never fewer than its characters.
LIMIT = 65_536

#: A comment begins with it, so that the next one finds and replaces it.
MARKER = "<!-- fjord-edge plan -->"

#: What each part takes at most, so that something is left for the others; the table's worst sites come first.
_TABLE, _MESH, _POLICIES, _APPROVALS = 32_000, 8_000, 8_000, 8_000

#: What a cell says of a change at most, and at least.
_CELL, _SHORTEST = 300, 20

#: For the line that says what was cut.
_NOTE = 100

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
    broken: Sequence[Broken]
    """What breaks policies."""
    approvals: Mapping[str, Sequence[str]]
    """Who must agree, and to which files."""
    stale_codeowners: bool = False
    """Whether the next change would be approved by others than the registry says."""

    @property
    def fails(self) -> bool:
        """Whether it must not be merged as it is."""
        broken = any(each.fails for each in self.broken)
        return broken or self.stale_codeowners or any(site.fails for site in self.sites)


def markdown(plan: Plan) -> str:
    """The comment; the sites' differences are cut to what the rest leaves."""
    head = [MARKER, "## Plan", "", *_summary(plan), *_table(plan)]
    if plan.mesh and _size([plan.mesh]) <= _MESH:
        head += ["", "### Mesh", "", "```mermaid", plan.mesh, "```"]
    head += ["", "### Policies", "", *_policies(plan.broken, judged=bool(plan.sites))]
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
        lines += ["> [!CAUTION]", f"> **DATA LOST** at {_few(lost)}.", ""]
    if not plan.sites:
        return [*lines, f"It touches none of {plan.others} sites."]
    return [*lines, f"It can touch {len(plan.sites)} of {len(plan.sites) + plan.others} sites.", ""]


def _table(plan: Plan) -> list[str]:
    if not plan.sites:
        return []
    head = ["| Site | Owner | Verdict | What changes |", "|---|---|---|---|"]
    fixed = _size([_row(site, 0) for site in plan.sites])
    width = max(_SHORTEST, min(_CELL, (_TABLE - _NOTE - fixed) // len(plan.sites) - _size(["…"])))
    return [*head, *_within(_TABLE, [_row(site, width) for site in plan.sites], "| _{}_ | | | |")]


def _row(site: SitePlan, width: int) -> str:
    verdicts = "; ".join(f"**{each}**" if each is Verdict.DATA_LOST else each for each in site.verdicts)
    what = _cell("; ".join(site.what))
    what = what if _size([what]) <= width else what.encode()[:width].decode(errors="ignore") + "…"
    name = _cell(site.site) + ("" if site.source == "plan" else f" ({_cell(site.source)})")
    return f"| {name} | {_cell(' → '.join(site.owners))} | {verdicts} | {what if width else ''} |"


def _policies(broken: Sequence[Broken], *, judged: bool) -> list[str]:
    if not broken:
        return ["All kept." if judged else "Not asked: no site is touched."]
    lines = [
        f"- {_weight(each)}: {_cell(each.site)}, {_cell(each.violation.resource)}: "
        f"{_cell(each.violation.message)[:_CELL]} ({_cell(each.violation.policy)})"
        for each in sorted(broken, key=lambda each: not each.fails)
    ]
    return _within(_POLICIES, lines, "- _{}_")


def _weight(broken: Broken) -> str:
    if broken.fails:
        return "**mandatory**"
    return "as before" if broken.as_before else "advisory"


def _approvals(plan: Plan) -> list[str]:
    lines = [f"- {_cell(owner)}: {_few(files)}" for owner, files in plan.approvals.items()]
    if plan.stale_codeowners:
        remedy = "write it anew: `.venv/bin/python -m config.codeowners`"
        lines.insert(0, f"- **stale**: .github/CODEOWNERS is not what config/mesh says; {remedy}")
    return _within(_APPROVALS, lines, "- _{}_") or ["None: .github/CODEOWNERS names nobody for what changed."]


def _few(names: Sequence[str]) -> str:
    shown = ", ".join(map(_cell, names[:5]))
    return f"{shown} and {len(names) - 5} more" if len(names) > 5 else shown


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


def _within(limit: int, lines: Sequence[str], note: str) -> list[str]:
    """As many lines as fit, and in a note how many do not."""
    left = limit - _NOTE
    for number, line in enumerate(lines):
        left -= _size([line])
        if left < 0:
            return [*lines[:number], note.format(f"{len(lines) - number} more: {_CUT}")]
    return list(lines)


def _size(lines: Sequence[str]) -> int:
    return sum(len(line.encode()) + 1 for line in lines)


def _cell(text: str) -> str:
    """A text on one line, in which nothing is markup."""
    escaped = re.sub(r"([\\`*_{}\[\]|~])", r"\\\1", " ".join(text.split()))
    return escaped.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
