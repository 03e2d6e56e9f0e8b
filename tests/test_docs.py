"""No document tells a reader to type what no test runs."""

import json
import os
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from edge.__main__ import parser
from edge.plan.markdown import MARKER
from lab.paths import CHECKOUT
from tests.documented import DOCUMENTS, NOT_RUN, RUN_BY, blocks, commands


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_each_command_in_a_document_is_run_by_a_test(document: Path) -> None:
    assert commands(document) - set(RUN_BY) - set(NOT_RUN) == set()


def test_no_command_is_listed_that_no_document_tells() -> None:
    told = set().union(*(commands(document) for document in DOCUMENTS))
    assert (set(RUN_BY) | set(NOT_RUN)) - told == set()


@pytest.mark.parametrize("place", sorted(set(RUN_BY.values())))
def test_the_test_that_runs_it_exists(place: str) -> None:
    file, _, function = place.partition("::")
    text = (CHECKOUT / file).read_text()
    assert not function or re.search(rf"^ *def {function}\(", text, re.MULTILINE)


def test_what_ci_runs_are_make_targets_that_follow_from_its_two() -> None:
    called = set(re.findall(r"make --no-print-directory (\S+?)'?\s", (CHECKOUT / ".ci/run").read_text()))
    rules = dict(re.findall(r"^([a-z-]+):([^#\n]*)", (CHECKOUT / "Makefile").read_text(), re.MULTILINE))
    run = called | {target for name in called for target in rules[name].split()}
    assert {f"make {name}" for name in run} >= {command for command, place in RUN_BY.items() if place == ".ci/run"}


def test_the_policies_document_names_the_places_that_every_node_speaks_to_without_a_list() -> None:
    sources = (CHECKOUT / "node_image/rootfs/etc/apt/sources.list.debian").read_text()
    beside_lists = set(re.findall(r"https?://([^/\s]+)", sources))
    text = (CHECKOUT / "docs" / "policy.md").read_text()
    assert beside_lists
    assert {host for host in beside_lists if f"`{host}`" in text} == beside_lists
    assert "`backend`" in text.partition("## What a policy cannot see")[2]


def test_the_tutorials_way_to_a_site_names_what_comes_before_its_first_preview_in_order() -> None:
    text = (CHECKOUT / "docs" / "tutorial.md").read_text()
    way = text.partition("## 4. A site")[2].partition("## 6.")[0]
    order = [
        "bin/edge new-site",
        "`PATH`",
        "config/known_hosts",
        "make node-image",
        "bin/edge pin",
        "policy/places.json",
        "bin/edge doctor",
        "pulumi preview",
        "backupKey",
        "Merge",
        "pulumi up --stack hq",
        "pulumi up --stack <site>",
    ]
    assert sorted(order, key=way.index) == order


# Another forge

FORGE: dict[str, Any] = yaml.safe_load("".join(blocks(CHECKOUT / "docs" / "ci.md", "yaml")))
JOBS = {name: job for name, job in FORGE.items() if "script" in job}
#: What a runner has.
TOOLS = {"curl", "echo", "git", "grep", "jq"}


@pytest.mark.parametrize("line", [line for job in JOBS.values() for line in job["script"]])
def test_each_command_of_another_forge_exists(line: str) -> None:
    assigned = re.match(r"\w+=", line)
    inner = re.search(r"\$\(([^()]+(?:\([^()]*\)[^()]*)*)\)", line)
    words = shlex.split(inner[1] if inner and (assigned or line.startswith("eval ")) else line.partition(" > ")[0])
    if assigned and not inner:
        return
    if words[0] == "bin/edge":
        parser().parse_args(words[1:])
    elif words[0] not in TOOLS:
        assert words == ["lab/bootstrap", "venv"]


def test_another_forge_keeps_a_plan_that_fails_and_writes_it_into_a_note() -> None:
    plan, note = JOBS["plan"], JOBS["note"]
    assert plan["artifacts"] == {"when": "always", "paths": ["plan.md"]}
    assert (note["needs"], note["rules"][0]["when"]) == (["plan"], "always")


def test_another_forge_opens_one_site_to_its_drift() -> None:
    drift = JOBS["drift"]
    assert drift["variables"]["PULUMI_CONFIG_PASSPHRASE_FILE"] == "/run/secrets/$SITE"
    assert 'eval "$(bin/edge env "$SITE")"' in drift["script"]


@pytest.mark.parametrize(
    ("notes", "sent"),
    [
        ([], "--request POST --form body=<plan.md notes"),
        ([{"id": 7, "body": "any"}], "--request POST --form body=<plan.md notes"),
        ([{"id": 7, "body": "any"}, {"id": 8, "body": f"{MARKER}\nold"}], "--request PUT --form body=<plan.md notes/8"),
    ],
)
def test_a_note_is_written_once_and_then_edited(tmp_path: Path, notes: list[dict[str, Any]], sent: str) -> None:
    (tmp_path / "plan.md").write_text(f"{MARKER}\n## Plan\n")
    (tmp_path / "known.json").write_text(json.dumps(notes))
    curl = tmp_path / "curl"
    curl.write_text('#!/bin/sh\necho "$*" >> asked\ncat known.json\n')
    curl.chmod(0o755)
    subprocess.run(
        ["bash", "-eo", "pipefail", "-c", "\n".join(JOBS["note"]["script"])],
        cwd=tmp_path,
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}", "NOTES": "notes", "PLAN_TOKEN": "secret"},
        capture_output=True,
        check=True,
    )
    asked = (tmp_path / "asked").read_text()
    assert asked.splitlines()[-1].endswith(sent)
    assert "secret" not in asked
    assert (tmp_path / "curlrc").read_text() == 'header = "PRIVATE-TOKEN: secret"\n'


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_each_link_to_a_file_leads_somewhere(document: Path) -> None:
    targets = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", document.read_text())
    assert [target for target in targets if not (document.parent / target).exists()] == []
