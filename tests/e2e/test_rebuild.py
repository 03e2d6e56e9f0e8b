"""A VM comes and goes; the readings stay, since they lie on the protected data disk."""

import pytest

from lab.sensors import Reading, now_ms, on_node, publish, query
from lab.stacks import Stack
from tests.e2e.waiting import eventually

COUNT = "SELECT count(value) FROM reading"
MORE_MEMORY_MIB = 3328
BOOT_ID = "cat /proc/sys/kernel/random/boot_id"


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


def test_more_memory_and_another_generation_make_another_vm_that_has_every_reading(
    oslo: Stack, kept: list[Reading]
) -> None:
    first_boot, first_key = on_node(oslo, BOOT_ID), oslo.outputs["hostKey"]
    before = count(oslo)
    generation = oslo.site.node.generation + 1
    with oslo.edited("node", "memoryMib", value=MORE_MEMORY_MIB), oslo.edited("node", "generation", value=generation):
        oslo.up()
        assert set(oslo.preview()) == {"same"}
        assert oslo.outputs["hostKey"] != first_key
        assert on_node(oslo, BOOT_ID) != first_boot
        assert int(on_node(oslo, "awk '/MemTotal/ {print $2}' /proc/meminfo")) > 3072 * 1024
        assert eventually(lambda: count(oslo), 60) >= before
        assert_stored(oslo, kept)


@pytest.mark.long
def test_destroy_and_up_bring_every_reading_back(oslo: Stack, kept: list[Reading]) -> None:
    before = count(oslo)
    done = oslo.shell(f"bin/edge destroy oslo --yes --config-file {oslo.config_file}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "libvirt:index/domain:Domain" not in oslo.exported_state()
    oslo.up()
    assert eventually(lambda: count(oslo), 60) >= before
    assert_stored(oslo, kept)
