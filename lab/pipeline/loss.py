"""What harm under load costs: acknowledged, stored, missing; a difference of two sets."""

import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from components._mender.on_node import mend
from components.iot_stack.telegraf import UNDELIVERED
from config.iot import POWER_CUT_SECONDS
from lab.pipeline.pipeline import Load, Pipeline
from lab.pipeline.site import Kind

RATE = 1000

#: The harm comes at a random instant of these, seconds after the first reading; a kill's end so long after it.
HARM_SECONDS = (2.0, 5.0)
AWAY_SECONDS = 1.0

#: The load goes on so long after the harm is over, at least.
AFTER_SECONDS = 3.0

#: Telegraf before 1.38 acknowledged nothing more after an attempt to reconnect that failed, and made one each 10 s
#: (influxdata/telegraf#18452); it is seen when the collector has all that it takes so.
LONG_AWAY_SECONDS, LONG_AFTER_SECONDS = 13.0, 2.0 * UNDELIVERED / RATE

#: How long an instant is looked for in which readings are on their way.
IN_FLIGHT_SECONDS = 2.0

#: The seed's collector flushes and reconnects every 10 s: when nothing more is stored for longer, nothing more comes.
QUIET_SECONDS = 12.0
DRAIN_SECONDS = 60.0

PROGRAMS = ("mosquitto", "telegraf", "influxdb")

HEAD = "| Set-up | Harm | Acknowledged | In flight | Stored | Missing | Excused |"


@dataclass(frozen=True)
class Drill:
    """One kind of harm.

    Attributes:
        harm: does it, and undoes it.
        seconds: how long that takes.
        after: how long the load goes on when it is over, at least.
        rate: of the load, readings a second.
        disk_mib: of the data, where it must be small.
        all_at_once: whether it takes broker and collector with one blow, and with them what neither has on disk.
        needs_queue: whether it is about the broker's queue on disk, of which the seed has none.
    """

    harm: Callable[[Pipeline, float], None]
    seconds: float = AWAY_SECONDS
    after: float = AFTER_SECONDS
    rate: int = RATE
    disk_mib: int | None = None
    all_at_once: bool = False
    needs_queue: bool = False


@dataclass(frozen=True)
class Loss:
    """One harm under load.

    Attributes:
        acknowledged: readings whose PUBACK had come, before the harm, in it and after it.
        stored: those of them that can be queried in the end.
        missing: the others.
        excused: those of the missing that were sent before all was killed at once, and acknowledged less than
            `POWER_CUT_SECONDS` before it, or read as acknowledged after it: the broker writes to its disk once a round
            of its loop, and acknowledges within the round (2.1.2, plugins/persist-sqlite/tick.c).
        in_flight: readings that were acknowledged and not yet to be queried, right before the harm.
    """

    kind: Kind
    drill: str
    acknowledged: int
    stored: int
    missing: int
    excused: int
    in_flight: int


def _killed(*programs: str) -> Drill:
    def harm(pipeline: Pipeline, seconds: float) -> None:
        pipeline.kill(*programs)
        time.sleep(seconds)
        for program in programs:
            pipeline.start(program)

    return Drill(harm, all_at_once=programs == PROGRAMS)


def _database_away(pipeline: Pipeline, seconds: float) -> None:
    pipeline.stop("influxdb")
    time.sleep(seconds)
    pipeline.start("influxdb")


def _disk_full(pipeline: Pipeline, seconds: float) -> None:
    """Everything is killed while it is full: what was acknowledged then is somewhere."""
    pipeline.fill()
    time.sleep(seconds)
    pipeline.kill(*PROGRAMS)
    pipeline.free()
    for program in PROGRAMS:
        pipeline.start(program)


def _disk_freed(pipeline: Pipeline, seconds: float) -> None:
    pipeline.fill()
    time.sleep(seconds)
    pipeline.free()


def _queue_truncated(pipeline: Pipeline, _: float) -> None:
    """The node saves what can be read: components/_mender/on_node/mend.py."""
    pipeline.kill("mosquitto")
    queue = pipeline.data("mosquitto") / mend.QUEUE.name
    while mend.is_whole(queue):
        os.truncate(queue, queue.stat().st_size * 3 // 4)
    mend.salvage(queue)
    pipeline.start("mosquitto")


#: Where the programs are: a small disk is mounted there alone.
_MEND_LOG = """
import sys
from pathlib import Path
from components._mender.on_node import mend
mend.mend_log(Path(sys.argv[1]))
"""


def _started_twice(pipeline: Pipeline) -> None:
    """The node mends the database's log, and starts it; what it has then it must have after another start too."""
    pipeline.stop("influxdb")
    if pipeline.kind == "ours":
        pipeline.run(sys.executable, "-c", _MEND_LOG, str(pipeline.data("influxdb") / mend.LOG.name))
    pipeline.start("influxdb")
    time.sleep(AFTER_SECONDS)
    pipeline.stop("influxdb")
    pipeline.start("influxdb")


DRILLS: Mapping[str, Drill] = {
    **{f"{program} killed": _killed(program) for program in PROGRAMS},
    "all killed at once": _killed(*PROGRAMS),
    "mosquitto away": replace(_killed("mosquitto"), seconds=LONG_AWAY_SECONDS, after=LONG_AFTER_SECONDS),
    "influxdb stopped": Drill(_database_away, seconds=120.0, rate=RATE // 2),
    "disk full and freed": Drill(_disk_freed, seconds=10.0, disk_mib=384),
    "disk full, all killed": Drill(_disk_full, seconds=10.0, disk_mib=384, all_at_once=True),
    "queue truncated": Drill(_queue_truncated, needs_queue=True),
}


def lose(kind: Kind, name: str, folder: Path, *, seconds: float | None = None) -> Loss:
    """Do harm under load, undo it, wait until nothing more is stored; a minute at most beside the harm.

    Args:
        kind: whose set-up.
        name: of `DRILLS`.
        folder: an empty one of the caller's.
        seconds: how long the harm lasts, in place of the drill's own.
    """
    drill = DRILLS[name]
    lasts = drill.seconds if seconds is None else seconds
    until_harm = random.uniform(*HARM_SECONDS)  # noqa: S311  a drill, not a secret
    with (
        Pipeline(kind, folder, disk_mib=drill.disk_mib) as pipeline,
        pipeline.load(slice(0, 20), rate=drill.rate, seconds=until_harm + lasts + drill.after) as load,
    ):
        load.begin()
        time.sleep(until_harm)
        in_flight = _in_flight(pipeline, load)
        drill.harm(pipeline, lasts)
        load.result()
        _started_twice(pipeline)
        log = list(load.log())
        acknowledged = {each.reading for each in log}
        missing = pipeline.drained(acknowledged, QUIET_SECONDS, DRAIN_SECONDS)
    excused = {
        each.reading for each in log if drill.all_at_once and each.sent < pipeline.killed < each.at + POWER_CUT_SECONDS
    }
    return Loss(
        kind=kind,
        drill=name,
        acknowledged=len(acknowledged),
        stored=len(acknowledged) - len(missing),
        missing=len(missing),
        excused=len(missing & excused),
        in_flight=in_flight,
    )


def _in_flight(pipeline: Pipeline, load: Load) -> int:
    """Wait for an instant in which readings are acknowledged and not yet to be queried: at least so many."""
    deadline = time.monotonic() + IN_FLIGHT_SECONDS
    while True:
        acknowledged = len(load.acknowledged())
        in_flight = acknowledged - pipeline.count()
        if in_flight > 0 or time.monotonic() > deadline:
            return max(in_flight, 0)


def report() -> Iterator[str]:
    """Do each harm to both set-ups once; a line of docs/benchmarks.md's table each."""
    for kind in ("ours", "seed"):
        yield from map(row, losses(kind))


def losses(kind: Kind, times: int = 1) -> Iterator[Loss]:
    """Do each harm so many times."""
    for name in (name for name, drill in DRILLS.items() if kind == "ours" or not drill.needs_queue):
        for _ in range(times):
            with tempfile.TemporaryDirectory() as folder:
                yield lose(kind, name, Path(folder))


def row(found: Loss) -> str:
    """As in docs/benchmarks.md."""
    return (
        f"| {found.kind} | {found.drill} | {found.acknowledged:,} | {found.in_flight:,} | {found.stored:,} | "
        f"{found.missing:,} | {found.excused:,} |"
    )
