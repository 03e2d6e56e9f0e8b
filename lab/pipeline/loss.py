"""What the SIGKILL of one program under load costs: acknowledged, stored, missing; a difference of two sets."""

import random
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lab.pipeline.pipeline import Load, Pipeline
from lab.pipeline.site import Kind

RATE = 1000
LOAD_SECONDS = 9.0

#: The kill comes at a random instant of these, seconds after the first reading; the start again so long after it.
KILL_SECONDS = (2.0, 5.0)
AWAY_SECONDS = 1.0

#: How long an instant is looked for in which readings are on their way.
IN_FLIGHT_SECONDS = 2.0

#: The seed's collector flushes and reconnects every 10 s: when nothing more is stored for longer, nothing more comes.
QUIET_SECONDS = 12.0
DRAIN_SECONDS = 30.0

PROGRAMS = ("mosquitto", "telegraf", "influxdb")


@dataclass(frozen=True)
class Loss:
    """One kill under load.

    Attributes:
        acknowledged: readings whose PUBACK had come, before the kill and after it.
        stored: those of them that can be queried in the end.
        missing: the others.
        in_flight: readings that were acknowledged and not yet to be queried, right before the kill.
    """

    kind: Kind
    program: str
    acknowledged: int
    stored: int
    missing: int
    in_flight: int


def lose(kind: Kind, program: str, folder: Path) -> Loss:
    """Kill a program under load, start it again, wait until nothing more is stored; at most 40 s.

    Args:
        kind: whose set-up.
        program: of `PROGRAMS`.
        folder: an empty one of the caller's.
    """
    with (
        Pipeline(kind, folder) as pipeline,
        pipeline.load(slice(0, 20), rate=RATE, seconds=LOAD_SECONDS) as load,
    ):
        load.begin()
        time.sleep(random.uniform(*KILL_SECONDS))  # noqa: S311  a drill, not a secret
        in_flight = _in_flight(pipeline, load)
        pipeline.kill(program)
        time.sleep(AWAY_SECONDS)
        pipeline.start(program)
        load.result()
        acknowledged = load.acknowledged()
        missing, _ = pipeline.drained(acknowledged, QUIET_SECONDS, DRAIN_SECONDS)
    return Loss(
        kind=kind,
        program=program,
        acknowledged=len(acknowledged),
        stored=len(acknowledged) - len(missing),
        missing=len(missing),
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
    """Kill each program of both set-ups once; a line of docs/benchmarks.md's table each."""
    for kind in ("ours", "seed"):
        for program in PROGRAMS:
            with tempfile.TemporaryDirectory() as folder:
                found = lose(kind, program, Path(folder))
            yield (
                f"| {kind} | {program} | {found.acknowledged:,} | {found.in_flight:,} | {found.stored:,} | "
                f"{found.missing:,} |"
            )
