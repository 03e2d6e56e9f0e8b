"""The engine's previews in the plan's table."""

import json
from pathlib import Path
from typing import Any

import pytest

from edge.plan.previews import fold, judged, read, silent, stale
from edge.plan.verdict import SitePlan, Verdict
from edge.site import EdgeError

VOLUME, DOMAIN = "libvirt:index/volume:Volume", "libvirt:index/domain:Domain"
CONTAINER, COMMAND = "docker:index/container:Container", "command:remote:Command"
PLAN = SitePlan(site="oslo", verdicts=[Verdict.IN_PLACE], what=["oslo-telegraf-files"])
VALUE = "a value of the state"


def told(operation: str, type_: str, name: str, **more: Any) -> dict[str, Any]:
    """A step of `pulumi preview --json`, as Pulumi 3.259 prints it."""
    kind = "" if type_.startswith("pulumi:pulumi:") else "fjord-edge:index:IoTStack$"
    urn = f"urn:pulumi:oslo::fjord-edge::{kind}{type_}::{name}"
    state = {"urn": urn, "custom": not type_.startswith("pulumi:pulumi:"), "type": type_, "inputs": {"name": VALUE}}
    states = {"oldState": {**state, **more.pop("state", {})}, "newState": state}
    states.pop({"create": "oldState", "delete": "newState"}.get(operation, ""), None)
    return {"op": operation, "urn": urn, **states, "detailedDiff": None, **more}


def digest(*steps: dict[str, Any]) -> dict[str, Any]:
    return {"steps": [told("same", "pulumi:pulumi:Stack", "fjord-edge-oslo"), *steps], "changeSummary": {}}


def test_a_preview_without_a_change_is_nothing() -> None:
    assert judged("oslo", digest()) == {
        "site": "oslo",
        "answers": True,
        "verdicts": ["nothing"],
        "what": [],
        "fails": False,
    }


@pytest.mark.parametrize(
    ("steps", "verdicts", "what"),
    [
        (
            [
                told("replace", CONTAINER, "oslo-telegraf", replaceReasons=["labels"], diffReasons=["labels"]),
                told("update", COMMAND, "oslo-telegraf-files", diffReasons=["stdin"]),
            ],
            ["containers restart", "in place"],
            ["oslo-telegraf", "oslo-telegraf-files"],
        ),
        (
            [
                told("replace", DOMAIN, "oslo", replaceReasons=["vcpu", "memory"]),
                told("replace", CONTAINER, "oslo-telegraf"),
            ],
            ["node replaced, data kept"],
            ["because of memory, vcpu"],
        ),
        (
            [told("delete", VOLUME, "oslo-data")],
            ["DATA LOST"],
            ["oslo-data: made anew or deleted. The engine refuses that while they are protected"],
        ),
        (
            [told("replace", VOLUME, "oslo-root", state={"inputs": {"baseVolumeId": "x"}})],
            ["in place"],
            ["made anew: oslo-root"],
        ),
    ],
)
def test_a_preview_is_judged_as_a_plan_is(steps: list[dict[str, Any]], verdicts: list[str], what: list[str]) -> None:
    found = judged("oslo", digest(*steps))
    assert (found["verdicts"], found["what"]) == (verdicts, what)
    assert found["fails"] == ("DATA LOST" in verdicts)
    assert VALUE not in json.dumps(found)


def test_a_site_without_a_stack_so_far_is_new() -> None:
    steps = [told("create", "pulumi:pulumi:Stack", "fjord-edge-oslo"), told("create", DOMAIN, "oslo")]
    found = judged("oslo", {"steps": steps})
    assert (found["verdicts"], found["what"]) == (["new"], ["1 resources"])


def test_a_preview_takes_the_place_of_its_sites_verdict_and_of_no_other() -> None:
    other = SitePlan(site="bergen", verdicts=[Verdict.NOTHING], what=[])
    preview = judged("oslo", digest(told("replace", CONTAINER, "oslo-telegraf")))
    bergen, oslo = fold([other, PLAN], {"oslo": json.loads(json.dumps(preview)), "atlantis": preview})
    assert bergen == other
    assert (oslo.verdicts, oslo.what, oslo.source) == ([Verdict.RESTART], ["oslo-telegraf"], "preview")


def test_a_site_that_is_cut_off_keeps_its_plan_and_says_since_when() -> None:
    [oslo] = fold([PLAN], {"oslo": silent("oslo", "2026-11-25T20:26:15.000Z")})
    assert (oslo.verdicts, oslo.fails) == (PLAN.verdicts, False)
    assert oslo.source == "plan; no answer, last contact 2026-11-25T20:26:15.000Z"
    [never] = fold([PLAN], {"oslo": silent("oslo", "")})
    assert never.source == "plan; no answer yet"


def test_a_preview_of_the_state_takes_the_plans_place_and_leaves_out_the_stand_in() -> None:
    steps = [told("update", "pulumi:providers:libvirt", "oslo-hypervisor"), told("replace", CONTAINER, "oslo-telegraf")]
    preview = stale("oslo", "2026-11-25T20:26:15.000Z", digest(*steps))
    [oslo] = fold([PLAN], {"oslo": preview})
    assert (oslo.verdicts, oslo.what) == ([Verdict.RESTART], ["oslo-telegraf"])
    assert oslo.source == "preview of the state; no answer, last contact 2026-11-25T20:26:15.000Z"


def test_a_node_that_the_engine_replaces_without_a_reason_gets_its_own() -> None:
    step = told("replace", DOMAIN, "oslo", state={"inputs": {"name": VALUE, "memory": 3072, "autostart": True}})
    assert judged("oslo", digest(step))["what"] == ["because of memory"]


def test_what_fails_by_its_plan_fails_with_a_preview_too_and_says_why_and_the_other_way_round() -> None:
    failing = SitePlan(site="oslo", verdicts=[Verdict.DATA_LOST], what=["oslo-data"], fails=True)
    nothing, lost = (judged("oslo", digest(*steps)) for steps in ([], [told("delete", VOLUME, "oslo-data")]))
    [oslo] = fold([failing], {"oslo": nothing})
    assert (oslo.fails, oslo.verdicts, oslo.what) == (True, [Verdict.DATA_LOST], ["oslo-data"])
    [oslo] = fold([failing], {"oslo": lost})
    assert (oslo.verdicts, oslo.what) == ([Verdict.DATA_LOST], lost["what"])
    assert fold([PLAN], {"oslo": lost})[0].fails


def test_another_seed_is_told_beside_what_the_engine_says_which_compares_none() -> None:
    plan = SitePlan(site="oslo", verdicts=[Verdict.KEYS, Verdict.IN_PLACE], what=["another seed", "by the plan"])
    [oslo] = fold([plan], {"oslo": judged("oslo", digest(told("replace", CONTAINER, "oslo-telegraf")))})
    assert (oslo.verdicts, oslo.what) == ([Verdict.KEYS, Verdict.RESTART], ["another seed", "oslo-telegraf"])


@pytest.mark.parametrize("answers", [True, False])
def test_what_no_stand_in_shows_is_kept_where_the_site_did_not_answer(answers: bool) -> None:
    plan = SitePlan(
        site="oslo",
        verdicts=[Verdict.UNKNOWN, Verdict.IN_PLACE],
        what=["oslo-hypervisor: another hypervisor", "oslo-preflight"],
    )
    told_by_engine = digest(told("update", COMMAND, "oslo-preflight"))
    preview = judged("oslo", told_by_engine) if answers else stale("oslo", "", told_by_engine)
    [oslo] = fold([plan], {"oslo": preview})
    kept = [] if answers else [Verdict.UNKNOWN]
    assert oslo.verdicts == [*kept, Verdict.IN_PLACE]
    assert oslo.what[len(kept) :] == ["oslo-preflight"]


def test_previews_are_read_from_a_folder(tmp_path: Path) -> None:
    preview = silent("oslo", "")
    stale_one = stale("bergen", "2026-11-25T20:26:15.000Z", digest(told("replace", CONTAINER, "bergen-telegraf")))
    for number, each in enumerate([preview, stale_one, judged("hq", digest())]):
        (tmp_path / f"{number}.json").write_text(json.dumps(each))
    assert read(tmp_path) == {"oslo": preview, "bergen": stale_one, "hq": judged("hq", digest())}


JUDGED = {"site": "oslo", "answers": True, "verdicts": ["nothing"], "what": [], "fails": False}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "null",
        '{"steps": []}',
        '{"site": "oslo"}',
        '{"site": "oslo", "answers": false}',
        *(json.dumps({key: value for key, value in JUDGED.items() if key != gone}) for gone in JUDGED),
        *(json.dumps(JUDGED | {key: 1}) for key in JUDGED),
        json.dumps(JUDGED | {"verdicts": ["fine"]}),
        json.dumps(JUDGED | {"what": [1]}),
        json.dumps(JUDGED | {"answers": False, "lastContact": None}),
    ],
)
def test_a_file_that_is_no_preview_is_told_with_a_remedy(tmp_path: Path, text: str) -> None:
    (tmp_path / "oslo.json").write_text(text)
    with pytest.raises(EdgeError, match=r"oslo\.json is no preview; write it anew: bin/edge preview <site> >"):
        read(tmp_path)


def test_a_folder_that_is_not_there_is_told_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(EdgeError, match="is no folder; put what `edge preview <site>` prints into it"):
        read(tmp_path / "previews")
