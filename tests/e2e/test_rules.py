"""The table of the providers' rules beside the providers' own schemas; it needs the toolchain, and no lab."""

import json
import re
import subprocess
from collections.abc import Mapping
from typing import Any

import pytest

from edge.plan.rules import COMMAND, EFFECTS, POOL, Effect
from lab.toolchain import source
from lab.toolchain.versions import plugin_executable

#: What a provider decides by its code. "The pool's place" in test_plan.py asks the engine of it.
BEYOND_SCHEMA: dict[str, dict[str, Effect]] = {
    POOL: {"target": "replace"},  # resourceLibvirtPoolCustomizeDiff sets ForceNew on target.0.path
}

#: Lists and sets among the types of pulumi-terraform-bridge/pkg/tfshim.
MANY = {5, 7}


@pytest.fixture(scope="module")
def schemas() -> dict[str, dict[str, Effect]]:
    """What each input does by the schemas that the lab's own plugins print.

    Whichever toolchain runs: the makers' docker plugin has a `main` of its own, which knows no such flag.
    """
    found: dict[str, dict[str, Effect]] = {}
    for plugin in ("docker", "libvirt"):
        executable = source.plugins() / plugin_executable(plugin)
        done = subprocess.run([executable, "-get-provider-info"], check=True, capture_output=True, timeout=60)
        told = json.loads(done.stdout)
        for resource, bridged in told["resources"].items():
            fields = told["provider"]["resources"][resource]
            found[bridged["tok"]] = {
                bridged["fields"].get(name, {}).get("name") or bridged_name(name, field): effect_of(field)
                for name, field in fields.items()
                if field.get("required") or field.get("optional")
            }
    return found


def bridged_name(name: str, field: Mapping[str, Any]) -> str:
    """As the bridge makes it where nobody gives one: in camel case, and in the plural if there may be several."""
    plural = field["type"] in MANY and field.get("maxItems") != 1 and not name.endswith("s")
    return re.sub(r"_(.)", lambda found: found[1].upper(), name) + "s" * plural


def effect_of(field: Mapping[str, Any]) -> Effect:
    """A block replaces if anything in it does: the table has one row for the whole, on the safe side."""
    block = field.get("element", {}).get("resource", {})
    replaces = field.get("forceNew") or any(effect_of(each) == "replace" for each in block.values())
    return "replace" if replaces else "update"


@pytest.mark.parametrize("type_", sorted(EFFECTS.keys() - {COMMAND}))
def test_each_row_is_what_the_provider_has_in_its_schema(schemas: dict[str, dict[str, Effect]], type_: str) -> None:
    said = schemas[type_] | BEYOND_SCHEMA.get(type_, {})
    wrong = {
        key: f"{row} in the table, {said.get(key, 'no such input')} by the provider"
        for key, row in EFFECTS[type_].items()
        if said.get(key) != row
    }
    assert wrong == {}


def test_what_is_listed_as_beyond_the_schemas_is_not_in_them(schemas: dict[str, dict[str, Effect]]) -> None:
    assert [
        (type_, key) for type_, rows in BEYOND_SCHEMA.items() for key, row in rows.items() if schemas[type_][key] == row
    ] == []
