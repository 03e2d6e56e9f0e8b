"""The order in which a change is deployed."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from config.registry import Registry, load_registry
from edge.__main__ import main
from edge.order import Step, steps
from tests.config.test_registry import key, site
from tests.sites import entries, write_registry

SITES = ("bergen", "hq", "oslo", "tromso")


def files(**changed: dict[str, Any]) -> dict[str, Any]:
    """A registry of four, in which some files have further keys."""
    whole = entries() | {"bergen": site(5, ring=1), "tromso": site(6, ring=4)}
    return {name: entry | changed.get(name, {}) for name, entry in whole.items()}


def registry(folder: Path, **changed: dict[str, Any]) -> Registry:
    write_registry(folder, files(**changed))
    return load_registry(folder)


def test_headquarters_is_first_and_the_lowest_ring_follows(tmp_path: Path) -> None:
    assert steps(SITES, registry(tmp_path), {}) == [
        Step("headquarters", ("hq",)),
        Step("ring 1", ("bergen",)),
        Step("ring 3", ("oslo",)),
        Step("ring 4", ("tromso",)),
    ]


def test_who_is_not_touched_is_in_no_step(tmp_path: Path) -> None:
    assert steps(["oslo"], registry(tmp_path), {}) == [Step("ring 3", ("oslo",))]
    assert steps([], registry(tmp_path), {}) == []


def test_a_next_key_is_let_in_by_headquarters_first(tmp_path: Path) -> None:
    found = steps(["hq", "oslo"], registry(tmp_path, oslo={"nextTunnelKey": key(7)}), {"oslo": entries()["oslo"]})
    assert [step.name for step in found] == ["headquarters", "ring 3"]


@pytest.mark.parametrize(("following", "name"), [("nextTunnelKey", "tunnelKey"), ("nextIdentityKey", "identityKey")])
def test_a_site_takes_its_next_key_before_headquarters_forgets_the_former(
    tmp_path: Path, following: str, name: str
) -> None:
    before = entries()["oslo"] | {following: key(7)}
    found = steps(["bergen", "hq", "oslo"], registry(tmp_path, oslo={name: key(7)}), {"oslo": before})
    assert found == [Step("key change", ("oslo",)), Step("headquarters", ("hq",)), Step("ring 1", ("bergen",))]


def test_a_key_that_was_never_deployed_as_the_next_one_goes_the_same_way(tmp_path: Path) -> None:
    """The deployment of its announcement failed elsewhere: the difference is from before both."""
    found = steps(["hq", "oslo"], registry(tmp_path, oslo={"tunnelKey": key(7)}), {"oslo": entries()["oslo"]})
    assert found == [Step("key change", ("oslo",)), Step("headquarters", ("hq",))]


def test_a_rotation_that_is_given_up_is_no_change_of_keys(tmp_path: Path) -> None:
    before = entries()["oslo"] | {"nextTunnelKey": key(7)}
    assert [step.name for step in steps(["hq", "oslo"], registry(tmp_path), {"oslo": before})] == [
        "headquarters",
        "ring 3",
    ]


def test_headquarters_own_key_changes_last(tmp_path: Path) -> None:
    before = entries()["hq"] | {"nextTunnelKey": key(7), "nextEndpoint": "hq.example.com:51821"}
    found = steps(SITES, registry(tmp_path, hq={"tunnelKey": key(7)}), {"hq": before})
    assert [step.sites for step in found] == [("bergen",), ("oslo",), ("tromso",), ("hq",)]


@pytest.fixture
def committed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """A repository of its own; called, it writes files and commits them."""
    folder = tmp_path / "config" / "mesh"
    folder.mkdir(parents=True)
    monkeypatch.setattr("edge.order.REGISTRY", folder)
    monkeypatch.setattr("edge.order.CHECKOUT", tmp_path)
    git = ["git", "-c", "user.name=Kari", "-c", "user.email=kari@example.com"]

    def commit(**changed: dict[str, Any]) -> None:
        write_registry(folder, files(**changed))
        for name in SITES:
            (tmp_path / f"Pulumi.{name}.yaml").touch()
        for words in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "--allow-empty", "--message=x"]):
            subprocess.run([*git, *words], cwd=tmp_path, check=True)

    commit()
    return commit


def test_the_command_reads_the_difference_from_git(
    committed: Callable[..., None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    committed(oslo={"nextTunnelKey": key(7)})
    committed(oslo={"tunnelKey": key(7)})
    (tmp_path / "README.md").write_text("new")
    assert main(["order", "--base", "HEAD~1"]) == 0
    assert capsys.readouterr().out == "1  key change    oslo\n2  headquarters  hq\n"
    assert main(["order", "--base", "HEAD~1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == [
        {"step": "key change", "sites": ["oslo"]},
        {"step": "headquarters", "sites": ["hq"]},
    ]
    assert main(["order", "--base", "HEAD"]) == 0
    assert capsys.readouterr().out == "nothing that changed since HEAD is deployed anywhere\n"


def test_what_is_not_committed_yet_counts_as_it_would_be_deployed(
    committed: Callable[..., None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    committed()
    write_registry(tmp_path / "config" / "mesh", files(bergen={"ring": 2}))
    assert main(["order", "--base", "HEAD"]) == 0
    assert capsys.readouterr().out == "1  headquarters  hq\n2  ring 2        bergen\n"


@pytest.mark.usefixtures("committed")
def test_a_revision_that_is_not_there_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["order", "--base", "nowhere"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("edge: git archive: fatal: ")
    assert "--base names what is deployed now" in said


@pytest.mark.usefixtures("committed")
def test_a_site_that_is_no_more_is_headquarters_matter_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in (tmp_path / "Pulumi.tromso.yaml", tmp_path / "config" / "mesh" / "tromso.yaml"):
        path.unlink()
    assert main(["order", "--base", "HEAD"]) == 0
    assert capsys.readouterr().out == "1  headquarters  hq\n"
