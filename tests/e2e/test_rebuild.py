"""A site destroyed and deployed again has its readings, since they lie on the protected data disk."""

from lab.sensors import Reading, now_ms, publish, query
from lab.stacks import Stack
from tests.e2e.waiting import eventually

COUNT = "SELECT count(value) FROM reading"


def count(oslo: Stack) -> int:
    rows = query(oslo, COUNT)
    return int(rows[0]["count"]) if rows else 0


def test_destroy_and_up_bring_every_reading_back(oslo: Stack) -> None:
    begun = now_ms()
    kept = [Reading("pen2-temp", "temperature", 5 + number / 10, begun - 1000 * number) for number in range(10)]
    before = count(oslo)
    publish(oslo, *kept)
    stored = eventually(lambda: count(oslo) if count(oslo) >= before + len(kept) else 0, 30)
    assert stored

    oslo.destroy()
    assert "libvirt:index/domain:Domain" not in oslo.exported_state()
    oslo.up()

    assert eventually(lambda: count(oslo), 60) >= stored
    for reading in kept:
        rows = query(oslo, f"SELECT value, sensor, quantity, pen FROM reading WHERE time = {reading.time}ms")
        assert {
            "value": reading.value,
            "sensor": reading.sensor,
            "quantity": reading.quantity,
            "pen": "pen-2",
        }.items() <= (rows[0].items())
