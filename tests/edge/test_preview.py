"""`edge preview`, on programs that answer as told."""

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import pytest

from components.edge_node.libvirt import STAND_IN
from edge.__main__ import main
from edge.site import Site
from tests.edge.world import LAST, World

SAME: dict[str, Any] = {"steps": [], "changeSummary": {"same": 3}}
REFUSED: dict[str, Any] = {
    "steps": [],
    "diagnostics": [
        {"severity": "info", "message": "a line of no weight\n"},
        {"severity": "error", "message": "error: the passphrase is wrong\n"},
    ],
}
CUT_OFF: dict[str, Any] = {"site": "oslo", "answers": False, "lastContact": LAST["startTime"]}
BY_STATE = CUT_OFF | {"verdicts": ["nothing"], "what": [], "fails": False}


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


def test_a_site_that_is_cut_off_is_previewed_by_its_state_and_is_no_failure(
    site: World, stack_file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    site.answer("ssh", "", status=255)
    assert main(["preview", "oslo", stack_file]) == 0
    assert told(capsys) == BY_STATE


def test_a_site_that_is_cut_off_while_it_is_previewed_is_no_failure(
    site: World, stack_file: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    site.answer("pulumi", json.dumps(REFUSED), status=255, to="preview")
    monkeypatch.setattr("edge.site.Site.node_answers", lambda _: False)
    assert main(["preview", "oslo", stack_file]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out) == CUT_OFF
    assert "edge: oslo: no preview of its state with test:///default: " in said.err


@pytest.mark.parametrize("cut_off", [True, False])
def test_only_where_a_site_is_cut_off_is_a_stand_in_dialled(
    site: World, stack_file: str, monkeypatch: pytest.MonkeyPatch, *, cut_off: bool
) -> None:
    dialled = []

    def digest(_: Site, environment: Mapping[str, str] = MappingProxyType({})) -> dict[str, Any]:
        dialled.append(environment.get(STAND_IN))
        return SAME

    monkeypatch.setattr("edge.preview._digest", digest)
    site.answer("ssh", "", status=255 if cut_off else 0)
    assert main(["preview", "oslo", stack_file, "--libvirt", "test:///other"]) == 0
    assert dialled == ["test:///other" if cut_off else None]


def test_a_preview_that_fails_although_the_site_answers_is_a_failure(
    site: World, stack_file: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    site.answer("pulumi", json.dumps(REFUSED), status=255, to="preview")
    monkeypatch.setattr("edge.site.Site.node_answers", lambda _: True)
    assert main(["preview", "oslo", stack_file]) == 1
    assert capsys.readouterr().err == "edge: pulumi preview of oslo: error: the passphrase is wrong\n"


def test_an_update_that_failed_is_no_contact(site: World, stack_file: str, capsys: pytest.CaptureFixture[str]) -> None:
    failed = LAST | {"startTime": "2026-11-26T08:00:00.000Z", "result": "failed"}
    site.answer("pulumi", json.dumps([failed, LAST]), to="history")
    site.answer("ssh", "", status=255)
    assert main(["preview", "oslo", stack_file]) == 0
    assert told(capsys)["lastContact"] == LAST["startTime"]


def test_a_site_without_a_state_is_no_failure(site: World, stack_file: str, capsys: pytest.CaptureFixture[str]) -> None:
    site.refuse("pulumi", "stack history", "error: no stack named 'oslo' found", status=6)
    assert main(["preview", "oslo", stack_file]) == 0
    assert told(capsys) == CUT_OFF | {"lastContact": ""}


def refusal(stack_file: str, capsys: pytest.CaptureFixture[str]) -> str:
    """What a preview that fails says; it prints nothing of a preview."""
    assert main(["preview", "oslo", stack_file]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    return err


@pytest.mark.parametrize(
    "said",
    [
        'error: read ".pulumi/meta.yaml": blob: api error AccessDenied: StatusCode: 403',
        "error: PULUMI_ACCESS_TOKEN must be set for login during non-interactive CLI sessions",
        'error: unable to open state directory "file:///srv/states": stat /srv/states: no such file or directory',
    ],
)
def test_a_backend_that_refuses_is_no_new_site_and_fails_with_what_it_says(
    site: World, stack_file: str, capsys: pytest.CaptureFixture[str], said: str
) -> None:
    site.refuse("pulumi", "stack history", said, status=255)
    assert said in refusal(stack_file, capsys)


@pytest.mark.parametrize(
    "said",
    [
        "root@10.20.0.1: Permission denied (publickey).",
        "No ED25519 host key is known for 10.20.0.1 and you have requested strict checking.",
        "Host key verification failed.",
        "Received disconnect from 10.20.0.1 port 22:2: Too many authentication failures",
    ],
)
def test_a_site_that_refuses_is_not_cut_off(
    site: World, stack_file: str, capsys: pytest.CaptureFixture[str], said: str
) -> None:
    site.refuse("ssh", "", said, status=255)
    answered = f"edge: oslo answers, and refuses: {said}; look at its host key (config/known_hosts)"
    assert refusal(stack_file, capsys).startswith(answered)


@pytest.mark.parametrize(
    "said",
    [
        "ssh: connect to host 10.20.0.1 port 22: Connection timed out",
        "ssh: connect to host 10.20.0.1 port 22: No route to host",
        "ssh: connect to host 10.20.0.1 port 22: Connection refused",
        "ssh: Could not resolve hostname oslo-hypervisor.example.com: Temporary failure in name resolution",
        "Connection closed by 10.20.0.1 port 22",
    ],
)
def test_a_site_that_nobody_reaches_is_cut_off(
    site: World, stack_file: str, capsys: pytest.CaptureFixture[str], said: str
) -> None:
    site.refuse("ssh", "", said, status=255)
    assert main(["preview", "oslo", stack_file]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out) == BY_STATE
    assert f"edge: oslo does not answer: {said}\n" in err
