"""The pipeline's own arithmetic and packets."""

from hypothesis import given
from hypothesis import strategies as st

from lab.pipeline import mqtt
from lab.pipeline.bench import LATE_SECONDS, Spread, bar, bottleneck
from lab.pipeline.generator import Result
from lab.pipeline.pipeline import Acknowledged
from lab.pipeline.site import site
from lab.pipeline.summaries import Summary, expected


@given(st.lists(st.integers(0, 2**52), max_size=20), st.integers(1, 7))
def test_packets_are_found_however_they_are_cut(values: list[int], size: int) -> None:
    sent = b"".join(mqtt.publish(b"sensors/a/b", 7, value) for value in values)
    buffer = bytearray()
    found: list[tuple[int, bytes]] = []
    for at in range(0, len(sent), size):
        buffer += sent[at : at + size]
        found += mqtt.packets(buffer)
    assert [kind for kind, _ in found] == [mqtt.PUBLISH] * len(values)
    assert not buffer


@given(st.integers(0, 400))
def test_a_long_packet_has_a_long_length(length: int) -> None:
    topic = b"t" * length
    [(_, body)] = mqtt.packets(bytearray(mqtt.publish(topic, 1, 5)))
    assert body.startswith(length.to_bytes(2, "big") + topic)


def test_a_reader_finds_topic_and_value() -> None:
    assert mqtt.published(b'\x00\x03a/b{"value": 12, "time": 12}') == (b"a/b", 12)


def test_only_a_client_with_a_password_names_itself() -> None:
    assert mqtt.connect("a", None).endswith(b"\x04\x02\x00\x00\x00\x01a")
    assert mqtt.connect("a", "b").endswith(b"\x04\xc2\x00\x00\x00\x01a\x00\x01a\x00\x01b")


def test_a_spread_is_told_in_milliseconds() -> None:
    found = Spread.of([number / 1000 for number in range(1, 101)])
    assert (found.median, found.p99, found.worst, found.count) == (51.0, 100.0, 100.0, 100)


def test_a_bar_never_exceeds_its_width() -> None:
    assert (bar(0, 10), bar(5, 10, 4), bar(20, 10, 4)) == ("", "██", "████")


def test_a_generator_behind_its_schedule_says_that_it_was_the_bottleneck() -> None:
    assert bottleneck([Result(), Result(late=LATE_SECONDS)]) == ""
    assert "the generator was the bottleneck" in bottleneck([Result(), Result(late=2 * LATE_SECONDS)])


def test_the_sites_of_both_kinds_have_the_same_programs_and_other_doors() -> None:
    ours, seed = site("ours", 2), site("seed", 2)
    assert list(ours.programs) == list(seed.programs) == ["mosquitto", "influxdb", "telegraf"]
    assert ours.authority
    assert seed.authority is None
    assert set(ours.passwords) == set(seed.passwords)
    assert not any(seed.passwords.values())


def test_passwords_are_not_shown() -> None:
    ours = site("ours", 1)
    assert not [password for password in ours.passwords.values() if password and password in repr(ours)]


def test_headquarters_is_to_know_each_minute_in_which_all_devices_report() -> None:
    def log(*readings: tuple[str, int]) -> list[Acknowledged]:
        return [Acknowledged(reading, 0.0, 0.0) for reading in readings]

    whole = [("sensor-0", 60_000), ("sensor-1", 60_500), ("sensor-2", 61_000), ("sensor-2", 119_000)]
    partly = [("sensor-0", 120_000), ("sensor-1", 120_000)]
    mean = round((60_000 + 60_500 + 90_000) / 3)
    assert expected(log(*whole, *whole, *partly)) == {60_000: Summary(devices=3, low=60_000, high=119_000, mean=mean)}
