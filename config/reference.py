"""`python -m config.reference` writes docs/reference.md: every key of a stack file and of a registry file."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from config.base import Model
from config.registry import Entry
from config.site import HostSection, SiteSection

REFERENCE_FILE = Path(__file__).parents[1] / "docs" / "reference.md"

#: What a file or its section holds, and where.
ROOTS: Mapping[type[Model], str] = {
    SiteSection: "`fjord-edge:site` in `Pulumi.<site>.yaml`, a site with a node",
    HostSection: "`fjord-edge:site` in `Pulumi.<site>.yaml`, headquarters on a machine that is there already",
    Entry: "`config/mesh/<site>.yaml`",
}

_HEAD = """\
# Every key

Made from the models in `config/` by `make golden`. A key without a default must be there.
"""


def reference_text() -> str:
    """The document: a section for each model, in the order in which they are met."""
    sections: dict[str, list[str]] = {}
    for model, where in ROOTS.items():
        schema = model.model_json_schema()
        _section(schema, where, schema.get("$defs", {}), sections)
    return _HEAD + "".join(f"\n## {title}\n\n" + "\n".join(lines) + "\n" for title, lines in sections.items())


def _section(
    schema: Mapping[str, Any], title: str, definitions: Mapping[str, Any], sections: dict[str, list[str]]
) -> None:
    if title in sections:
        return
    lines = [_one_line(schema.get("description", "")), "", "| Key | Value | Default | |", "|---|---|---|---|"]
    sections[title] = lines
    required = schema.get("required", [])
    for key, value in schema["properties"].items():
        default = "" if key in required else _default(value)
        lines.append(f"| `{key}` | {_kind(value)} | {default} | {_one_line(value.get('description', ''))} |")
    for value in schema["properties"].values():
        for name in _references(value):
            if "properties" in definitions[name]:
                _section(definitions[name], name, definitions, sections)


def _default(value: Mapping[str, Any]) -> str:
    if "$ref" in value:
        return "its own defaults"
    return f"`{json.dumps(value['default'])}`" if "default" in value else "none"


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if "$ref" in value:
            yield value["$ref"].rpartition("/")[2]
        for part in value.values():
            yield from _references(part)
    elif isinstance(value, list):
        for part in value:
            yield from _references(part)


def _kind(value: Mapping[str, Any]) -> str:
    """The type, with its bounds."""
    if "$ref" in value:
        name = value["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in value:
        return " or ".join(dict.fromkeys(_kind(each) for each in value["anyOf"] if each.get("type") != "null"))
    if "enum" in value or "const" in value:
        return ", ".join(f"`{each}`" for each in value.get("enum", [value.get("const")]))
    kind = str(value.get("type", "any"))
    if kind == "array":
        return f"list of {_kind(value.get('items', {}))}"
    if kind == "object":
        values = [*value.get("patternProperties", {}).values(), value.get("additionalProperties")]
        return "by name: " + next((_kind(each) for each in values if each), "any")
    return f"{kind}{_bounds(value)}"


def _bounds(value: Mapping[str, Any]) -> str:
    words = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    told = [f"{sign} {value[key]}" for key, sign in words.items() if key in value]
    return f" {', '.join(told)}" if told else ""


def _one_line(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    REFERENCE_FILE.write_text(reference_text())
