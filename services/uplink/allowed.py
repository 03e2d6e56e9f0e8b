"""What may leave a site: nothing that is not named here."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

#: A tag's value: a name as the config spells groups, quantities and pens. No free text is one.
NAME = re.compile(r"[a-z][a-z0-9_-]{0,30}")

#: The rules by which alarms are raised, as services/alarms names them.
RULES = frozenset({"low", "high", "silent", "disk", "queue", "uplink", "certificates"})


@dataclass(frozen=True)
class Shape:
    """The tags and fields that a measurement may have."""

    tags: frozenset[str]
    fields: frozenset[str]


#: By measurement. `min` and `max` are single readings: services/uplink/windows.py gives them of what is not personal.
ALLOWED: Mapping[str, Shape] = {
    "summary": Shape(frozenset({"group", "quantity"}), frozenset({"count", "mean", "stddev", "min", "max"})),
    "alarm": Shape(frozenset({"rule", "quantity", "pen"}), frozenset({"raised", "acknowledged"})),
    "site": Shape(frozenset(), frozenset({"waiting", "withheld"})),
}
