"""`edge preview`, on programs that answer as told."""

import json
from typing import Any

import pytest

from edge.__main__ import main
from tests.edge.world import LAST, World

SAME: dict[str, Any] = {"steps": [], "changeSummary": {"same": 3}}
REFUSED: dict[str, Any] = {
    "steps": [],
    "diagnostics": [
        {"severity": "info", "message": "a line of no weight\n"},
        {"severity": "error", "message": "error: the passphrase is wrong\n"},
    ],
}
CUT_OFF = {"site": "oslo", "answers": False, "lastContact": LAST["startTime"]}


@pytest.fixture
def site(world: World) -> World:
    """One that answers, and that has nothing to change."""
    world.answer("ssh", "")
    world.answer("pulumi", json.dumps(SAME), to="preview")
    return world


def told(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out)


def test_a_site_that_answers_is_previewed(site: World, stack_file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["preview", "oslo", stack_file]) == 0
    assert told(capsys)["verdicts"] == ["nothing"]
    config = stack_file.replace("=", " ")
    assert f"pulumi preview --json --non-interactive --stack oslo {config}" in site.asked


def test_a_site_that_is_cut_off_is_no_failure_and_nothing_dials_it(
    site: World, stack_file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    site.answer("ssh", "", status=255)
    assert main(["preview", "oslo", stack_file]) == 0
    assert told(capsys) == CUT_OFF
    assert not [line for line in site.asked if line.startswith("pulumi preview")]


def test_a_site_that_is_cut_off_while_it_is_previewed_is_no_failure(
    site: World, stack_file: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    site.answer("pulumi", json.dumps(REFUSED), status=255, to="preview")
    monkeypatch.setattr("edge.site.Site.node_answers", lambda _: False)
    assert main(["preview", "oslo", stack_file]) == 0
    assert told(capsys) == CUT_OFF


def test_a_preview_that_fails_although_the_site_answers_is_a_failure(
    site: World, stack_file: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    site.answer("pulumi", json.dumps(REFUSED), status=255, to="preview")
    monkeypatch.setattr("edge.site.Site.node_answers", lambda _: True)
    assert main(["preview", "oslo", stack_file]) == 1
    assert capsys.readouterr().err == "edge: pulumi preview of oslo: error: the passphrase is wrong\n"


def test_a_site_without_a_state_is_no_failure(site: World, stack_file: str, capsys: pytest.CaptureFixture[str]) -> None:
    site.answer("pulumi", "", status=255, to="history")
    assert main(["preview", "oslo", stack_file]) == 0
    assert told(capsys) == CUT_OFF | {"lastContact": ""}
