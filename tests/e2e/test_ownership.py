"""What is one team's is opened by that team alone, its passphrase and its backend."""

from pathlib import Path

import pytest

from config.loader import PROJECT
from config.registry import load_registry
from lab.stacks import Stack
from tests.e2e.filled_in import fill_in

SEED = f"pulumi config get {PROJECT}:{{}} --stack {{}}"


def test_oslo_is_deployed_while_its_passphrase_is_the_only_one(hq: Stack, oslo: Stack) -> None:
    passphrase = hq.config_file.with_name("passphrase-hq")
    away = passphrase.rename(passphrase.with_name("passphrase-hq.away"))
    try:
        oslo.up()
        assert set(oslo.preview()) == {"same"}
    finally:
        away.rename(passphrase)


@pytest.mark.parametrize("line", [SEED.format("seed", "hq"), "pulumi preview --stack hq"])
def test_oslos_passphrase_opens_no_other_site(hq: Stack, oslo: Stack, line: str) -> None:
    refused = oslo.shell(f"{line} --config-file {hq.config_file}")
    assert refused.returncode != 0
    assert "incorrect passphrase" in refused.stderr


def test_a_site_that_was_handed_over_is_its_new_teams_alone(oslo: Stack, copy: Path) -> None:
    teams = {}
    for team in ("vest", "nord"):
        backend, passphrase = copy.parent / team, copy.parent / f"passphrase-{team}"
        backend.mkdir()
        passphrase.write_text(f"the words of {team}")
        teams[team] = {"PULUMI_BACKEND_URL": f"file://{backend}", "PULUMI_CONFIG_PASSPHRASE_FILE": str(passphrase)}

    def typed(line: str, team: str, *, backend_of: str = "") -> tuple[int, str]:
        backend = {"PULUMI_BACKEND_URL": teams[backend_of or team]["PULUMI_BACKEND_URL"]}
        done = oslo.shell(line, folder=copy, environment=teams[team] | backend)
        return done.returncode, done.stdout + done.stderr

    status, told = typed(f"bin/edge new-site alesund --owner @vest --backend file://{copy.parent}/vest", "vest")
    assert status == 0, told
    fill_in(copy / "Pulumi.alesund.yaml", oslo)
    _, seed = typed(SEED.format("seed", "alesund"), "vest")
    taken = f"--owner @nord --backend file://{copy.parent}/nord --passphrase-file {copy.parent}/passphrase-nord"
    status, told = typed(f"bin/edge handover alesund {taken}", "vest")
    assert status == 0, told
    assert load_registry(copy / "config" / "mesh").entries["alesund"].owner == "@nord"
    assert typed(SEED.format("seed", "alesund"), "nord") == (0, seed)
    assert typed(SEED.format("nextSeed", "alesund"), "nord")[0] == 0
    status, told = typed(SEED.format("nextSeed", "alesund"), "vest", backend_of="nord")
    assert status != 0
    assert "incorrect passphrase" in told
    status, told = typed("pulumi preview --stack alesund", "nord", backend_of="vest")
    assert status != 0
    assert "PULUMI_BACKEND_URL is another" in told
