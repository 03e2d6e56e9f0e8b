"""The page of a site that runs: TLS by the site's authority, values as they come, acknowledgement by the PIN."""

import json
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from config import derive
from lab import hypervisor
from lab.sensors import Reading, now_ms, publish
from lab.stacks import Stack
from tests.e2e.test_alarms import LOW, oxygen
from tests.e2e.waiting import eventually

PIN = "pulumi stack output pagePin --show-secrets --stack <site>"


@pytest.fixture
def authority(oslo: Stack, tmp_path: Path) -> Path:
    file = tmp_path / "ca.crt"
    file.write_text(oslo.outputs["certificateAuthority"])
    return file


def ask(oslo: Stack, authority: Path, path: str, *words: str, stdin: str = "") -> tuple[int, str]:
    """Status and body of what curl is answered from the farm's side of the hypervisor."""
    url = f"https://{oslo.site.node.network.address.ip}{path}"
    options = (
        "--silent",
        "--show-error",
        "--max-time",
        "20",
        "--cacert",
        str(authority),
        "--write-out",
        r"\n%{http_code}",
    )
    command = hypervisor.operator_command(["curl", *options, *words, url])
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    body, _, status = done.stdout.rpartition("\n")
    return int(status), body


def state(oslo: Stack, authority: Path) -> Any:
    status, body = ask(oslo, authority, "/api/state")
    assert status == 200
    return json.loads(body)


def acknowledge(oslo: Stack, authority: Path, pin: str) -> int:
    """The PIN is on no command line."""
    words = ("--header", "Content-Type: application/json", "--data", "@-")
    return ask(oslo, authority, "/api/acknowledge", *words, stdin=json.dumps({"topic": LOW, "pin": pin}))[0]


def shown(oslo: Stack, authority: Path, sensor: str) -> Any:
    """The last value of a sensor's first quantity."""
    sensors = [each for pen in state(oslo, authority)["pens"] for each in pen["sensors"]]
    [found] = [each for each in sensors if each["id"] == sensor]
    return found["quantities"][0]["value"]


def alarm(oslo: Stack, authority: Path) -> Any:
    """The alarm of low oxygen in pen 2, if it is raised."""
    return next((each for each in state(oslo, authority)["alarms"] if each["topic"] == LOW), None)


def test_the_page_shows_what_a_sensor_said_a_moment_ago(oslo: Stack, authority: Path) -> None:
    status, body = ask(oslo, authority, "/")
    assert (status, body.splitlines()[0]) == (200, "<!doctype html>")
    value = 7 + now_ms() % 1000 / 1000
    publish(oslo, Reading("pen1-temp", "temperature", value, now_ms()))
    assert eventually(lambda: shown(oslo, authority, "pen1-temp") == value, 10)


def test_an_alarm_is_acknowledged_by_the_pin_that_the_stack_tells_and_by_no_other(oslo: Stack, authority: Path) -> None:
    told = oslo.shell(PIN.replace("<site>", "oslo"))
    assert told.returncode == 0, told.stderr
    pin = told.stdout.strip()
    assert pin == derive.page_pin(oslo.seed, "oslo", oslo.site.epochs.passwords)
    oxygen(oslo, 6.0)
    try:
        assert eventually(lambda: alarm(oslo, authority), 60)
        assert acknowledge(oslo, authority, f"{(int(pin) + 1) % 10**6:06}") == 403
        assert alarm(oslo, authority)["acknowledged"] is None
        time.sleep(2)  # a wrong PIN makes the next one wait
        assert acknowledge(oslo, authority, pin) == 204
        assert eventually(lambda: alarm(oslo, authority)["acknowledged"], 10)
    finally:
        oxygen(oslo, 9.0)
    assert eventually(lambda: alarm(oslo, authority) is None, 30)
