"""`python -m config.schema` writes the JSON Schema of `Pulumi.<site>.yaml`, for editors."""

import json
from pathlib import Path
from typing import Any

from config.base import Model
from config.loader import PROJECT
from config.site import HostSection, SiteSection

SCHEMA_FILE = Path(__file__).parent / "site.schema.json"


def stack_file_schema() -> dict[str, Any]:
    """Build the schema, draft 7; pydantic's models are its only source for the site's section."""
    sections = {model.__name__: _schema(model) for model in (SiteSection, HostSection)}
    definitions = {name: part for section in sections.values() for name, part in section.pop("$defs").items()}
    schema = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "A stack file of fjord-edge: Pulumi.<site>.yaml",
        "type": "object",
        "required": ["config"],
        "properties": {
            "config": {
                "type": "object",
                "required": [f"{PROJECT}:site", f"{PROJECT}:seed"],
                "properties": {
                    f"{PROJECT}:site": {
                        "if": {"required": ["host"]},
                        "then": {"$ref": "#/definitions/HostSection"},
                        "else": {"$ref": "#/definitions/SiteSection"},
                    },
                    f"{PROJECT}:seed": _secret("32 random bytes, base64: `pulumi config set --secret seed`."),
                    f"{PROJECT}:nextSeed": _secret("The seed that takes its place, while it is changed."),
                    f"{PROJECT}:formerSeed": _secret("The seed before it, while it is changed."),
                },
            },
            "secretsprovider": {"description": "The team's own secrets provider.", "type": "string"},
            "encryptedkey": {"description": "The provider's data key, encrypted.", "type": "string"},
            "encryptionsalt": {"description": "The passphrase's salt.", "type": "string"},
        },
        "definitions": {**definitions, **sections},
    }
    described: dict[str, Any] = _described(schema)
    return described


def _schema(model: type[Model]) -> dict[str, Any]:
    return model.model_json_schema(ref_template="#/definitions/{model}")


def _described(part: Any) -> Any:
    """The same with no key beside a `$ref`: in draft 7 it would not count, and a description would not be shown."""
    match part:
        case {"$ref": reference, **beside} if beside:
            return {**beside, "allOf": [{"$ref": reference}]}
        case dict():
            return {key: _described(value) for key, value in part.items()}
        case list():
            return [_described(item) for item in part]
        case _:
            return part


def _secret(description: str) -> dict[str, Any]:
    return {
        "description": f"{description} Encrypted.",
        "type": "object",
        "required": ["secure"],
        "properties": {"secure": {"type": "string"}},
        "additionalProperties": False,
    }


def schema_text() -> str:
    """The schema as the file holds it: the same text for the same models."""
    return json.dumps(stack_file_schema(), indent=2, sort_keys=True) + "\n"


if __name__ == "__main__":
    SCHEMA_FILE.write_text(schema_text())
