"""The data path natively: how long until a reading can be queried, how many a second; beside the seed."""

import platform
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.console import say
from lab.pipeline.generator import Result
from lab.pipeline.loss import HEAD
from lab.pipeline.loss import report as losses
from lab.pipeline.pipeline import Pipeline
from lab.pipeline.site import Kind
from lab.toolchain.source import INFLUXDB, TELEGRAF

#: Of a reading's way to the database: single ones, so many a second; the seed writes every 10 s.
QUERYABLE_RATE = 4.0
QUERYABLE_SECONDS = {"ours": 20.0, "seed": 20.0}

#: Of its way to a subscriber.
WRITERS, WRITERS_RATE, WRITERS_SECONDS = 1000, 1000.0, 10.0

MANY, MANY_PROCESSES, MANY_RATE, MANY_SECONDS = 5000, 2, 500.0, 4.0

#: Offered with 20 writers in two processes, for longer than any buffer on the way hides a jam.
OFFERED: Sequence[float] = (2_000, 5_000, 20_000)
LOAD_SECONDS = 20.0
LOAD_WRITERS, LOAD_PROCESSES = 20, 2

#: A generator that is further behind its own schedule than that was the bottleneck.
LATE_SECONDS = 0.25

QUIET_SECONDS, DRAIN_SECONDS = 11.0, 60.0
BAR = 40


@dataclass(frozen=True)
class Spread:
    """Of many times, in milliseconds."""

    median: float
    p99: float
    worst: float
    count: int

    @classmethod
    def of(cls, seconds: Sequence[float]) -> "Spread":
        """Of times in seconds, at least one; by nearest rank."""
        ordered = sorted(seconds)

        def rank(fraction: float) -> float:
            return ordered[min(len(ordered) - 1, int(len(ordered) * fraction))] * 1000

        return cls(rank(0.5), rank(0.99), ordered[-1] * 1000, len(ordered))

    def __str__(self) -> str:
        return f"median {self.median:.1f} ms, p99 {self.p99:.1f}, worst {self.worst:.1f}, of {self.count}"


def bar(value: float, full: float, width: int = BAR) -> str:
    """A bar of text: as long as the value is of the full one."""
    return "█" * max(1, round(width * min(value, full) / full)) if value > 0 else ""


def bottleneck(results: Sequence[Result]) -> str:
    """What the generators say of themselves; nothing when they kept their schedule."""
    late = max(result.late for result in results)
    return f"; the generator was the bottleneck, {late:.1f} s behind its schedule" if late > LATE_SECONDS else ""


def report() -> Iterator[str]:
    """Take all figures, a line each; five minutes."""
    yield f"{platform.platform()}, Telegraf {TELEGRAF}, InfluxDB {INFLUXDB}"
    for kind in ("ours", "seed"):
        yield f"{kind}: load of the machine {_load()}"
        yield from _in_pipeline(kind, LOAD_WRITERS, _queryable, _sustained)
        yield from _in_pipeline(kind, WRITERS, _subscribed)
    yield from _in_pipeline("ours", MANY, _many)
    yield HEAD
    yield from losses()


def _in_pipeline(kind: Kind, sensors: int, *parts: Callable[[Pipeline], Iterator[str]]) -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder, Pipeline(kind, Path(folder), sensors) as pipeline:
        for part in parts:
            say(f"  {kind}: {part.__name__.strip('_')}")
            yield from part(pipeline)
        memory = ", ".join(f"{name} {mib:.0f}" for name, mib in pipeline.memory_mib().items())
        yield f"  most memory with {sensors:,} sensors, MiB: {memory}"


def _queryable(pipeline: Pipeline) -> Iterator[str]:
    seconds = QUERYABLE_SECONDS[pipeline.kind]
    seen: dict[int, float] = {}
    with (
        pipeline.probe(seconds + (12 if pipeline.kind == "seed" else 2)) as probe,
        pipeline.load(slice(0, 1), rate=QUERYABLE_RATE, seconds=seconds, tick=0.001) as load,
    ):
        load.begin()
        assert probe.stdout is not None  # noqa: S101
        for line in probe.stdout:
            value, moment = line.split()
            seen[int(float(value))] = float(moment)
        load.result()
        sent = {each.reading[1]: each.sent for each in load.log()}
    took = [seen[value] - sent[value] for value in sent if value in seen]
    yield f"  published to queryable: {Spread.of(took)}; {len(sent) - len(took)} of {len(sent)} not seen"


def _sustained(pipeline: Pipeline) -> Iterator[str]:
    for offered in OFFERED:
        before = pipeline.cpu_seconds()
        acknowledged, results, seconds = _loaded(pipeline, offered)
        used = {name: after - before[name] for name, after in pipeline.cpu_seconds().items()}
        used["generator"] = sum(result.processor for result in results)
        missing = pipeline.drained(acknowledged, QUIET_SECONDS, DRAIN_SECONDS)
        rate = (len(acknowledged) - len(missing)) / seconds
        spent = ", ".join(f"{name} {took:.1f}" for name, took in used.items())
        yield (
            f"  {offered:6,.0f}/s offered {bar(rate, OFFERED[-1]):<{BAR}} {rate:6,.0f}/s stored, {len(missing):,} of "
            f"{len(acknowledged):,} missing; processor s: {spent}{bottleneck(results)}"
        )


def _loaded(pipeline: Pipeline, offered: float) -> tuple[set[tuple[str, int]], list[Result], float]:
    """What was acknowledged, what the generators say, and the seconds from their beginning to the last write."""
    each = LOAD_WRITERS // LOAD_PROCESSES
    rate = offered / LOAD_PROCESSES
    with (
        pipeline.load(slice(0, each), rate=rate, seconds=LOAD_SECONDS) as one,
        pipeline.load(slice(each, 2 * each), rate=rate, seconds=LOAD_SECONDS) as other,
    ):
        begun = time.monotonic()
        one.begin()
        other.begin()
        results = [one.result(), other.result()]
        ended = time.monotonic()
        last = pipeline.settled(QUIET_SECONDS, DRAIN_SECONDS) or ended
        return one.acknowledged() | other.acknowledged(), results, last - begun


def _subscribed(pipeline: Pipeline) -> Iterator[str]:
    with pipeline.load(slice(0, WRITERS), rate=WRITERS_RATE, seconds=WRITERS_SECONDS, tick=0.001, measure=True) as load:
        load.begin()
        result = load.result()
    yield (
        f"  {WRITERS:,} writers, {WRITERS_RATE:,.0f}/s, published to subscriber: {Spread.of(result.latencies)}"
        f"{bottleneck([result])}"
    )


def _many(pipeline: Pipeline) -> Iterator[str]:
    each = MANY // MANY_PROCESSES

    with (
        pipeline.load(slice(0, each), rate=MANY_RATE, seconds=MANY_SECONDS) as one,
        pipeline.load(slice(each, MANY), rate=MANY_RATE, seconds=MANY_SECONDS) as other,
    ):
        one.begin()
        other.begin()
        results = [one.result(), other.result()]
        acknowledged = one.acknowledged() | other.acknowledged()
    missing = pipeline.drained(acknowledged, QUIET_SECONDS, DRAIN_SECONDS)
    yield (
        f"  {MANY:,} writers over TLS: {sum(result.connected for result in results):,} connected, "
        f"{sum(result.refused for result in results)} refused, "
        f"in {sum(result.connecting for result in results):.1f} s; "
        f"{len(missing)} of {len(acknowledged):,} readings missing{bottleneck(results)}"
    )


def _load() -> str:
    return Path("/proc/loadavg").read_text().partition(" ")[0]
