"""The alarms as headquarters sees them: how many are raised and acknowledged, and where that points to nobody."""

from collections.abc import Iterable, Mapping

from services.alarms.alarm import Alarm
from services.alarms.engine import NODE
from services.uplink.allowed import RULES
from services.uplink.points import Point
from services.uplink.settings import Sensor, Settings

#: The tags under which alarms are counted: names and values, sorted.
Series = tuple[tuple[str, str], ...]

#: Alarms raised, and those of them that somebody acknowledged.
Count = tuple[int, int]


def counted(settings: Settings, alarms: Iterable[Alarm]) -> dict[Series, Count]:
    """The alarms by series; one that is not of this site is left out."""
    counts: dict[Series, Count] = {}
    for alarm in alarms:
        tags = _tags(settings, alarm)
        if tags is not None:
            series = tuple(sorted(tags.items()))
            raised, acknowledged = counts.get(series, (0, 0))
            counts[series] = raised + 1, acknowledged + (alarm.acknowledged is not None)
    return counts


def points(counts: Mapping[Series, Count], told: Iterable[Series], time: int) -> list[Point]:
    """What is sent: each count, and 0 of a series that headquarters was told of before and that has none now."""
    return [
        Point(
            measurement="alarm",
            tags=dict(series),
            fields={"raised": raised, "acknowledged": acknowledged},
            time=time,
        )
        for series, (raised, acknowledged) in sorted({**dict.fromkeys(told, (0, 0)), **counts}.items())
    ]


def _tags(settings: Settings, alarm: Alarm) -> dict[str, str] | None:
    """Rule, quantity and pen, the latter two only where they may be told."""
    if alarm.rule not in RULES:
        return None
    if alarm.sensor is None:
        return {"rule": alarm.rule, "pen": NODE}
    sensor = next((sensor for sensor in settings.sensors if sensor.id == alarm.sensor), None)
    if sensor is None:
        return None
    tags = {"rule": alarm.rule}
    if alarm.quantity in _declared(settings):
        tags["quantity"] = str(alarm.quantity)
    if _says_nothing_of_people(settings, sensor, alarm.quantity):
        tags["pen"] = sensor.pen
    return tags


def _declared(settings: Settings) -> set[str]:
    """Quantities that a site has declared to leave: those in a group, and those that are not personal."""
    return {group.quantity for group in settings.groups} | set(settings.not_personal)


def _says_nothing_of_people(settings: Settings, sensor: Sensor, quantity: str | None) -> bool:
    """Of the quantity, or for a silent device of all that it measures."""
    return set([quantity] if quantity else sensor.quantities) <= set(settings.not_personal)
