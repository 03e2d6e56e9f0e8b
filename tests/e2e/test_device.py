"""A sensor from the command to its first reading, and another in its place."""

import subprocess
from pathlib import Path

import pytest

from lab import hypervisor
from lab.sensors import Reading, now_ms, query
from lab.stacks import Stack
from tests.e2e.running import containers
from tests.e2e.waiting import eventually

SENSOR = "pen1-salt"

#: Who must know a sensor.
READERS = {"mosquitto", "telegraf", "alarms", "uplink", "page"}


def edge(oslo: Stack, *words: str) -> str:
    done = oslo.shell(f"bin/edge device --config-file {oslo.config_file} oslo {' '.join(words)}")
    assert done.returncode == 0, done.stderr
    return done.stdout


def told(oslo: Stack, sensor: str, folder: Path) -> Path:
    """What a person sets in a device that hangs there, as the command tells it."""
    edge(oslo, "show", sensor, "--out", str(folder))
    return folder


def sends(client: Path, reading: Reading) -> None:
    """A device logs in with what it was given and nothing else."""
    command = ["env", f"XDG_CONFIG_HOME={client}", "mosquitto_pub", "-t", reading.topic, "-m", reading.payload]
    done = subprocess.run(
        hypervisor.operator_command(["timeout", "60", *command]), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def stored(oslo: Stack, reading: Reading) -> list[dict[str, object]]:
    where = f"sensor = '{reading.sensor}' AND time = {reading.time}ms"
    return query(oslo, f"SELECT value, pen FROM reading WHERE {where}")


def add(oslo: Stack) -> None:
    edge(oslo, "add", SENSOR, "--pen", "pen-1", "--quantity", "salinity", "--unit", "‰", "--low", "28")
    assert f"{SENSOR}" in edge(oslo, "list")


def test_a_device_that_is_set_up_as_the_command_shows_logs_in(oslo: Stack, tmp_path: Path) -> None:
    reading = Reading("pen1-temp", "temperature", 8.5, now_ms())
    sends(told(oslo, "pen1-temp", tmp_path), reading)
    assert eventually(lambda: stored(oslo, reading), 60)
    assert stored(oslo, reading)[0]["pen"] == "pen-1"


def test_a_sensor_that_the_command_adds_restarts_its_readers_alone(oslo: Stack) -> None:
    before, same = oslo.config_file.read_text(), oslo.preview()["same"]
    try:
        add(oslo)
        each = len(READERS)
        assert oslo.preview() == {"same": same - 2 * each, "update": each, "replace": each}
    finally:
        oslo.config_file.write_text(before)


@pytest.mark.long
def test_a_sensor_is_added_by_the_command_and_its_successor_takes_its_place(oslo: Stack, tmp_path: Path) -> None:
    """Deployed: two updates that restart five containers each."""
    before, running = oslo.config_file.read_text(), containers(oslo)
    try:
        add(oslo)
        oslo.up()
        restarted = {name for name, number in containers(oslo).items() if running[name] != number}
        assert restarted == READERS
        reading = Reading(SENSOR, "salinity", 33.5, now_ms())
        sends(told(oslo, SENSOR, tmp_path / "first"), reading)
        assert eventually(lambda: stored(oslo, reading), 60)
        assert stored(oslo, reading)[0]["pen"] == "pen-1"
        deployed = oslo.exported_state()
        successor = Reading(SENSOR, "salinity", 34.5, now_ms())
        sends(told(oslo, SENSOR, tmp_path / "second"), successor)
        assert eventually(lambda: stored(oslo, successor), 60)
        assert oslo.exported_state() == deployed, "nothing was deployed for it"
    finally:
        oslo.config_file.write_text(before)
        oslo.up()
