"""YAML as the engine reads a stack file: PyYAML reads `yes`, `13:00` and a key written twice otherwise.

The engine has Go's yaml.v3. A bare date reaches the program as `2028-03-30 00:00:00 +0000 UTC`, which no key takes: it
is refused here, with the remedy that the program cannot know. The registry's files are read alike.
"""

import re
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from config.base import VALUE_LIMIT, ConfigError, Mistake

_TAG = "tag:yaml.org,2002:"
_TIMESTAMP, _NOT_FINITE = f"{_TAG}timestamp", "!not-finite"

#: Values that JSON has, in which the program gets them.
_TAKEN = {_TAG + name for name in ("bool", "float", "int", "map", "merge", "null", "seq", "str")}


class Document(NamedTuple):
    """A file's content, and where it says so."""

    content: Any
    lines: dict[str, int]
    """Line of each key and of each item of a list, by its path such as `farm.pens.0`, from 1."""


class _Loader(yaml.CSafeLoader):
    """PyYAML's parser in C, with what yaml.v3 makes of a bare word: `resolve.go`, in its order."""

    def integer(self, node: yaml.ScalarNode) -> int:
        """`010` is eight, as `0o10` is; `09` is nine."""
        text = str(self.construct_scalar(node)).replace("_", "")
        octal = re.sub(r"^([-+]?)0(?=[0-7]+$)", r"\g<1>0o", text)
        try:
            return int(octal, 0)
        except ValueError:
            return int(text)

    def number(self, node: yaml.ScalarNode) -> float:
        """Whole numbers reach the program without a fraction."""
        value = float(str(self.construct_scalar(node)).replace("_", ""))
        return int(value) if value.is_integer() else value


class Dumper(yaml.SafeDumper):
    """Puts a text in quotes where the engine would take the bare word for something else, `1e3` or `09`."""


_Loader.yaml_implicit_resolvers = {}
for _tag, _words, _first in (
    (f"{_TAG}bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    (f"{_TAG}null", r"~|null|Null|NULL|", "~nN"),
    (f"{_TAG}merge", r"<<", "<"),
    (_NOT_FINITE, r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)", "-+."),
    (
        _TIMESTAMP,
        r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}"
        r"(?:[Tt][0-9]{1,2}(?::[0-9]{1,2}){2}(?:\.[0-9]+)?(?:Z|[-+][0-9]{2}:[0-9]{2})"
        r"|\ +[0-9]{1,2}(?::[0-9]{1,2}){2}(?:\.[0-9]+)?)?",
        "0123456789",
    ),
    (
        f"{_TAG}int",
        r"[-+]?(?:0[bB]_*[01][01_]*|0[oO]_*[0-7][0-7_]*|0[xX]_*[0-9a-fA-F][0-9a-fA-F_]*|[0-9][0-9_]*)",
        "-+0123456789",
    ),
    (
        f"{_TAG}float",
        r"[-+]?(?:\.[0-9][0-9_]*|[0-9][0-9_]*(?:\.[0-9_]*)?)(?:[eE][-+]?[0-9]{1,2})?",
        "-+.0123456789",
    ),
):
    for _each in (_Loader, Dumper):
        _each.add_implicit_resolver(_tag, re.compile(rf"^(?:{_words})$"), [*_first, *([""] if "~" in _first else [])])
_Loader.add_constructor(f"{_TAG}int", _Loader.integer)
_Loader.add_constructor(f"{_TAG}float", _Loader.number)


def read(path: Path, file: str) -> Document:
    """Read a file; an empty one says None.

    Args:
        path: the file.
        file: its name, for messages.

    Raises:
        ConfigError: every mistake that its text has as such, with its line.
    """
    return parse(read_text(path, file), file)


def read_text(path: Path, file: str) -> str:
    """A file's text.

    Raises:
        ConfigError: it cannot be read, or is no text.
    """
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(Mistake(file, "", "", f"this cannot be read: {error.strerror}")) from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        remedy = f"not UTF-8: the byte 0x{error.object[error.start]:02x}; save the file as UTF-8"
        raise ConfigError(Mistake(f"{file}:{line}", "", "", remedy)) from None


def parse(text: str, file: str) -> Document:
    """The same of a file's text.

    Raises:
        ConfigError: every mistake that the text has as such, with its line.
    """
    loader = None
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            return Document(None, {})
        look = _Look(file)
        look.at(node)
        if look.mistakes:
            raise ConfigError(*look.mistakes)
        return Document(loader.construct_document(node), look.lines)
    except ConfigError:
        raise
    except (yaml.YAMLError, LookupError, ValueError) as error:
        # A tag that is written out, `!!int x`, may not fit its value.
        raise ConfigError(Mistake(file, "", "", f"not YAML: {' '.join(str(error).split())}")) from None
    finally:
        if loader:
            loader.dispose()


class _Look:
    """One way through a document's nodes, which know their lines."""

    def __init__(self, file: str) -> None:
        self.lines: dict[str, int] = {}
        self.mistakes: list[Mistake] = []
        """What the engine refuses, or hands over as something else than is written."""
        self._file = file
        self._open: dict[int, bool] = {}
        """By its identity, whether a node is still being looked at."""

    def at(self, node: yaml.Node, path: str = "") -> None:
        """Look at a node and what is below it."""
        if isinstance(node, yaml.ScalarNode):
            self._check_tag(node, path)
            return
        if id(node) in self._open:
            if self._open[id(node)]:
                self._found(node, path, "", "this contains itself; write out what it shall say")
            return
        self._open[id(node)] = True
        self._check_tag(node, path)
        if isinstance(node, yaml.MappingNode):
            self._keys(node, path)
        else:
            for number, item in enumerate(node.value):
                place = f"{path}.{number}" if path else str(number)
                self.lines[place] = item.start_mark.line + 1
                self.at(item, place)
        self._open[id(node)] = False

    def _keys(self, node: yaml.MappingNode, path: str) -> None:
        first: dict[str, int] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self._found(key, path, "", "a key is one word; write it on its line, before a colon")
                continue
            place = f"{path}.{key.value}" if path else key.value
            line = key.start_mark.line + 1
            self._check_tag(key, place)
            if key.value in first:
                self._found(key, place, "", f"already in line {first[key.value]}; remove one of the two")
            else:
                first[key.value] = self.lines[place] = line
            self.at(value, place)

    def _check_tag(self, node: yaml.Node, path: str) -> None:
        if node.tag in _TAKEN:
            return
        value = str(node.value)[:VALUE_LIMIT] if isinstance(node, yaml.ScalarNode) else ""
        if node.tag == _TIMESTAMP:
            self._found(node, path, value, f'a bare date is no text; write it in quotes: "{value}"')
        elif node.tag == _NOT_FINITE:
            self._found(node, path, value, "no number that the engine takes; write one that is")
        else:
            self._found(node, path, "", f"the tag {node.tag} is not taken; write the value without it")

    def _found(self, node: yaml.Node, path: str, value: str, remedy: str) -> None:
        self.mistakes.append(Mistake(f"{self._file}:{node.start_mark.line + 1}", path, value, remedy))
