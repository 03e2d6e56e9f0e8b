"""`edge plan` as a whole: a git repository of the program, both revisions run by processes of their own."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from edge.__main__ import main
from edge.plan.approvals import FILE as CODEOWNERS
from edge.plan.markdown import MARKER
from edge.plan.previews import silent
from edge.plan.record import record
from lab.bench import write_repository
from lab.paths import CHECKOUT
from policy.rules import RULES

SEEDS = {
    name: yaml.safe_load((CHECKOUT / f"Pulumi.{name}.yaml").read_text())["config"]["fjord-edge:seed"]["secure"]
    for name in ("hq", "oslo")
}


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Headquarters and two sites like oslo, committed."""
    folder = tmp_path_factory.mktemp("repository")
    write_repository(folder, 3)
    return folder


@pytest.fixture
def edit(repository: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Replaces text in a file until the test ends."""
    monkeypatch.setattr("edge.plan.CHECKOUT", repository)
    before: dict[Path, str] = {}

    def replaced(name: str, old: str, new: str) -> None:
        path = repository / name
        before[path] = path.read_text()
        assert old in before[path]
        path.write_text(before[path].replace(old, new))

    yield replaced
    for path, text in before.items():
        path.write_text(text)


def test_a_change_is_planned_for_the_site_that_it_touches_and_a_preview_folded_in(
    edit: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edit("Pulumi.site-2.yaml", "cpus: 2", "cpus: 3")
    (tmp_path / "any.json").write_text(json.dumps(silent("site-2", "2026-11-25T20:26:15.000Z")))
    assert main(["plan", "--base", "HEAD", "--previews", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"{MARKER}\n")
    site = "site-2 (plan; no answer, last contact 2026-11-25T20:26:15.000Z)"
    assert f"| {site} | @fjord-edge/site-2 | node replaced, data kept | because of disks, vcpu |" in text
    assert "site-3" not in text
    assert "All kept." in text


def test_another_seed_is_told_without_a_word_of_it(edit: Any, capsys: pytest.CaptureFixture[str]) -> None:
    edit("Pulumi.site-2.yaml", SEEDS["oslo"], SEEDS["hq"])
    assert main(["plan", "--base", "HEAD", "--json"]) == 1
    text = capsys.readouterr().out
    [site] = json.loads(text)["sites"]
    assert site["verdicts"] == ["refused", "all keys may change"]
    assert "the passphrase is the published one of the example oslo" in site["what"][0]
    assert not [seed for seed in SEEDS.values() if seed.rpartition(":")[2] in text]


def test_another_version_of_a_provider_is_told_of_every_site(edit: Any, capsys: pytest.CaptureFixture[str]) -> None:
    edit("requirements.txt", "\npulumi-docker==", "\npulumi-docker==99.")
    assert main(["plan", "--base", "HEAD", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert {site["site"]: site["verdicts"] for site in told["sites"]} == {
        name: ["anything may change"] for name in ("hq", "site-2", "site-3")
    }
    assert all(site["what"][0].startswith("pulumi-docker ") for site in told["sites"])
    assert told["approvals"] == {"@fjord-edge/hq": ["requirements.txt"]}


def test_a_registry_file_without_its_line_in_codeowners_fails(edit: Any, capsys: pytest.CaptureFixture[str]) -> None:
    edit("config/mesh/site-2.yaml", "@fjord-edge/site-2", "@havbruk-nord")
    assert main(["plan", "--base", "HEAD"]) == 1
    told = capsys.readouterr().out
    remedy = "write it anew: `.venv/bin/python -m config.codeowners`"
    assert f"- **stale**: .github/CODEOWNERS is not what config/mesh says; {remedy}" in told
    assert "- @fjord-edge/site-2: config/mesh/site-2.yaml" in told


def test_who_must_agree_is_what_the_base_says_now(
    repository: Path, edit: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    def git(*words: str) -> None:
        subprocess.run(["git", "-c", "user.name=any", "-c", "user.email=any", *words], cwd=repository, check=True)

    git("switch", "--quiet", "--create", "moved")
    path = repository / CODEOWNERS
    path.write_text(path.read_text().replace("@fjord-edge/site-2", "@havbruk-nord"))
    git("commit", "--quiet", "--all", "--message", "another owner")
    git("switch", "--quiet", "-")
    edit("Pulumi.site-2.yaml", "cpus: 2", "cpus: 3")
    assert main(["plan", "--base", "moved", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["approvals"] == {"@havbruk-nord": ["Pulumi.site-2.yaml"]}


def test_a_change_of_the_rules_alone_is_held_against_every_site(
    repository: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.plan.CHECKOUT", repository)
    places = repository / "policy/places.json"
    places.parent.mkdir()
    try:
        places.write_text("{}")
        assert main(["plan", "--base", "HEAD", "--json"]) == 0
        told = json.loads(capsys.readouterr().out)
        assert {site["site"]: site["verdicts"] for site in told["sites"]} == {
            name: ["nothing"] for name in ("hq", "site-2", "site-3")
        }
        assert told["broken"] == []
        [residency] = [rule for rule in RULES if rule.name == "data-residency"]
        registries = residency.settings["registries"]
        monkeypatch.setitem(residency.settings, "registries", replace(registries, default=("elsewhere.example.com",)))
        assert main(["plan", "--base", "HEAD", "--json"]) == 1
    finally:
        shutil.rmtree(places.parent)
    broken = json.loads(capsys.readouterr().out)["broken"]
    assert {(each["site"], each["policy"]) for each in broken} == {
        (name, "data-residency") for name in ("hq", "site-2", "site-3")
    }
    assert all(each["fails"] for each in broken)


def test_a_mistake_is_told_by_its_file_and_key(repository: Path, edit: Any) -> None:
    edit("Pulumi.site-2.yaml", "cpus: 2", "cpuz: 2")
    [found] = record([(repository, ["site-2"])])
    assert "Pulumi.site-2.yaml: fjord-edge:site.node.cpuz: no such key here" in found["site-2"].refused


def test_a_program_that_is_planned_gets_nothing_secret_of_the_environment(
    repository: Path, edit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "secret")
    edit("__main__.py", "import pulumi\n", "import os\nimport pulumi\nraise pulumi.RunError(' '.join(os.environ))\n")
    [found] = record([(repository, ["site-2"])])
    assert "PATH" in found["site-2"].refused
    assert "PULUMI_CONFIG_PASSPHRASE" not in found["site-2"].refused
