"""The tunnels as a person, a script and a page see them."""

import json
from typing import Any

import pytest

from config.registry import Registry
from edge.__main__ import main
from edge.mesh import diagram, rows, silent
from tests.edge.world import World
from tests.sites import registry

NOW = 1_000_000


def session(peer: str = "hq", age: int | None = 12, **changed: Any) -> dict[str, Any]:
    return {
        "peer": peer,
        "next": False,
        "interface": "wg0",
        "publicKey": "AAAA",
        "endpoint": "10.20.0.11:51820",
        "allowedIps": ["10.100.0.0/24"],
        "latestHandshake": None if age is None else NOW - age,
        "receivedBytes": 2048,
        "sentBytes": 12,
        **changed,
    }


def shown(*sessions: dict[str, Any]) -> dict[str, Any]:
    return {"time": NOW, "onTrial": False, "sessions": list(sessions)}


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> Registry:
    found = registry()
    monkeypatch.setattr("edge.mesh.load_registry", lambda _: found)
    return found


@pytest.mark.usefixtures("registered")
def test_a_table_tells_peers_addresses_ages_and_transfer(
    world: World,
    stack_file: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    world.answer("ssh", json.dumps(shown(session())))
    assert main(["mesh", "oslo", stack_file]) == 0
    head, line = capsys.readouterr().out.splitlines()
    assert head.split("  ")[0] == "peer"
    assert [part.strip() for part in line.split("  ") if part] == [
        "hq",
        "10.100.0.1, fd5c:9a1e:27d4::1",
        "current",
        "10.20.0.11:51820",
        "12 s ago",
        "2.0 KiB",
        "12 B",
    ]


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize("age", [None, 181])
def test_a_tunnel_that_is_down_is_the_exit_status(
    world: World,
    stack_file: str,
    capsys: pytest.CaptureFixture[str],
    age: int | None,
) -> None:
    world.answer("ssh", json.dumps(shown(session(age=age))))
    assert main(["mesh", "oslo", stack_file, "--json"]) == 1
    [row] = json.loads(capsys.readouterr().out)
    assert row["handshakeAgeSeconds"] == age


@pytest.mark.usefixtures("registered")
def test_a_node_that_does_not_answer_is_told(
    world: World,
    stack_file: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    world.answer("ssh", "", status=255)
    assert main(["mesh", "oslo", stack_file]) == 1
    assert capsys.readouterr().err.startswith("edge: the node does not answer")


def test_a_peer_is_there_by_any_of_its_keys(registered: Registry) -> None:
    both = rows(shown(session("oslo", age=300), session("oslo", age=3, next=True)), registered)
    assert silent(both) == []
    assert silent(rows(shown(session("oslo", age=None)), registered)) == ["oslo"]


def test_a_clock_that_went_back_gives_no_age_below_zero(registered: Registry) -> None:
    [row] = rows(shown(session(age=-5)), registered)
    assert row["handshakeAgeSeconds"] == 0


def test_a_peer_that_left_the_registry_is_shown_without_addresses(registered: Registry) -> None:
    [row] = rows(shown(session("atlantis")), registered)
    assert row["addresses"] == []


def test_a_diagram_tells_which_tunnels_are_down(registered: Registry) -> None:
    text = diagram("hq", registered, rows(shown(session("oslo", age=70)), registered))
    assert text.splitlines() == [
        "flowchart LR",
        '    hq["hq<br/>10.100.0.1<br/>fd5c:9a1e:27d4::1"]',
        '    oslo["oslo<br/>10.100.0.2<br/>fd5c:9a1e:27d4::2"]',
        '    oslo -- "1 min 10 s ago" --- hq',
    ]
    assert '    oslo -. "down" .- hq' in diagram("hq", registered, rows(shown(session("oslo", age=None)), registered))
