"""What kills of the uplink cost: what headquarters has, against what the broker acknowledged; by minutes.

An outage of hours is over: the readings of all of it are stored, and the uplink sends their summaries as fast as it may
while readings of the last hour still come. It is killed again and again, at random instants, packets to headquarters
being eaten for some seconds before: what it was sending is on its way then.
"""

import random
import statistics
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path
from typing import NamedTuple

from components._own import own_files
from components.iot_stack import containers, services
from components.iot_stack.telegraf import DATABASE
from components.summary_store.accounts import database
from lab.pipeline.loss import AWAY_SECONDS, DRAIN_SECONDS, Loss
from lab.pipeline.pipeline import SETTLED_SECONDS, Acknowledged, Load, Pipeline
from lab.pipeline.site import NAME, QUANTITY, Site, grant, iot_of, mqtt_user, ours, password, program, store
from services.uplink.windows import WINDOW_MS, window

GROUP, SENSORS = "pens", ("sensor-0", "sensor-1", "sensor-2")

HOUR_MS = 60 * WINDOW_MS

#: The outage's readings: the first so old, one each 12 s until an hour ago.
OUTAGE_HOURS, OUTAGE_STEP_MS, OUTAGE_RATE = 20, 12_000, 1_000

#: Those that come while the uplink sends: from 50 minutes ago until now, in a minute.
LATE_MS, LATE_RATE, LATE_SECONDS = 50 * WINDOW_MS, 300, 60.0

#: The outage's summaries take half a minute so.
KIB_PER_SECOND = 1

KILLS, KILL_SECONDS = 6, (2.0, 8.0)

#: Where the uplink reaches headquarters, in the same database; packets to it are eaten so long before a kill.
HEADQUARTERS, CUT_SECONDS = IPv4Address("127.0.0.2"), (0.0, 4.0)
_CUT = f"""\
table inet cut {{
    chain output {{ type filter hook output priority 0; ip daddr {HEADQUARTERS} drop; }}
}}
"""

#: What the uplink waits for until it computes a minute; the config's least.
LATENESS_SECONDS = 5

#: How long it may take until headquarters has all: the uplink looks at what came late each 10 s.
SENT_SECONDS = 90.0


class Summary(NamedTuple):
    """What headquarters knows of a minute; the mean to the ms, since readings are their own times."""

    devices: int
    low: int
    high: int
    mean: int


Summaries = Mapping[int, Summary]


def farm() -> Site:
    """A site of ours with its uplink, which does not start by itself; its database has headquarters' too."""
    uplink = {
        "allowedLatenessSeconds": LATENESS_SECONDS,
        "lateHorizonHours": 1,
        "kibPerSecond": KIB_PER_SECOND,
        "notPersonal": {QUANTITY: "readings that a drill makes"},
        "groups": [{"name": GROUP, "quantity": QUANTITY, "sensors": SENSORS, "minSensors": len(SENSORS)}],
    }
    iot = iot_of(SENSORS, uplink=uplink)
    there = store(database(NAME), NAME, HEADQUARTERS)
    settings = services.uplink_settings(iot, NAME, mqtt_user, influxdb_password=password("uplink"), headquarters=there)
    grants = {
        "uplink": grant("uplink", "READ", DATABASE),
        NAME: grant(NAME, "ALL", database(NAME)),
        "reader": grant("reader", "READ", DATABASE, database(NAME)),
    }
    site = ours(iot, grants)
    started = replace(program(containers.uplink(iot.images), own_files(settings), "services"), at_once=False)
    return replace(site, programs={**site.programs, "uplink": started})


def expected(log: Iterable[Acknowledged]) -> Summaries:
    """What is to be known of each minute in which all devices report."""
    times: dict[int, dict[str, set[int]]] = {}
    for each in log:
        name, value = each.reading
        times.setdefault(window(value), {}).setdefault(name, set()).add(value)
    return {
        minute: Summary(
            devices=len(devices),
            low=min(map(min, devices.values())),
            high=max(map(max, devices.values())),
            mean=round(statistics.fmean(map(statistics.fmean, devices.values()))),
        )
        for minute, devices in times.items()
        if len(devices) == len(SENSORS)
    }


def lose(folder: Path) -> Loss:
    """Kill the uplink `KILLS` times while it sends; two to three minutes.

    Returns:
        Minutes in place of readings; `in_flight` is the least that headquarters did not have, or not as they were,
        right before a kill.
    """
    begun = time.time_ns() // 1_000_000
    sensors = slice(0, len(SENSORS))
    seconds = (OUTAGE_HOURS - 1) * HOUR_MS / OUTAGE_STEP_MS * len(SENSORS) / OUTAGE_RATE
    with Pipeline("ours", folder, farm=farm()) as pipeline:
        with pipeline.load(
            sensors, rate=OUTAGE_RATE, seconds=seconds, first=begun - OUTAGE_HOURS * HOUR_MS, step=OUTAGE_STEP_MS
        ) as outage:
            outage.begin()
            outage.result()
        pipeline.drained(outage.acknowledged(), SETTLED_SECONDS, DRAIN_SECONDS)
        late_step = round(LATE_MS * len(SENSORS) / LATE_RATE / LATE_SECONDS)
        with pipeline.load(
            sensors, rate=LATE_RATE, seconds=LATE_SECONDS, first=begun - LATE_MS, step=late_step
        ) as late:
            late.begin()
            pipeline.start("uplink")
            in_flight = min(_killed(pipeline, [outage, late]) for _ in range(KILLS))
            late.result()
        wanted = expected([*outage.log(), *late.log()])
        missing = _drained(pipeline, wanted)
    return Loss(
        kind="ours",
        drill=f"uplink killed {KILLS} times, minutes",
        acknowledged=len(wanted),
        stored=len(wanted) - len(missing),
        missing=len(missing),
        excused=0,
        in_flight=in_flight,
    )


def losses(times: int) -> Iterator[Loss]:
    """Do it so many times."""
    for _ in range(times):
        with tempfile.TemporaryDirectory() as folder:
            yield lose(Path(folder))


def _killed(pipeline: Pipeline, loads: Iterable[Load]) -> int:
    """Kill it at a random instant, and start it; how many minutes headquarters did not have then."""
    time.sleep(random.uniform(*KILL_SECONDS))  # noqa: S311  a drill, not a secret
    pipeline.run("nft", "-f", "-", stdin=_CUT)
    time.sleep(random.uniform(*CUT_SECONDS))  # noqa: S311
    waiting = _missing(pipeline, expected(each for load in loads for each in load.log()))
    pipeline.kill("uplink")
    pipeline.run("nft", "delete", "table", "inet", "cut")
    time.sleep(AWAY_SECONDS)
    pipeline.start("uplink")
    return len(waiting)


def _drained(pipeline: Pipeline, wanted: Summaries) -> set[int]:
    """Wait until headquarters has them: the minutes that it has not in the end."""
    deadline = time.monotonic() + SENT_SECONDS
    while (missing := _missing(pipeline, wanted)) and time.monotonic() < deadline:
        time.sleep(1)
    return missing


def _missing(pipeline: Pipeline, wanted: Summaries) -> set[int]:
    there = {
        row["time"]: Summary(devices=row["count"], low=int(row["min"]), high=int(row["max"]), mean=round(row["mean"]))
        for row in pipeline.query("SELECT count, min, max, mean FROM summary", database(NAME))
    }
    return {minute for minute, summary in wanted.items() if not _same(there.get(minute), summary)}


def _same(there: Summary | None, summary: Summary) -> bool:
    """The database adds in floating point: a mean may be a millisecond off."""
    return there is not None and there[:-1] == summary[:-1] and abs(there.mean - summary.mean) <= 1
