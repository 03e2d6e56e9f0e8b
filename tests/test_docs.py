"""No document tells a reader to type what no test runs."""

import re
from pathlib import Path

import pytest

from lab.paths import CHECKOUT
from tests.documented import DOCUMENTS, NOT_RUN, RUN_BY, commands


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


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_each_link_to_a_file_leads_somewhere(document: Path) -> None:
    targets = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", document.read_text())
    assert [target for target in targets if not (document.parent / target).exists()] == []
