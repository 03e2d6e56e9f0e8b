"""What a sensor's message says; what is no reading has no say in any alarm."""

import json
from dataclasses import dataclass

#: As the collector's: how far before its time a reading may be.
FUTURE_MS = 300_000


@dataclass(frozen=True)
class Reading:
    """A value and its own time, epoch ms."""

    value: float
    time: int


def parse(payload: bytes, now: int, retention_ms: int) -> Reading | None:
    """Read a message that arrived at `now`; nothing where the collector would reject it too."""
    try:
        content = json.loads(_text(payload), strict=False, parse_constant=_refused)
    except (ValueError, RecursionError):
        return None
    if not isinstance(content, dict):
        return None
    value, time = content.get("value"), content.get("time", now)
    # As in readings.star; no number is too big to be compared, and NaN is less than none.
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e300:
        return None
    if isinstance(time, bool) or not isinstance(time, int) or not now - retention_ms <= time <= now + FUTURE_MS:
        return None
    return Reading(float(value), time)


def _text(payload: bytes) -> str:
    """As Telegraf's `value` parser and Starlark's JSON take it: it may end by NUL, and have a unit in Latin-1."""
    return payload.strip(b"\0").decode(errors="replace").strip()


def _refused(constant: str) -> None:
    raise ValueError(f"JSON has no {constant}")
