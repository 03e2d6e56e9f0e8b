import re
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator
from jsonschema.exceptions import best_match

from config.reference import REFERENCE_FILE, reference_text
from config.schema import SCHEMA_FILE, schema_text, stack_file_schema
from lab.paths import CHECKOUT
from tests.sites import EXAMPLES, edited

SCHEMA = stack_file_schema()
HEADER = "# yaml-language-server: $schema=config/site.schema.json\n"

#: What a number counts: in its key's name or its description.
UNITS = re.compile(
    r"Mib|Gib|bytes|KiB/s|seconds|minutes|Hours|days\b|weeks|months|percent|messages|devices|CPUs|port|unit\b",
    re.IGNORECASE,
)


def underlined(content: Any) -> str | None:
    """The place that an editor would underline, if any."""
    error = best_match(Draft7Validator(SCHEMA).iter_errors(content))
    return error.json_path if error else None


def stack_file(stack: str) -> Any:
    return yaml.safe_load((CHECKOUT / f"Pulumi.{stack}.yaml").read_text())


def test_the_schema_file_is_the_models() -> None:
    assert SCHEMA_FILE.read_text() == schema_text(), "run `make golden`"


def test_the_reference_is_the_models() -> None:
    assert REFERENCE_FILE.read_text() == reference_text(), "run `make golden`"


def test_the_schema_is_draft_7() -> None:
    Draft7Validator.check_schema(SCHEMA)
    assert SCHEMA["$schema"] == Draft7Validator.META_SCHEMA["$id"]


@pytest.mark.parametrize("stack", EXAMPLES)
def test_a_committed_stack_file_is_valid_and_names_the_schema_to_editors(stack: str) -> None:
    assert underlined(stack_file(stack)) is None
    assert (CHECKOUT / f"Pulumi.{stack}.yaml").read_text().startswith(HEADER)


@pytest.mark.parametrize(
    ("keys", "value", "place"),
    [
        (("nodes",), {}, ""),
        (("node", "cpuz"), 2, ".node"),
        (("node", "cpus"), "two", ".node.cpus"),
        (("node", "cpus"), 0, ".node.cpus"),
        (("iot", "sensors", 0, "pens"), "pen-1", ".iot.sensors[0]"),
        (("iot", "quantities", "temperature", "hi"), 18, ".iot.quantities.temperature"),
        (("host",), {"address": "10.20.0.11", "hostKey": "ssh-ed25519 AAAA"}, ""),
    ],
)
def test_a_wrong_key_or_value_is_underlined_where_it_stands(
    keys: tuple[str | int, ...], value: Any, place: str
) -> None:
    content = stack_file("oslo")
    edited(content["config"]["fjord-edge:site"], *keys, value=value)
    assert underlined(content) == f"$.config['fjord-edge:site']{place}"


def test_a_seed_in_the_clear_is_underlined() -> None:
    content = stack_file("oslo")
    content["config"]["fjord-edge:seed"] = "AAAA"
    assert underlined(content) == "$.config['fjord-edge:seed']"


def test_every_reference_is_defined() -> None:
    references = re.findall(r'"#/definitions/(\w+)"', schema_text())
    assert set(references) == set(SCHEMA["definitions"])


def properties(part: Any) -> list[tuple[str, dict[str, Any]]]:
    """Every key that the schema knows, with what it says of it."""
    if isinstance(part, list):
        return [found for item in part for found in properties(item)]
    if not isinstance(part, dict):
        return []
    own = part.get("properties", {})
    return [*own.items(), *(found for value in part.values() for found in properties(value))]


def test_every_key_is_described_where_editors_look() -> None:
    sections = SCHEMA["definitions"]
    assert [key for key, said in properties(sections) if not said.get("description")] == []
    assert [key for key, said in properties(sections) if "$ref" in said and len(said) > 1] == []


def test_every_number_says_what_it_counts() -> None:
    numbers = [
        f"{key}: {said['description']}"
        for name, section in SCHEMA["definitions"].items()
        for key, said in properties(section)
        if re.search(r"'type': '(integer|number)'", str(said)) and name != "Epochs" and key != "generation"
    ]
    assert len(numbers) > 20
    assert [number for number in numbers if not UNITS.search(number)] == []
