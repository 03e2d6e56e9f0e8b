"""The comment of a pull request."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.derive import wireguard_key
from config.site import SiteSection
from edge import scan
from edge.plan.difference import difference, hidden
from edge.plan.markdown import LIMIT, MARKER, Plan, markdown
from edge.plan.policies import Broken
from edge.plan.steps import Step
from edge.plan.verdict import SitePlan, Verdict
from edge.recorder.recording import Secret
from policy.plan import Violation
from tests.edge.plan.changes import made, verdict
from tests.sites import SEED, edited, section

VIOLATION = Violation("images-by-digest", "oslo-telegraf", "telegraf:1.39 is no digest; pin it")


def plan(
    *sites: SitePlan,
    broken: Sequence[Broken] = (),
    mesh: str | None = None,
    approvals: Mapping[str, Sequence[str]] | None = None,
) -> Plan:
    return Plan(base=40 * "a", sites=sites, others=1, mesh=mesh, broken=broken, approvals=approvals or {})


def site(name: str = "oslo", *verdicts: Verdict, what: str = "", steps: Sequence[Step] = ()) -> SitePlan:
    found = [*verdicts] or [Verdict.IN_PLACE]
    return SitePlan(site=name, owners=[f"@fjord-edge/{name}"], verdicts=found, what=[what], steps=steps)


def step(text: str) -> Step:
    before, after = (made(name="c", inputs={"create": value}) for value in ("", text))
    return Step(operation="update", before=before, after=after, changed=("create",))


def test_it_begins_with_the_words_by_which_it_is_found_again() -> None:
    assert markdown(plan(site())).startswith(f"{MARKER}\n## Plan\n")


def test_a_row_tells_site_owner_verdict_and_what_changes() -> None:
    text = markdown(plan(site("oslo", Verdict.RESTART, Verdict.IN_PLACE, what="oslo-telegraf")))
    assert "| oslo | @fjord-edge/oslo | containers restart; in place | oslo-telegraf |" in text
    assert "It can touch 1 of 2 sites." in text


def test_a_change_that_touches_no_site_says_so_without_a_table() -> None:
    text = markdown(plan())
    assert "It touches none of 1 sites." in text
    assert "|---|" not in text


def test_lost_data_stands_above_the_table() -> None:
    text = markdown(plan(site("oslo", Verdict.DATA_LOST)))
    assert text.index("> **DATA LOST** at oslo.") < text.index("| Site |")
    assert "CAUTION" not in markdown(plan(site()))


def test_who_must_agree_is_told_with_the_files() -> None:
    text = markdown(plan(approvals={"@a or @b": ["config/mesh/bergen.yaml"], "@c": [f"{n}.py" for n in range(7)]}))
    assert "- @a or @b: config/mesh/bergen.yaml\n" in text
    assert "- @c: 0.py, 1.py, 2.py, 3.py, 4.py and 2 more\n" in text
    assert "None: .github/CODEOWNERS names nobody for what changed." in markdown(plan(site()))


def test_a_policy_that_the_change_breaks_is_told_and_fails_the_plan() -> None:
    found = plan(site(), broken=[Broken("oslo", VIOLATION, as_before=False)])
    line = "- **mandatory**: oslo, oslo-telegraf: telegraf:1.39 is no digest; pin it (images-by-digest)"
    assert line in markdown(found)
    assert found.fails
    assert not plan(site(), broken=[Broken("oslo", replace(VIOLATION, is_mandatory=False), as_before=False)]).fails
    assert "All kept." in markdown(plan(site()))


def test_a_policy_that_was_broken_before_is_told_and_fails_nothing() -> None:
    found = plan(site(), broken=[Broken("oslo", VIOLATION, as_before=True)])
    assert "- as before: oslo, oslo-telegraf: telegraf:1.39 is no digest" in markdown(found)
    assert not found.fails


def test_a_mesh_is_drawn_where_there_is_one() -> None:
    assert "```mermaid\nflowchart LR\n```" in markdown(plan(site(), mesh="flowchart LR"))
    assert "mermaid" not in markdown(plan(site()))


def test_a_sites_difference_is_folded() -> None:
    text = markdown(plan(site(steps=[step("echo hello")])))
    assert "<details><summary>oslo: in place</summary>" in text
    assert "+   echo hello" in text


def test_text_of_a_change_breaks_neither_table_nor_fence() -> None:
    text = markdown(plan(site(what="a | b <script> `c`\nd", steps=[step("```\n</details>")])))
    assert r"| a \| b &lt;script&gt; \`c\` d |" in text
    assert "````diff" in text


@pytest.mark.parametrize("sites", [1, 200])
def test_a_big_change_stays_a_comment_with_each_sites_row_and_what_was_cut_is_told(sites: int) -> None:
    steps = [replace(step("å" * 150 + str(number)), changed=("create",)) for number in range(1000)]
    many = [site(f"site-{number}", what="ø" * 500, steps=steps) for number in range(sites)]
    broken = [Broken(each.site, replace(VIOLATION, message="m" * 1000), as_before=False) for each in many]
    text = markdown(plan(*many, broken=broken))
    assert len(text.encode()) <= LIMIT
    assert text.count("\n| site-") == sites
    assert "cut here; all of it: bin/edge plan --json" in text
    assert text.count("<details>") == text.count("</details>")
    assert text.endswith("left to its own update.\n")


def test_more_sites_than_a_comment_holds_are_counted_the_worst_first() -> None:
    many = [site(f"site-{number}", what="ø" * 500) for number in range(1000)]
    text = markdown(plan(*many))
    shown = text.count("\n| site-")
    assert f"| _{1000 - shown} more: cut here; all of it: bin/edge plan --json_ |" in text
    assert 300 < shown < 1000
    assert len(text.encode()) <= LIMIT


@settings(max_examples=50, deadline=None)
@given(
    sites=st.lists(st.text(alphabet="ab|<`å\n", min_size=1, max_size=60), min_size=1, max_size=60),
    change=st.text(max_size=4000),
)
def test_no_change_makes_more_than_a_comment(sites: list[str], change: str) -> None:
    made_of = [site(name, *Verdict, what=change, steps=[step(change)] * 20) for name in sites]
    broken = [Broken(name, replace(VIOLATION, message=change), as_before=False) for name in sites]
    text = markdown(plan(*made_of, broken=broken))
    assert len(text.encode()) <= LIMIT


def secrets(**epochs: int) -> dict[str, str]:
    content = section("oslo")
    edited(content, "epochs", value=epochs)
    return scan.derived(SEED, "oslo", SiteSection.parse(content, file="Pulumi.oslo.yaml"))


def change_of(**epochs: int) -> SitePlan:
    def write_keys(files: Any) -> None:
        files["oslo"]["tunnelKey"] = wireguard_key(SEED, "oslo", epochs.get("wireguard", 1)).public

    return verdict("oslo", lambda content: edited(content, "epochs", value=epochs), write_keys)


@pytest.mark.parametrize("purpose", ["passwords", "wireguard"])
def test_no_secret_is_in_the_difference_of_a_change_that_changes_secrets(purpose: str) -> None:
    found = change_of(**{purpose: 2})
    text = markdown(plan(found)) + "\n".join(difference(found.steps))
    assert "hidden" in text
    for known in (secrets(), secrets(**{purpose: 2})):
        assert [what for what, secret in known.items() if secret in text] == []


def test_if_nothing_were_hidden_a_secret_would_be_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[difference.__module__], "hidden", lambda text: text)
    text = "\n".join(difference(change_of(passwords=2).steps))
    assert any(secret in text for secret in secrets(passwords=2).values())


@pytest.mark.parametrize(
    "text",
    [
        "hNqyoHtDFBoGQQISW2GRjfBwCDsatwRlxQX+aAnRvWI=",
        "$7$101$0123456789abcdefABCD==$vK1s0kA0",
        "sha512:0123456789abcdef0123456789abcdef",
    ],
)
def test_what_looks_like_a_key_or_a_hash_is_hidden(text: str) -> None:
    assert "[hidden]" in hidden(f"key: {text}")


@pytest.mark.parametrize(
    "text",
    [
        "/var/lib/containers/storage/overlay-images",
        "net.ipv4.tcp_congestion_control",
        "registry.example.com/telegraf@sha256:" + 64 * "0",
    ],
)
def test_what_is_a_path_a_name_or_an_images_digest_stays(text: str) -> None:
    assert hidden(text) == text


def test_a_secret_input_of_any_shape_is_hidden() -> None:
    before, after = (made(name="c", inputs={"stdin": Secret([{"key": f"AbcdEfgh0123456789Zz{n}"}])}) for n in (1, 2))
    [_, _, *lines] = difference([Step(operation="update", before=before, after=after, changed=("stdin",))])
    assert "AbcdEfgh" not in "\n".join(lines)
