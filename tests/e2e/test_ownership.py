"""What is one team's is opened by that team alone, its passphrase and its backend."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from config.loader import PROJECT
from config.registry import load_registry
from edge.site import SECTION
from lab import toolchain
from lab.sensors import on_node
from lab.stacks import Stack
from tests.documented import RUN_BY
from tests.e2e.test_backends import PROGRAM, SECRET
from tests.e2e.test_life import OTHER_KEY
from tests.sites import section

SEED = f"pulumi config get {PROJECT}:{{}} --stack {{}}"


def test_oslo_is_deployed_while_its_passphrase_is_the_only_one(hq: Stack, oslo: Stack) -> None:
    keys = list(oslo.site.node.authorized_keys)
    passphrase = hq.config_file.with_name("passphrase-hq")
    away = passphrase.rename(passphrase.with_name("passphrase-hq.away"))
    try:
        with oslo.edited("node", "authorizedKeys", value=[*keys, OTHER_KEY]):
            oslo.up()
            assert set(oslo.preview()) == {"same"}
            assert on_node(oslo, "cat .ssh/authorized_keys").splitlines() == [*keys, OTHER_KEY]
    finally:
        away.rename(passphrase)
        oslo.up()
    assert on_node(oslo, "cat .ssh/authorized_keys").splitlines() == keys


@pytest.mark.parametrize("line", [SEED.format("seed", "hq"), "pulumi preview --stack hq"])
def test_oslos_passphrase_opens_no_other_site(hq: Stack, oslo: Stack, line: str) -> None:
    refused = oslo.shell(f"{line} --config-file {hq.config_file}")
    assert refused.returncode != 0
    assert "incorrect passphrase" in refused.stderr


Typed = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def typed(copy: Path) -> Typed:
    """What a shell says to a line in a checkout without a lab; the passphrase that it has is a team's."""
    unset = {"PULUMI_BACKEND_URL", "PULUMI_CONFIG_PASSPHRASE"}
    environment = {name: value for name, value in os.environ.items() if name not in unset}
    environment |= toolchain.ensure().environment(copy.parent / "home")
    passphrases = {team: copy.parent / f"passphrase-{team}" for team in ("vest", "nord")}
    (copy.parent / "elsewhere").mkdir()
    for team, file in passphrases.items():
        (copy.parent / team).mkdir()
        file.write_text(f"the words of {team}")

    def run(shell_of: str, line: str, *, team: str = "") -> "subprocess.CompletedProcess[str]":
        places = {
            "<site>": "alesund",
            "<team>": f"@{team}",
            "<file>": str(passphrases.get(team)),
            "<folder>": copy.parent,
        }
        for place, name in places.items():
            line = line.replace(place, str(name))
        return subprocess.run(
            ["bash", "-c", line],
            cwd=copy,
            env=environment | {"PULUMI_CONFIG_PASSPHRASE_FILE": str(passphrases[shell_of])},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def said(done: "subprocess.CompletedProcess[str]") -> str:
    """What it prints; it must not fail."""
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


NEW_SITE = "bin/edge new-site <site> --owner <team>"
ENV = "bin/edge env <site>"
HANDOVER = "bin/edge handover <site> --owner <team> --passphrase-file <file>"
COPY_OF_SEED = "pulumi config get fjord-edge:seed --stack <site>"
PUT_BACK = "pulumi config set --secret fjord-edge:seed --stack <site>"
FORGET = "pulumi stack rm --force --preserve-config --stack <site>"

#: The shell of one who works at the site: it has no backend but the one that the registry tells.
AT_ITS_BACKEND = f'eval "$({ENV})" &&'


def new_site(typed: Typed, copy: Path) -> Path:
    """The stack file of a site that is team vest's."""
    said(typed("vest", f"{NEW_SITE} --backend file://<folder>/vest", team="vest"))
    return copy / "Pulumi.alesund.yaml"


def test_what_is_typed_here_is_what_the_documents_tell() -> None:
    assert {NEW_SITE, ENV, HANDOVER, COPY_OF_SEED, PUT_BACK, FORGET} <= RUN_BY.keys()


def test_a_new_sites_stack_file_tells_an_editor_its_schema_whatever_the_engine_sets_in_it(
    typed: Typed, copy: Path
) -> None:
    stack_file = new_site(typed, copy)
    header = "# yaml-language-server: $schema=config/site.schema.json\n"
    assert "secure: v1:" in stack_file.read_text(), "the engine wrote its seed"
    assert stack_file.read_text().startswith(header)
    said(typed("vest", f"{AT_ITS_BACKEND} pulumi config set --path {SECTION}.node.cpus 7 --stack <site>"))
    assert yaml.safe_load(stack_file.read_text())["config"][SECTION]["node"]["cpus"] == 7
    assert stack_file.read_text().startswith(header)


def test_a_site_whose_passphrase_is_lost_has_its_seed_again_by_its_copy(typed: Typed, copy: Path) -> None:
    """It was deployed before: its state has a secret that nobody can decrypt any more."""
    stack_file, program = new_site(typed, copy), copy / "__main__.py"
    program.write_text(PROGRAM)
    said(typed("vest", f"{AT_ITS_BACKEND} pulumi up --yes --skip-preview --stack <site>"))
    seed = said(typed("vest", f"{AT_ITS_BACKEND} {COPY_OF_SEED} | tee <folder>/seed"))

    def with_another(line: str) -> "subprocess.CompletedProcess[str]":
        return typed("nord", f"{AT_ITS_BACKEND} {line}")

    assert "incorrect passphrase" in with_another(COPY_OF_SEED).stderr
    said(with_another(f"{FORGET} --yes"))
    lines = stack_file.read_text().splitlines(keepends=True)
    stack_file.write_text("".join(line for line in lines if not line.startswith("encryptionsalt:")))
    said(with_another("pulumi stack init <site>"))
    said(with_another(f"{PUT_BACK} <<folder>/seed"))
    assert said(with_another(COPY_OF_SEED)) == seed


def test_a_site_that_was_handed_over_is_its_new_teams_alone(typed: Typed, copy: Path) -> None:
    """It was deployed before: its state has a secret, of a program that makes no resource."""
    stack_file, program = new_site(typed, copy), copy / "__main__.py"
    content = yaml.safe_load(stack_file.read_text())
    content["config"][SECTION] = section("oslo")
    stack_file.write_text(yaml.safe_dump(content))
    own = program.read_text()
    program.write_text(PROGRAM)
    said(typed("vest", f"{AT_ITS_BACKEND} pulumi up --yes --skip-preview --stack <site>"))
    program.write_text(own)

    password, seed, following = (
        "pulumi stack output password --show-secrets --stack <site>",
        SEED.format("seed", "<site>"),
        SEED.format("nextSeed", "<site>"),
    )

    def opened(by: str, what: str, at: str = "nord") -> "subprocess.CompletedProcess[str]":
        return typed(by, f"PULUMI_BACKEND_URL=file://<folder>/{at} {what}")

    def refused(*words: str) -> str:
        done = opened(*words)
        assert done.returncode != 0
        return done.stdout + done.stderr

    former, former_seed = stack_file.read_text(), said(opened("vest", seed, "vest"))
    assert said(opened("vest", password, "vest")).strip() == SECRET

    said(typed("vest", f"{AT_ITS_BACKEND} {HANDOVER} --backend file://<folder>/nord", team="nord"))
    assert load_registry(copy / "config" / "mesh").entries["alesund"].owner == "@nord"
    assert said(typed("nord", f"{AT_ITS_BACKEND} {password}")).strip() == SECRET
    assert said(opened("nord", seed)) == former_seed
    assert said(opened("nord", following)) != former_seed
    for what in (password, seed, following):
        assert "incorrect passphrase" in refused("vest", what)
    said(opened("nord", "pulumi stack init --no-select <site>", "elsewhere"))
    assert "PULUMI_BACKEND_URL is another" in refused("nord", "pulumi preview --stack <site>", "elsewhere")
    # What the former team remembers of the stack file opens the former seed alone: the state was encrypted anew.
    stack_file.write_text(former)
    assert said(opened("vest", seed)) == former_seed
    assert "incorrect passphrase" in refused("vest", password)
