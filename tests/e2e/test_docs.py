"""What the documents tell a reader to type does what they say."""

import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
import yaml

from config.loader import REGISTRY
from config.registry import load_registry
from lab import hypervisor
from lab.console import LabError
from lab.paths import CHECKOUT
from lab.sensors import Reading, now_ms, on_node, publish, query
from lab.stacks import Stack
from tests.documented import RUN_BY
from tests.e2e.filled_in import fill_in
from tests.e2e.registered import registered
from tests.e2e.waiting import eventually


def lab(command: str, folder: Path = CHECKOUT, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Type a line as on the README's page; its first word is a program."""
    return subprocess.run(
        command.split(),
        cwd=folder,
        env=os.environ | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


#: Its other parts are run by the tests of what they measure.
LESS = {"make bench": " PART=preview"}

EXPECTED = {
    "make node-image": "node.qcow2",
    "make bench": "of the preview",
    ".venv/bin/python -m lab status": "pen1-temp",
    ".venv/bin/python -m lab exec --site oslo pulumi stack output pagePin --show-secrets --stack oslo": r"^\d{6}\n$",
    "pulumi stack output backupKey --stack <site>": "ecdsa-sha2-nistp256 ",
    "pulumi stack output certificateAuthority --stack <site>": "BEGIN CERTIFICATE",
    "pulumi stack output endpoints --stack <site>": '"ssh": *"edge@',
    "pulumi stack output hostKey --stack <site>": "ecdsa-sha2-nistp256 ",
}


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(command, marks=[pytest.mark.long] if command in LESS else [])
        for command, place in RUN_BY.items()
        if place.endswith("_answers")
    ],
)
def test_a_command_of_the_readme_answers(oslo: Stack, command: str) -> None:
    if "destroy" in command:
        done = oslo.shell(command.replace("<site>", "oslo") + " --preview-only")
        assert done.returncode != 0
        assert "protected" in done.stdout + done.stderr
        assert "libvirt:index/domain:Domain" in oslo.exported_state()
    else:
        done = (
            oslo.shell(command.replace("<site>", "oslo"))
            if command.startswith("pulumi")
            else lab(command + LESS.get(command, ""))
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert re.search(EXPECTED.get(command, "telegraf"), done.stdout)


@pytest.mark.parametrize(
    "command",
    [
        "make golden",
        ".venv/bin/python -m config.codeowners",
        "make lock",
        ".venv/bin/pytest tests/config",
        ".venv/bin/ruff format .",
        "make clean",
    ],
)
def test_a_command_does_its_work_in_a_checkout_without_a_lab(copy: Path, command: str) -> None:
    cache = copy.parent / "cache"
    cache.mkdir()
    done = lab(command, copy, FJORD_EDGE_CACHE=str(cache))
    assert done.returncode == 0, done.stdout + done.stderr
    assert cache.exists() == (command != "make clean")
    changed = [
        path.relative_to(copy)
        for path in copy.rglob("*")
        if path.is_file() and not {".venv", ".cache", "__pycache__", ".mypy_cache", ".ruff_cache"} & set(path.parts)
        if path.read_bytes() != (CHECKOUT / path.relative_to(copy)).read_bytes()
    ]
    assert changed == []


@contextmanager
def known_at_headquarters(hq: Stack, **site: dict[str, Any]) -> Iterator[None]:
    """Its registry file is merged and headquarters is deployed; afterwards neither."""
    try:
        with registered(**site):
            hq.up()
            yield
    finally:
        hq.up()


#: A third emulated node on two cores: its deployment was seen to take 12 min.
THREE_NODES_SECONDS = 1800


@dataclass(frozen=True)
class Own(Stack):
    """A site of another team's: of another checkout, and in a backend of its own."""

    copy: Path

    @property
    def config_file(self) -> Path:
        return self.copy / f"Pulumi.{self.name}.yaml"

    @cached_property
    def _environment(self) -> dict[str, str]:
        return super()._environment | own_environment(self.copy)


def own_environment(copy: Path) -> dict[str, str]:
    return {
        "PULUMI_BACKEND_URL": f"file://{copy.parent}/backend",
        "PULUMI_CONFIG_PASSPHRASE_FILE": str(copy.parent / "passphrase"),
    }


Typed = Callable[..., "subprocess.CompletedProcess[str]"]


def another_seed(own: Callable[[], Stack], typed: Typed, hq: Stack, merged: Callable[[], None]) -> None:
    """Its three steps, each deployed: what was stored stays, what the former seed gave opens nothing.

    Headquarters has the site's keys as its registry file says once this is `merged`.
    """

    def done(command: str, answers: str = "") -> str:
        told = typed(command, answers)
        assert told.returncode == 0, told.stdout + told.stderr
        return told.stdout

    def sent(by: Stack) -> Reading:
        reading = Reading("pen1-temp", "temperature", 7.5, now_ms())
        publish(by, reading)
        return reading

    def stored(reading: Reading) -> bool:
        return bool(query(own(), f"SELECT value FROM reading WHERE time = {reading.time}ms"))

    former = own()
    before = sent(former)
    assert eventually(lambda: stored(before), 60)
    done("bin/edge reseed <site>")
    merged()
    assert former.config_file.read_text().count("secure:") == 2
    done("bin/edge reseed <site> --switch")
    done("pulumi up --stack <site>", "--yes --skip-preview")
    merged()
    assert own().seed != former.seed
    assert stored(before), "the data disk is the same"
    seen_by_former = own()
    seen_by_former.__dict__["seed"] = former.seed
    with pytest.raises(LabError, match=r"[Nn]ot authori"):
        sent(seen_by_former)
    after = sent(own())
    assert eventually(lambda: stored(after), 60)
    done("bin/edge reseed <site> --finish")
    assert "unchanged" in done("pulumi up --stack <site>", "--yes --skip-preview")
    on_node(hq, f"ping -n -q -c 1 -w 60 {load_registry(REGISTRY).entries[former.name].address}")


@pytest.mark.long
def test_a_site_of_ones_own_is_deployed_beside_oslo_by_the_readmes_steps(hq: Stack, oslo: Stack, copy: Path) -> None:
    """And then it is given another seed, with which only a deployed site can go on."""
    (copy.parent / "backend").mkdir()
    (copy.parent / "passphrase").write_text("of this test alone")

    def typed(command: str, answers: str = "") -> "subprocess.CompletedProcess[str]":
        assert command in RUN_BY
        line = command.replace("<site>", "alesund").replace("<hypervisor>", str(hypervisor.ADDRESS))
        line = f"{line.replace('<team>', '@alesund')} {answers}"
        return oslo.shell(line, folder=copy, environment=own_environment(copy), limit_seconds=THREE_NODES_SECONDS)

    def merged() -> None:
        (REGISTRY / "alesund.yaml").write_text((copy / "config/mesh/alesund.yaml").read_text())
        hq.up()

    def containers() -> dict[str, str]:
        """As its status tells them; nothing while the node takes too long to answer."""
        return dict(json.loads(typed("bin/edge status <site>", "--json").stdout)["containers"])

    for command in ("ssh-keyscan <hypervisor> >> config/known_hosts", "bin/edge new-site <site> --owner <team>"):
        done = typed(command)
        assert done.returncode == 0, done.stderr
    entry = yaml.safe_load((copy / "config/mesh/alesund.yaml").read_text())
    assert (entry["owner"], entry["address"]) == ("@alesund", "10.100.0.5")
    assert "/Pulumi.alesund.yaml @alesund" in " ".join((copy / ".github/CODEOWNERS").read_text().split())
    refused = typed("pulumi preview --stack <site>")
    assert refused.returncode != 0
    assert "CHANGE-ME" in refused.stdout + refused.stderr
    fill_in(copy / "Pulumi.alesund.yaml", oslo)
    assert typed("bin/edge env <site>").returncode == 0
    accepted = typed("pulumi preview --stack <site>")
    assert accepted.returncode == 0, accepted.stdout + accepted.stderr
    assert re.search(r"\+ \d+ to create", accepted.stdout)
    with known_at_headquarters(hq, alesund=entry):
        try:
            deployed = typed("pulumi up --stack <site>", "--yes --skip-preview")
            assert deployed.returncode == 0, deployed.stdout + deployed.stderr
            on_node(hq, f"ping -n -q -c 1 -w 60 {entry['address']}")
            names = set(on_node(oslo, "docker ps --format '{{.Names}}'").split())
            states = eventually(lambda: (found := containers()).keys() == names and found, 300)
            assert states
            assert [name for name, state in states.items() if not state.startswith("Up ")] == []
            another_seed(lambda: Own("alesund", oslo.toolchain, copy), typed, hq, merged)
        finally:
            destroyed = typed("bin/edge destroy <site>", "--yes")
            deleted = typed("bin/edge delete-data <site>", "--yes")
    assert (destroyed.returncode, deleted.returncode) == (0, 0), destroyed.stderr + deleted.stderr
