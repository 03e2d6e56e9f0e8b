"""What a stack file says, as the engine reads it; Pulumi 3.259.0 was asked: `pulumi config --json`."""

from pathlib import Path
from typing import Any

import pytest

from config.base import ConfigError
from config.yaml_text import parse, read


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("yes", "yes"),
        ("NO", "NO"),
        ("on", "on"),
        ("True", True),
        ("tRue", "tRue"),
        ("13:00", "13:00"),
        ("1:20:30", "1:20:30"),
        ("20:30.15", "20:30.15"),
        ("010", 8),
        ("-010", -8),
        ("0o10", 8),
        ("09", 9),
        ("0x1F", 31),
        ("0X1f", 31),
        ("0b1_1", 3),
        ("+5", 5),
        ("1_000", 1000),
        ("1_000.5", 1000.5),
        ("_1", "_1"),
        ("0x", "0x"),
        ("1e3", 1000),
        ("1.0", 1),
        (".5", 0.5),
        ("1.5e-7", 1.5e-7),
        ("1.2.3", "1.2.3"),
        ("~", None),
        ("NULL", None),
        ("nULL", "nULL"),
        ("=", "="),
        ("2028-03", "2028-03"),
        ("2028-03-30 10:00", "2028-03-30 10:00"),
        ('"2028-03-30"', "2028-03-30"),
        ("'010'", "010"),
        ("!!str 5", "5"),
    ],
)
def test_a_bare_word_is_what_the_engine_makes_of_it(text: str, expected: object) -> None:
    found = parse(f"key: {text}\n", "any.yaml").content["key"]
    assert (found, type(found)) == (expected, type(expected))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a:\n  b: 1\n  b: 1\n", ["any.yaml:3: a.b: already in line 2; remove one of the two"]),
        ("a: 1\n'a': 1\nc: [{d: 1, d: 2}]\n", ["any.yaml:2: a: already", "any.yaml:3: c.0.d: already in line 3"]),
        ("a:\n- 2028-03-30\n", ['any.yaml:2: a.0 = 2028-03-30: a bare date is no text; write it in quotes: "2028-']),
        ("a: 2001-12-14 21:59:43\n", ["any.yaml:1: a = 2001-12-14 21:59:43: a bare date is no text; write"]),
        ("2028-3-3: 1\n", ["any.yaml:1: 2028-3-3 = 2028-3-3: a bare date"]),
        ("a: .inf\n", ["any.yaml:1: a = .inf: no number that the engine takes"]),
        ("a: !other b\n", ["any.yaml:1: a: the tag !other is not taken; write the value without it"]),
        ("a: &a [*a]\n", ["any.yaml:1: a.0: this contains itself; write out what it shall say"]),
        ("? [a]\n: 1\n", ["any.yaml:1: a key is one word"]),
        ("a: !!int b\n", ["any.yaml: not YAML: invalid literal for int"]),
        ("a: !!bool b\n", ["any.yaml: not YAML: 'b'"]),
        ("a: [", ["any.yaml: not YAML: while parsing"]),
        ("a: 1\n---\nb: 1\n", ["any.yaml: not YAML: expected a single document"]),
    ],
)
def test_what_the_engine_refuses_or_turns_into_something_else_is_told(text: str, told: list[str]) -> None:
    with pytest.raises(ConfigError) as raised:
        parse(text, "any.yaml")
    lines = str(raised.value).splitlines()
    assert [line.startswith(start) for line, start in zip(lines, told, strict=True)] == [True] * len(told), lines


def test_a_key_that_is_merged_into_a_section_is_not_there_twice() -> None:
    text = "a: &a {x: 1}\nb: &b {<<: *a, x: 2}\nc: {<<: [*b, *a], y: 3}\n"
    expected: Any = {"a": {"x": 1}, "b": {"x": 2}, "c": {"x": 2, "y": 3}}
    assert parse(text, "any.yaml").content == expected


def test_what_is_read_has_its_lines() -> None:
    document = parse("a: 1\n\nb:\n  - c: 2\n  - 3\n", "any.yaml")
    assert document.lines == {"a": 1, "b": 3, "b.0": 4, "b.0.c": 4, "b.1": 5}
    assert parse("# nothing\n", "any.yaml") == (None, {})


def test_a_file_that_is_no_text_is_told_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "any.yaml"
    path.write_bytes(b"a: 1\nb: sm\xf8r\n")
    with pytest.raises(ConfigError, match=r"^any.yaml:2: not UTF-8: the byte 0xf8; save the file as UTF-8$"):
        read(path, path.name)
    with pytest.raises(ConfigError, match=r"^none.yaml: this cannot be read: No such file or directory$"):
        read(tmp_path / "none.yaml", "none.yaml")
