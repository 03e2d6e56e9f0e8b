"""Whoever reads all that ever leaves a site, repetitions included, learns nothing of a single device by subtraction.

Devices join and leave, speak late, headquarters accepts or refuses, the clock jumps, the uplink is killed, and its
memory goes back to an older one or is lost; what was captured is then looked at as a whole.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from services.uplink import sender as module
from services.uplink.sender import Sender
from tests.services.uplink.world import BARGE, MINUTE, ROOMS, World, serving

HOUR = 3_600_000
NOON = 1_700_000_000_000 // HOUR * HOUR

#: What may happen, and how it goes: a room speaks of a window some minutes ago, with a value.
SPEAKS = st.tuples(
    st.just("speaks"),
    st.sampled_from(ROOMS),
    st.integers(0, 6).map(lambda half_hours: 30 * half_hours),
    st.floats(0, 100),
)
TIME_GOES_ON = st.tuples(st.just("time"), st.integers(1, 90))
#: The clock was ahead, or is behind now.
TIME_JUMPS = st.tuples(st.just("time"), st.integers(-400, 400))
ANSWERS = st.tuples(st.just("answers"), st.sampled_from([None, "HTTP/1.0 503 Busy\r\n\r\n", "HTTP/1.0 400 No\r\n\r\n"]))
KILLED = st.tuples(st.just("killed"), st.integers(0, 5))
#: The data disk goes back to a snapshot, or is a new one; headquarters has accepted what was on its way (ADR 16).
GOES_BACK = st.tuples(st.just("goes back"), st.booleans())

EVENTS = st.lists(st.one_of(SPEAKS, SPEAKS, SPEAKS, TIME_GOES_ON, TIME_JUMPS, ANSWERS, KILLED, GOES_BACK), max_size=16)


@contextmanager
def a_world() -> Iterator[World]:
    with serving() as site, serving() as hq, TemporaryDirectory() as folder:
        yield World(site, hq, Path(folder))


def captured(world: World) -> dict[tuple[str, int], set[str]]:
    """Every version of each window of the group that was on the wire."""
    found: dict[tuple[str, int], set[str]] = {}
    for lines in world.hq.captured:
        for series, fields, time in map(str.split, lines):
            if series.startswith("summary"):
                found.setdefault((series, int(time)), set()).add(fields)
    return found


def work(world: World, sender: Sender, now: int, steps: int) -> None:
    for _ in range(steps):
        world.ticks += max(sender.step(now), 0.01)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@example([("speaks", "room5", 180, 90.0), ("goes back", False)])
@example([("speaks", "room5", 180, 90.0), ("goes back", True)])
@example([("time", 180), ("time", -180), ("speaks", "room5", 60, 90.0), ("time", 180)])
@given(EVENTS)
def test_no_window_of_a_personal_quantity_was_ever_seen_in_two_versions(events: list[tuple[object, ...]]) -> None:
    with a_world() as world:
        asked = world.settings(BARGE)
        now = NOON + 3 * HOUR
        for minute in range(0, 180, 30):
            for number, room in enumerate(ROOMS[:5]):
                world.site.put(room, "humidity", NOON + minute * MINUTE, 40.0 + number)
        sender = Sender(asked, clock=world.clock)
        work(world, sender, now, 2)
        state = world.folder / "state.json"
        older = state.read_text()
        work(world, sender, now, 6)
        for event in [*events, ("answers", None), ("time", 1)]:
            match event:
                case ("speaks", str(room), int(ago), float(value)):
                    world.site.put(room, "humidity", now - ago * MINUTE, value)
                case ("time", int(minutes)):
                    now += minutes * MINUTE
                case ("answers", answer):
                    world.hq.answer = answer  # type: ignore[assignment]
                case ("killed", int(steps)):
                    work(world, sender, now, steps)
                    sender = Sender(asked, clock=world.clock)
                case (_, is_lost):
                    world.hq.answer = None
                    world.ticks += module.REFUSED_SECONDS
                    work(world, sender, now, 8)
                    state.write_text(older) if not is_lost else state.unlink()
                    sender = Sender(asked, clock=world.clock)
            world.ticks += module.REFUSED_SECONDS
            work(world, sender, now, 8)
        seen = captured(world)
        assert seen, "or this shows nothing"
        assert {window: versions for window, versions in seen.items() if len(versions) > 1} == {}
        for versions in seen.values():
            for fields in versions:
                assert fields.startswith(f"count={BARGE.min_sensors}i,")
                assert "min=" not in fields
                assert "max=" not in fields
