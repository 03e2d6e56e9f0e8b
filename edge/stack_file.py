"""A stack file edited in place: whatever a person wrote elsewhere in it stays as it is, to the letter."""

import json
import math
from collections.abc import Sequence
from typing import Any

import yaml
from yaml.nodes import CollectionNode, MappingNode, Node, SequenceNode

from config.yaml_text import Dumper


def put(text: str, path: Sequence[str], value: object) -> str:
    """Set the value at a path of keys; what of the path is missing is made.

    Raises:
        ValueError: something on the way is no section of keys.
    """
    node = _root(text)
    for depth, key in enumerate(path):
        child = _child(node, path[:depth], key)
        if child is None:
            return _with_key(text, _section(node, path[:depth]), path[depth:], value)
        node = child
    return text[: node.start_mark.index] + _flow(value) + text[node.end_mark.index :]


def append(text: str, path: Sequence[str], value: object) -> str:
    """Append a value to the list at a path of keys.

    Raises:
        ValueError: there is no list, or nothing in it.
    """
    node: Node | None = _root(text)
    for depth, key in enumerate(path):
        node = node and _child(node, path[:depth], key)
    if not isinstance(node, SequenceNode) or not node.value:
        raise ValueError(f"{'.'.join(path)} is no list with something in it")
    if node.flow_style:
        return _inserted(text, node.value[-1].end_mark.index, f", {_flow(value)}")
    return _with_lines(text, node, [f"- {_flow(value)}"])


def _root(text: str) -> Node:
    node = yaml.compose(text, Loader=yaml.SafeLoader)
    if node is None:
        raise ValueError("the file is empty")
    return node


def _child(node: Node, path: Sequence[str], key: str) -> Node | None:
    return next((value for name, value in _section(node, path).value if name.value == key), None)


def _section(node: Node, path: Sequence[str]) -> MappingNode:
    if not isinstance(node, MappingNode):
        raise ValueError(f"{'.'.join(path)} is no section of keys")
    return node


def _with_key(text: str, node: MappingNode, path: Sequence[str], value: object) -> str:
    if not node.flow_style:
        lines = [f"{2 * depth * ' '}{key}:" for depth, key in enumerate(path)]
        lines[-1] += f" {_flow(value)}"
        return _with_lines(text, node, lines)
    nested: Any = value
    for key in reversed(path):
        nested = {key: nested}
    entry = _flow(nested)[1:-1]
    if node.value:
        return _inserted(text, node.value[-1][1].end_mark.index, f", {entry}")
    return _inserted(text, node.end_mark.index - 1, entry)


def _with_lines(text: str, node: Node, lines: Sequence[str]) -> str:
    """Behind the last line of a section's last value, before any comment that belongs to what follows."""
    last = len(text[: _end(node)].rstrip())
    line_end = text.find("\n", last)
    indent = node.start_mark.column * " "
    return _inserted(text, len(text) if line_end < 0 else line_end, "".join(f"\n{indent}{line}" for line in lines))


def _end(node: Node) -> int:
    """A section's own end mark is where the next one begins."""
    while isinstance(node, CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        node = last[1] if isinstance(last, tuple) else last
    return node.end_mark.index


def _inserted(text: str, index: int, more: str) -> str:
    return text[:index] + more + text[index:]


def _flow(value: object) -> str:
    """A value in one line. PyYAML folds Unicode's own line ends unless it escapes all that is not ASCII."""
    readable = json.dumps(value, ensure_ascii=False).isprintable()
    text = yaml.dump(
        [value], Dumper=Dumper, default_flow_style=True, width=math.inf, allow_unicode=readable, sort_keys=False
    )
    return str(text).strip()[1:-1]
