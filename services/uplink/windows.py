"""Windows of a minute: which are complete, and what a group's readings of one come to; arithmetic, no clock, no I/O.

A window is known by its first millisecond, epoch ms. Each device that reports in it counts once, with the mean of its
readings: one that sends often says no more than another, and cannot be heard out of the others.
"""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from services._influxdb import literal
from services.uplink.points import Point
from services.uplink.settings import Group

WINDOW_MS = 60_000


@dataclass(frozen=True, kw_only=True)
class Share:
    """What one device adds to a window: its mean, lowest and highest reading."""

    mean: float
    low: float
    high: float


def window(time: int) -> int:
    """The window in which a moment lies."""
    return time // WINDOW_MS * WINDOW_MS


def question(group: Group, start: int, end: int) -> str:
    """Ask for the shares of a group's devices in the windows from `start` to before `end`: InfluxQL."""
    devices = " OR ".join(f"sensor = {literal(sensor)}" for sensor in group.sensors)
    return (
        "SELECT mean(value) AS mean, min(value) AS low, max(value) AS high FROM reading "  # noqa: S608
        f"WHERE quantity = {literal(group.quantity)} AND ({devices}) AND time >= {start}ms AND time < {end}ms "
        "GROUP BY time(1m), sensor fill(none)"
    )


def shares(rows: Iterable[Mapping[str, Any]]) -> dict[int, list[Share]]:
    """The answer's rows, one a device and window, by window."""
    found: dict[int, list[Share]] = {}
    for row in rows:
        share = Share(mean=float(row["mean"]), low=float(row["low"]), high=float(row["high"]))
        found.setdefault(row["time"], []).append(share)
    return found


def summary(group: Group, time: int, reported: Sequence[Share]) -> Point | None:
    """What headquarters is told of a window; None where too few devices reported.

    `count` is of devices, `mean` and `stddev` (of a sample: n - 1; 0 of one device) are over them, `min` and `max` over
    single readings. Of a personal quantity `min` and `max` are left out, `mean` and `stddev` are rounded to the group's
    step, and `count` down to a multiple of `min_sensors`.
    """
    if len(reported) < group.min_sensors:
        return None
    means = [share.mean for share in reported]
    mean, stddev = statistics.fmean(means), statistics.stdev(means) if len(means) > 1 else 0.0
    fields: dict[str, int | float] = {"count": len(means), "mean": mean, "stddev": stddev}
    if group.step is None:
        fields |= {"min": min(share.low for share in reported), "max": max(share.high for share in reported)}
    else:
        fields = {
            "count": len(means) // group.min_sensors * group.min_sensors,
            "mean": rounded(mean, group.step),
            "stddev": rounded(stddev, group.step),
        }
    return Point(
        measurement="summary", tags={"group": group.name, "quantity": group.quantity}, fields=fields, time=time
    )


def rounded(value: float, step: float) -> float:
    """The nearest multiple of a step."""
    exact = Decimal(repr(step))
    return float((Decimal(value) / exact).to_integral_value() * exact)
