"""The strict model that every part of a site's config is made of, and the one way in which a mistake is told."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, SecretStr, ValidationError
from pydantic.alias_generators import to_camel

VALUE_LIMIT = 60

#: How a value begins that only a person knows; what follows says what it is. `edge new-site` writes it.
FILL_IN = "CHANGE-ME"

#: A key that is missing has no value, and one that nobody knows may hold a misplaced secret.
_VALUE_UNTOLD = {"missing", "extra_forbidden", "credentials"}


class Mistake(NamedTuple):
    """One thing that is wrong in a file a person wrote."""

    file: str
    key: str
    value: str
    remedy: str

    def __str__(self) -> str:
        shown = f"{self.key} = {self.value}" if self.value else self.key
        return ": ".join(part for part in (self.file, shown, self.remedy) if part)


class ConfigError(ValueError):
    """What is wrong in a site's config, one line a mistake: file, key, value (unless secret), remedy."""

    def __init__(self, *mistakes: Mistake) -> None:
        self.mistakes = mistakes
        super().__init__("\n".join(str(mistake) for mistake in mistakes))


class Model(BaseModel):
    """A strict, frozen section: unknown keys are refused, keys are camelCase, values are never shown by pydantic."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        strict=True,
        use_attribute_docstrings=True,
        validate_default=True,
    )

    @classmethod
    def parse(cls, content: Mapping[str, Any], *, file: str, root: str = "") -> Self:
        """Validate what a file says.

        Args:
            content: the file's content, of JSON types only.
            file: the file's name, for messages.
            root: the key below which the content lies.

        Raises:
            ConfigError: one mistake for each thing that is wrong; what is not filled in comes before all else.
        """
        if unfilled := list(to_fill_in(content, file=file, root=root)):
            raise ConfigError(*unfilled)
        try:
            return cls.model_validate_json(json.dumps(content, default=str))
        except ValidationError as error:
            raise ConfigError(*_mistakes(error, file, root)) from None


def to_fill_in(content: object, *, file: str, root: str) -> Iterator[Mistake]:
    """What a person has yet to write in a file's content: one mistake a value."""
    match content:
        case str() if content.startswith(FILL_IN):
            yield Mistake(file, root, FILL_IN, f"fill this in: {content.removeprefix(FILL_IN).strip()}")
        case Mapping():
            for key, value in content.items():
                yield from to_fill_in(value, file=file, root=f"{root}.{key}".strip("."))
        case list():
            for number, value in enumerate(content):
                yield from to_fill_in(value, file=file, root=f"{root}.{number}")


def _mistakes(error: ValidationError, file: str, root: str) -> list[Mistake]:
    return [
        Mistake(
            file=file,
            key=".".join([root, *(str(part) for part in detail["loc"])]).strip("."),
            value="" if detail["type"] in _VALUE_UNTOLD else _shown(detail["input"]),
            remedy=_remedy(detail["type"], detail["msg"]),
        )
        for detail in error.errors(include_url=False)
    ]


def _shown(value: object) -> str:
    if isinstance(value, SecretStr | dict | list | BaseModel):
        return ""
    text = json.dumps(value, default=str)
    return text if len(text) <= VALUE_LIMIT else text[:VALUE_LIMIT] + "…"


def _remedy(kind: str, message: str) -> str:
    match kind:
        case "extra_forbidden":
            return "no such key here; look it up in config/site.schema.json, or remove it"
        case "missing":
            return "this key is missing; add it"
        case _:
            return message.removeprefix("Value error, ")
