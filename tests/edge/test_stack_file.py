"""A stack file is edited where it is asked, and stays as it is elsewhere."""

import difflib
from typing import Any

import pytest
import yaml
from hypothesis import assume, example, given
from hypothesis import strategies as st

from config.yaml_text import parse
from edge.stack_file import append, put
from lab.paths import CHECKOUT
from tests.sites import STACKS

TEXT = """\
# the farm's own
farm:
  pens: [one, two]  # as people see them
  list:
    - {id: a}  # the first

  # what follows
  flow: {a: 1}
  empty: {}
  indentless:
  - id: a
    text: |
      two
      lines

  # of the end
  last:
    key: value  # behind
other: 1
"""


def added(before: str, after: str) -> list[str]:
    """The lines of a difference that only adds some."""
    lines = list(difflib.ndiff(before.splitlines(), after.splitlines()))
    assert not [line for line in lines if line.startswith("- ")]
    return [line[2:] for line in lines if line.startswith("+ ")]


def test_a_line_is_added_where_it_belongs_and_before_the_next_ones_comment() -> None:
    after = append(TEXT, ["farm", "list"], {"id": "b", "unit": "°C", "percent": "%"})
    assert added(TEXT, after) == ["    - {id: b, unit: °C, percent: '%'}"]
    assert after.index("{id: b") < after.index("# what follows")


def test_behind_a_text_of_several_lines_comes_the_next_item() -> None:
    after = append(TEXT, ["farm", "indentless"], {"id": "b"})
    assert added(TEXT, after) == ["  - {id: b}"]
    assert yaml.safe_load(after)["farm"]["indentless"] == [{"id": "a", "text": "two\nlines\n"}, {"id": "b"}]


@pytest.mark.parametrize(
    ("path", "lines"),
    [
        (["farm", "last", "new"], ["    new: 7"]),
        (["farm", "new", "deep"], ["  new:", "    deep: 7"]),
        (["new"], ["new: 7"]),
    ],
)
def test_a_missing_key_is_made_and_what_leads_to_it(path: list[str], lines: list[str]) -> None:
    assert added(TEXT, put(TEXT, path, 7)) == lines


@pytest.mark.parametrize(
    ("path", "before", "after"),
    [
        (["farm", "last", "key"], "key: value  # behind", "key: 7  # behind"),
        (["farm", "flow", "a"], "flow: {a: 1}", "flow: {a: 7}"),
        (["farm", "flow", "b", "c"], "flow: {a: 1}", "flow: {a: 1, b: {c: 7}}"),
        (["farm", "empty", "b"], "empty: {}", "empty: {b: 7}"),
        (["other"], "other: 1", "other: 7"),
    ],
)
def test_a_value_takes_the_place_of_another(path: list[str], before: str, after: str) -> None:
    assert put(TEXT, path, 7) == TEXT.replace(before, after)


def test_a_file_without_a_last_line_end_and_a_list_in_one_line() -> None:
    assert append("a: [1, 2]", ["a"], 3) == "a: [1, 2, 3]"
    assert put("a: 1", ["b"], 2) == "a: 1\nb: 2"


@pytest.mark.parametrize("path", [["farm", "pens"], ["farm", "pens", "one"], ["other", "deep"]])
def test_what_is_no_section_is_refused(path: list[str]) -> None:
    with pytest.raises(ValueError, match=r"(farm\.pens|other) is no section of keys"):
        put(TEXT, [*path, "key"] if path[-1] == "pens" else path, 7)


@pytest.mark.parametrize("path", [["farm", "last"], ["farm", "nowhere"], ["nowhere", "list"]])
def test_what_is_no_list_is_refused(path: list[str]) -> None:
    with pytest.raises(ValueError, match="is no list with something in it"):
        append(TEXT, path, 7)


@pytest.mark.parametrize("text", ["1e3", "09", "0o17", "+.5", "0X1f", "2028-3-3", "13:00", "yes", "2028-03-30", "="])
def test_a_text_stays_one_to_the_engine(text: str) -> None:
    assert parse(put("a: 1\n", ["a"], text), "any.yaml").content == {"a": text}


def kept(before: str, after: str) -> bool:
    """Whether all of the lines are there still, in their order."""
    lines = iter(after.splitlines())
    return all(line in lines for line in before.splitlines())


NAMES = st.sampled_from(["farm", "last", "flow", "empty", "new", "other name"])
VALUES = st.one_of(st.text(max_size=20), st.integers(), st.booleans(), st.lists(st.text(max_size=5), max_size=3))


@example(["last"], "\x85")
@given(st.lists(NAMES, min_size=1, max_size=4), VALUES)
def test_a_file_then_says_what_was_put_and_all_that_it_said(path: list[str], value: object) -> None:
    expected: Any = yaml.safe_load(TEXT)
    place = expected
    for key in path[:-1]:
        place = place.setdefault(key, {})
    assume(path[-1] not in place)
    place[path[-1]] = value
    after = put(TEXT, path, value)
    assert yaml.safe_load(after) == parse(after, "any.yaml").content == expected
    in_one_line = {"flow", "empty"} & set(path)
    assert in_one_line or kept(TEXT, after)


@pytest.mark.parametrize("stack", STACKS)
def test_a_committed_stack_gets_one_line_more(stack: str) -> None:
    text = (CHECKOUT / f"Pulumi.{stack}.yaml").read_text()
    assert added(text, put(text, ["config", "fjord-edge:site", "node", "new"], 7)) == ["      new: 7"]
