"""What a service is told: a JSON file whose shape is a dataclass, which the component that renders it makes too."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import dacite

Settings = TypeVar("Settings")


@dataclass(frozen=True, kw_only=True)
class Broker:
    """The site's broker, and who the service is there."""

    host: str
    port: int
    user: str
    password: str = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Database:
    """A database of an InfluxDB 1.8 and a user of it."""

    url: str
    name: str
    user: str
    password: str = field(repr=False)


def render(settings: Any) -> str:
    """The file that `read` reads."""
    return json.dumps(asdict(settings), indent=2) + "\n"


def read(path: Path, shape: type[Settings]) -> Settings:
    """Read a settings file.

    Raises:
        ValueError: it does not have this shape; the message names the key and never a value.
    """
    try:
        return dacite.from_dict(shape, json.loads(path.read_text()), dacite.Config(strict=True, cast=[tuple]))
    except dacite.WrongTypeError as error:
        raise ValueError(f"{path}: {error.field_path} is no {error.field_type}") from None
    except dacite.DaciteError as error:
        raise ValueError(f"{path}: {error}") from None
