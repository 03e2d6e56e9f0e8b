"""What is sent, in InfluxDB's line protocol."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from services.uplink.allowed import ALLOWED, NAME


@dataclass(frozen=True, kw_only=True)
class Point:
    """One point; `time` is epoch ms."""

    measurement: str
    tags: Mapping[str, str]
    fields: Mapping[str, int | float]
    time: int


def line(point: Point) -> str:
    """Render a point; the same point is the same line.

    Raises:
        ValueError: something in it is not on the allow-list.
    """
    shape = ALLOWED.get(point.measurement)
    if shape is None:
        raise ValueError(f"measurement {point.measurement} may not leave the site")
    if more := (point.tags.keys() - shape.tags) | (point.fields.keys() - shape.fields):
        raise ValueError(f"{min(more)} of {point.measurement} may not leave the site")
    for tag, value in point.tags.items():
        if not NAME.fullmatch(value):
            raise ValueError(f"{tag} of {point.measurement} is no name; it may not leave the site")
    series = ",".join([point.measurement, *(f"{tag}={value}" for tag, value in sorted(point.tags.items()))])
    fields = ",".join(f"{name}={_number(value)}" for name, value in sorted(point.fields.items()))
    return f"{series} {fields} {point.time}"


def _number(value: float) -> str:
    if isinstance(value, int):
        return f"{value}i"
    if not math.isfinite(value):
        raise ValueError(f"{value} is no number that InfluxDB takes")
    return repr(value)
