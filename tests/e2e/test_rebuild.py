"""A VM comes and goes; the readings stay, since they lie on the protected data disk."""

from pathlib import Path

import pytest

from lab.sensors import Reading, now_ms, publish, query
from lab.stacks import Stack
from tests.e2e.waiting import eventually

COUNT = "SELECT count(value) FROM reading"


def count(oslo: Stack) -> int:
    rows = query(oslo, COUNT)
    return int(rows[0]["count"]) if rows else 0


@pytest.fixture
def kept(oslo: Stack) -> list[Reading]:
    """Readings that are stored."""
    begun, before = now_ms(), count(oslo)
    readings = [Reading("pen2-temp", "temperature", 5 + number / 10, begun - 1000 * number) for number in range(10)]
    publish(oslo, *readings)
    assert eventually(lambda: count(oslo) >= before + len(readings), 30)
    return readings


def assert_stored(oslo: Stack, readings: list[Reading]) -> None:
    assert eventually(lambda: count(oslo) >= len(readings), 60)
    for reading in readings:
        rows = query(oslo, f"SELECT value, sensor, quantity, pen FROM reading WHERE time = {reading.time}ms")
        asked = {"value": reading.value, "sensor": reading.sensor, "quantity": reading.quantity, "pen": "pen-2"}
        assert asked.items() <= rows[0].items()


@pytest.mark.long
def test_destroy_and_up_bring_every_reading_back(oslo: Stack, kept: list[Reading]) -> None:
    before = count(oslo)
    done = oslo.shell(f"bin/edge destroy oslo --yes --config-file {oslo.config_file}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "libvirt:index/domain:Domain" not in oslo.exported_state()
    oslo.up()
    assert eventually(lambda: count(oslo), 60) >= before
    assert_stored(oslo, kept)


@pytest.mark.long
def test_a_site_whose_state_is_lost_comes_back_with_every_reading(
    oslo: Stack, kept: list[Reading], tmp_path: Path
) -> None:
    def typed(line: str) -> str:
        done = oslo.shell(line)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    before = count(oslo)
    (tmp_path / "copy").write_text(oslo.exported_state())
    for is_there in (True, False):
        typed("pulumi stack rm oslo --yes --force --preserve-config")
        typed("pulumi stack init oslo")
        if is_there:
            typed(f"pulumi stack import --stack oslo --file {tmp_path}/copy")
            typed(f"pulumi up --refresh --stack oslo --yes --suppress-progress --config-file {oslo.config_file}")
            assert set(oslo.preview()) == {"same"}
    told = typed(f"bin/edge destroy oslo --lost-state --yes --config-file {oslo.config_file}")
    oslo.up()
    restore = told.rpartition("then edge ")[2].strip()
    typed(f"bin/edge {restore} --yes --config-file {oslo.config_file}")
    assert eventually(lambda: count(oslo), 180) >= before
    assert_stored(oslo, kept)
    assert set(oslo.preview()) == {"same"}
