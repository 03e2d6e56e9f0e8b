"""A site's shell, and a site that passes to another team; with the real engine in tests/e2e/test_ownership.py."""

import json
import os
import subprocess
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest
import yaml

from config.derive import Seed, ssh_host_key
from config.loader import PROJECT, example_passphrase
from config.registry import load_registry
from edge.__main__ import main
from edge.reseed import consequences
from edge.site import SECTION, Site
from tests.edge.salts import OF_FORMER
from tests.edge.world import OUTPUTS, World
from tests.sites import edited, entries, section, seed_text, write_registry

BACKEND = "s3://havbruk?region=eu-north-1&profile=vest"
PASSPHRASE = "hemmelig-setning"


def owned_by_others(checkout: Path, **changed: Any) -> None:
    files = entries()
    files["oslo"] |= changed
    write_registry(checkout / "config/mesh", files)


# The shell


def test_a_shell_gets_the_backend_as_it_is_written(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    owned_by_others(checkout, backend=BACKEND)
    assert main(["env", "oslo"]) == 0
    lines = capsys.readouterr().out
    done = subprocess.run(
        ["sh", "-c", f'{lines}printf %s "$PULUMI_BACKEND_URL"'], capture_output=True, text=True, check=True
    )
    assert done.stdout == BACKEND


def test_the_shell_of_one_site_does_not_stay_anothers(
    checkout: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    files = entries()
    files["hq"]["backend"] = BACKEND
    write_registry(checkout / "config/mesh", files)
    monkeypatch.setenv("PULUMI_BACKEND_URL", BACKEND)
    assert main(["env", "oslo"]) == 0
    out, err = capsys.readouterr()
    assert out == "unset PULUMI_BACKEND_URL\n"
    assert "names no backend: it is the one of pulumi login" in err


@pytest.mark.usefixtures("checkout")
def test_a_backend_that_somebody_gave_the_shell_stays(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PULUMI_BACKEND_URL", "file:///srv/states")
    assert main(["env", "oslo"]) == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert "names no backend: it is file:///srv/states" in err


@pytest.mark.usefixtures("checkout")
def test_a_shell_is_told_where_a_passphrase_goes_and_given_none(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", PASSPHRASE)
    assert main(["env", "oslo"]) == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert "PULUMI_CONFIG_PASSPHRASE_FILE" in err
    assert PASSPHRASE not in err


def test_a_shell_is_told_the_provider_that_decrypts(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = checkout / "Pulumi.oslo.yaml"
    file.write_text(file.read_text() + "secretsprovider: awskms://alias/vest\n")
    assert main(["env", "oslo"]) == 0
    assert "decrypted by awskms://alias/vest, with your own login" in capsys.readouterr().err


def test_the_shell_of_a_site_that_is_not_filled_in_is_told(checkout: Path) -> None:
    content = {"config": {f"{PROJECT}:site": {"node": "CHANGE-ME all of it"}}}
    (checkout / "Pulumi.oslo.yaml").write_text(yaml.safe_dump(content))
    assert main(["env", "oslo"]) == 0


def test_a_site_that_the_registry_does_not_know_has_no_shell(
    checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (checkout / "config/mesh/oslo.yaml").unlink()
    assert main(["env", "oslo"]) == 1
    assert "config/mesh has no oslo.yaml" in capsys.readouterr().err


# The shell is another's


@pytest.mark.parametrize("words", [["scan", "oslo"], ["destroy", "oslo", "--yes", "--force"]])
def test_a_state_is_where_the_registry_says_whatever_the_shell_names(
    world: World, checkout: Path, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    owned_by_others(checkout, backend=BACKEND)
    monkeypatch.setenv("PULUMI_BACKEND_URL", "file:///srv/former-copies")
    main(words)
    assert {at for at, _ in world.backends} == {BACKEND}


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        (["scan", "oslo"], "stack export of oslo"),
        (["drift", "oslo"], "stack export of oslo"),
        (["key", "oslo"], f"config get {PROJECT}:seed of oslo"),
        (["reseed", "oslo"], "config set of oslo"),
    ],
)
@pytest.mark.usefixtures("checkout")
def test_an_engine_that_refuses_is_told_with_where_it_looked_and_the_way_to_the_right_shell(
    world: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, words: list[str], asked: str
) -> None:
    monkeypatch.setenv("PULUMI_BACKEND_URL", BACKEND)
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE_FILE", "/run/secrets/<site>")
    world.answer("pulumi", seed_text(), to="get")
    world.answer("pulumi", json.dumps(OUTPUTS), to="output")
    world.refuse("pulumi", asked.partition(" of ")[0], "error: incorrect passphrase")
    assert main(words) == 1
    said = capsys.readouterr().err
    assert said.endswith(
        f"pulumi {asked}: error: incorrect passphrase\n"
        f"The backend asked was {BACKEND}; the passphrase is the one in /run/secrets/oslo. "
        'The shell of oslo: eval "$(bin/edge env oslo)"\n'
    )


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        (["drift", "oslo"], "refresh"),
        (["preview", "oslo"], "preview"),
        (["reseed", "oslo"], "config set"),
        (["destroy", "oslo", "--yes"], "destroy"),
    ],
)
@pytest.mark.usefixtures("checkout")
def test_one_shell_has_a_file_of_a_passphrase_for_each_site(
    world: World, monkeypatch: pytest.MonkeyPatch, words: list[str], asked: str
) -> None:
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE_FILE", "/run/secrets/<site>")
    world.answer("pulumi", seed_text(), to="get")
    world.answer("pulumi", json.dumps({"deployment": {}}), to="export")
    world.answer("pulumi", json.dumps({"steps": []}), to="preview")
    main(words)
    assert "/run/secrets/oslo" in [file for file, line in world.passphrases if line.startswith(f"pulumi {asked} ")]


def test_a_refused_reseed_names_the_backend_that_was_asked(
    world: World, checkout: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    owned_by_others(checkout, backend=BACKEND)
    monkeypatch.setenv("PULUMI_BACKEND_URL", "file:///srv/former-copies")
    world.refuse("pulumi", "config set")
    assert main(["reseed", "oslo"]) == 1
    assert f"The backend asked was {BACKEND}" in capsys.readouterr().err


@pytest.mark.usefixtures("checkout")
def test_drift_with_another_sites_passphrase_sends_nobody_to_the_hypervisor(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = "error: getting stack configuration: get stack secrets manager: incorrect passphrase"
    world.answer("pulumi", json.dumps({"deployment": {}}), to="export")
    world.answer("ssh", "", 255)
    world.refuse("pulumi", "refresh", wrong)
    assert main(["drift", "oslo", "--json"]) == 1
    told = json.loads(capsys.readouterr().out)["unseen"][-1]
    assert told.startswith(f"pulumi refresh of oslo: {wrong}\nThe backend asked was ")
    assert "edge doctor" not in told


# Another team


@pytest.mark.usefixtures("checkout")
def test_a_handover_decrypts_by_the_file_that_stands_for_the_site(
    world: World, passphrase_file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE_FILE", "/run/secrets/<site>")
    assert handed_over(passphrase_file) == 0
    asked = {line.split()[2]: file for file, line in world.passphrases}
    assert asked["change-secrets-provider"] == "/run/secrets/oslo"


def test_a_site_is_not_handed_over_with_the_passphrase_that_it_had(
    world: World,
    checkout: Path,
    passphrase_file: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = checkout / "Pulumi.oslo.yaml"
    before, new = file.read_text(), Path(passphrase_file.partition("=")[2])
    (checkout / "oslo").write_text(f"{PASSPHRASE}\n")
    for name, value in (
        ("PULUMI_CONFIG_PASSPHRASE", PASSPHRASE),
        ("PULUMI_CONFIG_PASSPHRASE_FILE", str(new)),
        ("PULUMI_CONFIG_PASSPHRASE_FILE", f"{checkout}/<site>"),
    ):
        with monkeypatch.context() as shell:
            shell.setenv(name, value)
            assert handed_over(passphrase_file) == 1
    # The shell has none, and the engine its own login: the stack file tells.
    new.write_text("fjord-former")
    file.write_text(f"{before}encryptionsalt: {OF_FORMER}\n")
    assert handed_over(passphrase_file) == 1
    told = f"edge: {new} holds the passphrase that oslo has now, which the former team knows; write another there. "
    assert [line.startswith(told) for line in capsys.readouterr().err.splitlines()] == [True] * 4
    assert world.asked == []
    new.write_text(PASSPHRASE)
    assert handed_over(passphrase_file) == 0


@pytest.mark.usefixtures("checkout")
def test_a_shell_whose_passphrase_nobody_can_read_is_the_engines_to_judge(
    passphrase_file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE_FILE", "/nowhere")
    assert handed_over(passphrase_file) == 0


@pytest.mark.usefixtures("checkout")
def test_a_site_is_not_handed_over_with_an_examples_passphrase(
    world: World, passphrase_file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path(passphrase_file.partition("=")[2]).write_text(f"{example_passphrase('bergen')}\n")
    assert handed_over(passphrase_file) == 1
    assert "holds the published passphrase of an example; write another there" in capsys.readouterr().err
    assert world.asked == []


@pytest.fixture
def passphrase_file(tmp_path: Path, world: World) -> str:
    """The new team's passphrase; the engine decrypts with whatever it has."""
    world.answer("pulumi", seed_text())
    path = tmp_path / "passphrase"
    path.write_text(f"{PASSPHRASE}\n")
    return f"--passphrase-file={path}"


def handed_over(*words: str) -> int:
    return main(["handover", "oslo", "--owner", "@havbruk-nord", *words])


def steps(world: World) -> list[str]:
    return [" ".join(asked.split()[1:3]) for asked in world.asked]


def test_a_handover_encrypts_anew_before_the_next_seed_is_made(
    world: World, checkout: Path, passphrase_file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    owned_by_others(checkout, approvers=["@havbruk-vest/hms"])
    assert handed_over(passphrase_file) == 0
    assert steps(world)[:2] == ["stack change-secrets-provider", "config set"]
    assert world.asked[0].endswith("change-secrets-provider passphrase --stack oslo --non-interactive")
    assert world.asked[1].startswith(f"pulumi config set --secret {PROJECT}:nextSeed ")
    entry = load_registry(checkout / "config/mesh").entries["oslo"]
    assert (entry.owner, entry.approvers) == ("@havbruk-nord", ())
    assert entry.next_tunnel_key is not None
    assert "/Pulumi.oslo.yaml      @havbruk-nord\n" in (checkout / ".github/CODEOWNERS").read_text()
    assert capsys.readouterr().out.endswith("then: edge reseed oslo --switch\n")


def test_a_switch_says_what_people_must_do_at_their_site(checkout: Path) -> None:
    def said(**sections: object) -> str:
        content = {"config": {SECTION: {**section("oslo"), **sections}}}
        (checkout / "Pulumi.oslo.yaml").write_text(yaml.safe_dump(content))
        return consequences(Site.of(Namespace(site="oslo", config_file=checkout / "Pulumi.oslo.yaml")))

    assert said(backup=None).endswith("its data stays, and every sensor needs its new password")
    assert said().endswith("until its new key is let in where they go (pulumi stack output backupKey --stack oslo)")


def test_headquarters_is_deployed_by_the_name_that_it_has(
    checkout: Path, passphrase_file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    registry = checkout / "config/mesh"
    (registry / "hq.yaml").rename(registry / "kontoret.yaml")
    assert handed_over(passphrase_file) == 0
    assert "deploy headquarters (pulumi up --stack kontoret), then: edge reseed" in capsys.readouterr().out


@pytest.mark.usefixtures("checkout")
def test_the_new_passphrase_travels_by_standard_input_and_holds_from_then_on(
    world: World,
    passphrase_file: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "the-former-teams")
    program = world.folder / "pulumi"
    shown = f'printf \'%s|%s\\n\' "$PULUMI_CONFIG_PASSPHRASE" "$PULUMI_CONFIG_PASSPHRASE_FILE" >> {world.folder}/seen\n'
    keep = f"cp {world.folder}/stdin-pulumi {world.folder}/stdin-$2\n"
    lines = program.read_text().splitlines(keepends=True)
    program.write_text("".join([*lines[:3], shown, keep, *lines[3:]]))
    assert handed_over(passphrase_file) == 0
    file = passphrase_file.partition("=")[2]
    seen = (world.folder / "seen").read_text().splitlines()
    assert (seen[0], set(seen[1:])) == ("the-former-teams|", {f"|{file}"})
    assert (world.folder / "stdin-change-secrets-provider").read_text() == PASSPHRASE
    assert PASSPHRASE not in "".join(world.asked) + "".join(capsys.readouterr())
    assert "PULUMI_CONFIG_PASSPHRASE" not in os.environ


def test_the_state_is_copied_to_the_new_teams_backend_first(
    world: World, checkout: Path, passphrase_file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    owned_by_others(checkout, backend="file:///srv/former")
    assert handed_over(passphrase_file, "--backend", BACKEND) == 0
    told = ["whoami --output", "stack export", "stack select", "stack import", "stack change-secrets-provider"]
    assert steps(world)[:5] == told
    assert load_registry(checkout / "config/mesh").entries["oslo"].backend == BACKEND
    said = capsys.readouterr().out
    assert 'eval "$(bin/edge env oslo)"' in said
    assert f"PULUMI_BACKEND_URL=file://{world.folder} pulumi stack rm " in said, "only the former copy is removed"


def test_a_team_with_a_provider_of_its_own_needs_no_passphrase(world: World, checkout: Path) -> None:
    world.answer("pulumi", seed_text())
    assert handed_over("--secrets-provider", "awskms://alias/nord") == 0
    assert world.asked[0].startswith("pulumi stack change-secrets-provider awskms://alias/nord --stack oslo")
    assert load_registry(checkout / "config/mesh").entries["oslo"].owner == "@havbruk-nord"


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ([], "a passphrase needs its file"),
        (["--secrets-provider=awskms://a", "{file}"], "a passphrase needs its file"),
        (["--passphrase-file=/nowhere"], "/nowhere holds no passphrase"),
        (["{file}", "--approver", "kari"], "no team of the forge's"),
        (["{file}", "--backend", "states"], "not an address that `pulumi login` takes"),
    ],
)
def test_a_handover_with_a_mistake_changes_nothing(
    world: World, checkout: Path, passphrase_file: str, capsys: pytest.CaptureFixture[str], words: list[str], why: str
) -> None:
    before = (checkout / "config/mesh/oslo.yaml").read_text()
    assert handed_over(*(word.replace("{file}", passphrase_file) for word in words)) == 1
    assert why in capsys.readouterr().err
    assert world.asked == []
    assert (checkout / "config/mesh/oslo.yaml").read_text() == before


def test_a_site_whose_seed_is_being_changed_is_not_handed_over(
    world: World, checkout: Path, passphrase_file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = checkout / "Pulumi.oslo.yaml"
    content = edited(yaml.safe_load(file.read_text()), "config", f"{PROJECT}:nextSeed", value={"secure": "v1:…"})
    file.write_text(yaml.safe_dump(content))
    assert handed_over(passphrase_file) == 1
    assert "go on with --switch or --finish" in capsys.readouterr().err
    assert world.asked == []


def test_a_provider_that_refuses_leaves_the_site_its_owners(
    world: World, checkout: Path, passphrase_file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (checkout / "config/mesh/oslo.yaml").read_text()
    world.refuse("pulumi", "stack change-secrets-provider")
    assert handed_over(passphrase_file) == 1
    said = capsys.readouterr().err
    assert said.startswith("edge: pulumi stack change-secrets-provider of oslo: error: refused\n")
    assert 'The shell of oslo: eval "$(bin/edge env oslo)"' in said
    assert (checkout / "config/mesh/oslo.yaml").read_text() == before


def test_a_site_without_a_registry_file_is_told_and_not_handed_over(
    world: World, checkout: Path, passphrase_file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (checkout / "config/mesh/oslo.yaml").unlink()
    assert handed_over(passphrase_file) == 1
    assert "config/mesh has no oslo.yaml; bring it back, or write it: edge key oslo --write" in capsys.readouterr().err
    assert world.asked == []


def test_a_handover_that_stopped_on_the_way_says_how_to_go_on_and_then_does(
    world: World,
    checkout: Path,
    passphrase_file: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    former = f"file://{world.folder}"
    owned_by_others(checkout, backend=former)
    monkeypatch.setenv("PULUMI_BACKEND_URL", former)
    world.refuse("pulumi", "config set")
    assert handed_over(passphrase_file, "--backend", BACKEND) == 1
    said = capsys.readouterr().err
    assert "pulumi config set of oslo: error: refused\n" in said
    assert f"The former state's copy is still at {former}." in said
    shell = said.rpartition("hand over again with the same words and --go-on, in the new team's shell: ")[2]
    file = passphrase_file.partition("=")[2]
    assert shell.startswith(f"export PULUMI_BACKEND_URL='{BACKEND}'; export PULUMI_CONFIG_PASSPHRASE_FILE={file}; ")
    assert load_registry(checkout / "config/mesh").entries["oslo"].owner != "@havbruk-nord"
    world.refuse("pulumi", "nothing")
    (world.folder / "asked").unlink()
    monkeypatch.setenv("PULUMI_BACKEND_URL", BACKEND)
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE_FILE", file)
    assert handed_over(passphrase_file, "--backend", BACKEND, "--go-on") == 0
    assert steps(world)[0] == "stack change-secrets-provider"
    assert "stack rm" not in capsys.readouterr().out, "the state is at its new place, and is no copy"
    entry = load_registry(checkout / "config/mesh").entries["oslo"]
    assert (entry.owner, entry.backend) == ("@havbruk-nord", BACKEND)


@pytest.mark.usefixtures("checkout")
def test_a_reseed_that_cannot_write_the_registry_leaves_no_next_seed(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.answer("pulumi", "no seed")
    assert main(["reseed", "oslo"]) == 1
    assert "edge: Pulumi.oslo.yaml: fjord-edge:seed: " in capsys.readouterr().err
    assert steps(world)[-1] == "config rm"
    assert f" {PROJECT}:nextSeed " in world.asked[-1]


# The end of a reseed


@pytest.mark.parametrize("deployed", [True, False])
def test_the_former_seed_goes_once_a_node_was_updated_by_the_new_one(
    world: World, checkout: Path, capsys: pytest.CaptureFixture[str], deployed: bool
) -> None:
    file = checkout / "Pulumi.oslo.yaml"
    content = edited(yaml.safe_load(file.read_text()), "config", f"{PROJECT}:formerSeed", value={"secure": "v1:…"})
    file.write_text(yaml.safe_dump(content))
    world.answer("pulumi", seed_text(), to="get")
    generation = section("oslo")["node"].get("generation", 1)
    host_key = ssh_host_key(Seed.parse(seed_text()), "oslo", generation).public
    world.answer("pulumi", json.dumps(OUTPUTS | ({"hostKey": host_key} if deployed else {})), to="output")
    assert main(["reseed", "oslo", "--finish"]) == (0 if deployed else 1)
    removed = [asked for asked in world.asked if asked.startswith(f"pulumi config rm {PROJECT}:formerSeed")]
    assert len(removed) == deployed
    if not deployed:
        assert "oslo's last update was not by this seed" in capsys.readouterr().err
