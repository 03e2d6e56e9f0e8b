import re
from typing import Any

import pytest
import yaml

from config.reference import REFERENCE_FILE, reference_text
from config.schema import SCHEMA_FILE, schema_text, stack_file_schema
from lab.paths import CHECKOUT
from tests.sites import STACKS

SCHEMA = stack_file_schema()


def test_the_schema_file_is_the_models() -> None:
    assert SCHEMA_FILE.read_text() == schema_text(), "run `make golden`"


def test_the_reference_is_the_models() -> None:
    assert REFERENCE_FILE.read_text() == reference_text(), "run `make golden`"


def unknown_and_missing(schema: dict[str, Any], value: Any, path: str = "") -> list[str]:
    """The keys of a value that the schema does not know or misses; the rest of a schema is for editors."""
    schema = SCHEMA["definitions"][schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
    found = []
    choices = [unknown_and_missing(choice, value, path) for choice in schema.get("anyOf", []) if "$ref" in choice]
    found += sorted(choices, key=len)[0] if choices else []
    if isinstance(value, dict) and "properties" in schema:
        found += [f"{path}.{key} missing" for key in schema.get("required", []) if key not in value]
        for key, item in value.items():
            if key in schema["properties"]:
                found += unknown_and_missing(schema["properties"][key], item, f"{path}.{key}")
            elif schema.get("additionalProperties") is False:
                found.append(f"{path}.{key} unknown")
    if isinstance(value, list):
        found += [text for item in value for text in unknown_and_missing(schema.get("items", {}), item, path)]
    return found


@pytest.mark.parametrize("stack", STACKS)
def test_a_committed_stack_file_has_the_schemas_keys(stack: str) -> None:
    content = yaml.safe_load((CHECKOUT / f"Pulumi.{stack}.yaml").read_text())
    assert unknown_and_missing(SCHEMA, content) == []


def test_a_wrong_key_is_seen_by_the_check_above() -> None:
    content = yaml.safe_load((CHECKOUT / "Pulumi.oslo.yaml").read_text())
    site = content["config"]["fjord-edge:site"]
    site["iot"]["sensors"][0]["pens"] = site["iot"]["sensors"][0].pop("pen")
    del site["node"]["cpus"]
    assert unknown_and_missing(SCHEMA, content) == [
        ".config.fjord-edge:site.node.cpus missing",
        ".config.fjord-edge:site.iot.sensors.pen missing",
        ".config.fjord-edge:site.iot.sensors.pens unknown",
    ]


def test_every_reference_is_defined() -> None:
    references = re.findall(r'"#/definitions/(\w+)"', schema_text())
    assert set(references) == set(SCHEMA["definitions"])
