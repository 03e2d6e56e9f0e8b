import argparse
import base64
import copy
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from config.derive import Seed, certificate_authority, identity_key, server_certificate, summary_account
from config.loader import PROJECT, REGISTRY, example_passphrase
from config.registry import load_registry
from edge import scan
from edge.__main__ import main
from edge.recorder.recording import Registered, Secret
from edge.site import Site
from lab.paths import CHECKOUT
from tests.edge.salts import EMPTY, OF_A_TEAM
from tests.edge.world import World
from tests.recording import committed
from tests.sites import SEED, STACKS, section, seed_text, site_section

SALT = yaml.safe_load((CHECKOUT / "Pulumi.oslo.yaml").read_text())["encryptionsalt"]
PEERS = scan.identity_keys(load_registry(REGISTRY), "oslo")
SECRETS = scan.derived(SEED, "oslo", site_section("oslo"), PEERS)


def in_state(value: Any) -> Any:
    """A recorded value as the engine writes it into the state: a secret is ciphertext."""
    match value:
        case Secret():
            return {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270", "ciphertext": "v1:a:b"}
        case dict():
            return {key: in_state(item) for key, item in value.items()}
        case list():
            return [in_state(item) for item in value]
        case _:
            return value


def state(stack: str) -> dict[str, Any]:
    def entry(each: Registered) -> dict[str, Any]:
        return {"urn": f"urn:pulumi:{stack}::fjord-edge::{each.reference}", "inputs": in_state(dict(each.inputs))}

    providers = {"type": "passphrase", "state": {"salt": OF_A_TEAM}}
    resources = [entry(each) for each in committed(stack).registered]
    return copy.deepcopy({"version": 3, "deployment": {"secrets_providers": providers, "resources": resources}})


def leaky(**inputs: str) -> dict[str, Any]:
    exported = state("oslo")
    [tunnel] = [each for each in exported["deployment"]["resources"] if each["urn"].endswith("::oslo-tunnel")]
    tunnel["inputs"] |= inputs
    return exported


@pytest.mark.parametrize("stack", STACKS)
def test_the_state_of_a_committed_stack_shows_nothing(stack: str) -> None:
    peers = scan.identity_keys(load_registry(REGISTRY), stack)
    assert scan.in_the_clear(state(stack), scan.derived(SEED, stack, site_section(stack), peers)) == []


@pytest.mark.parametrize("what", SECRETS)
def test_each_secret_of_a_site_is_found_where_it_is(what: str) -> None:
    assert ("oslo-tunnel.inputs.create", what) in scan.in_the_clear(leaky(create=f"x{SECRETS[what]}y"), SECRETS)


def test_the_password_at_headquarters_is_the_one_that_both_ends_make() -> None:
    registry = load_registry(REGISTRY)
    own = {name: identity_key(SEED, name, 1) for name in ("hq", "oslo")}
    account = summary_account("oslo", own["oslo"], own["hq"].public)
    assert account == summary_account("oslo", own["hq"], own["oslo"].public)
    assert (
        scan.derived(SEED, "oslo", site_section("oslo"), {"oslo": own["hq"].public})["summaries of oslo"] == account[1]
    )
    assert scan.identity_keys(registry, "hq").keys() == registry.entries.keys() - {"hq"}


def test_a_secret_in_an_archive_is_found() -> None:
    archive = base64.b64encode(f"\xff{SECRETS['tunnel key']}".encode("latin-1")).decode()
    assert scan.in_the_clear(leaky(stdin=archive), SECRETS) == [("oslo-tunnel.inputs.stdin", "tunnel key")]


@pytest.mark.parametrize(
    "inputs",
    [
        {"create": "-----BEGIN EC PRIVATE KEY-----"},
        {"stdin": base64.b64encode(b"-----BEGIN OPENSSH PRIVATE KEY-----").decode()},
        {"create": f'"privateKey": "{SECRETS["tunnel key"]}"'},
        {"password": "abc"},
        {"privateKey": "abc"},
        {"apiToken": "abc"},
    ],
)
def test_without_the_seed_what_looks_like_a_secret_is_found(inputs: dict[str, str]) -> None:
    [(where, what)] = scan.in_the_clear(leaky(**inputs), {})
    assert where == f"oslo-tunnel.inputs.{next(iter(inputs))}"
    assert what == "looks like a secret"


def test_a_state_is_read_by_its_passphrase_only() -> None:
    assert scan.opens(SALT, example_passphrase("oslo"))
    assert not scan.opens(SALT, "")


def test_a_state_with_an_empty_passphrase_or_none_at_all_is_reported() -> None:
    exported = state("oslo")
    assert scan.unencrypted(exported) == []
    exported["deployment"]["secrets_providers"]["state"]["salt"] = SALT
    assert scan.unencrypted(exported, allow_published=True) == []
    assert "published one of the example oslo" in scan.unencrypted(exported)[0][1]
    exported["deployment"]["secrets_providers"]["state"]["salt"] = EMPTY
    assert "empty" in scan.unencrypted(exported)[0][1]
    exported["deployment"]["secrets_providers"] = {"type": "b64"}
    assert scan.unencrypted(exported)[0][1].startswith("b64;")
    del exported["deployment"]["secrets_providers"]
    assert scan.unencrypted(exported)[0][1].startswith("none;")


@pytest.fixture
def seeded(stack_file: str) -> str:
    """The same with an encrypted seed."""
    path = Path(stack_file.partition("=")[2])
    content = yaml.safe_load(path.read_text())
    content["config"][f"{PROJECT}:seed"] = {"secure": "v1:x"}
    path.write_text(yaml.safe_dump(content))
    return stack_file


def test_the_command_says_where_and_never_what(world: World, seeded: str, capsys: pytest.CaptureFixture[str]) -> None:
    world.answer("pulumi", seed_text(), to="get")
    world.answer("pulumi", json.dumps(state("oslo")))
    assert main(["scan", "oslo", seeded]) == 0
    assert capsys.readouterr().out == "no secret of oslo is in the clear, and its state is encrypted\n"
    world.answer("pulumi", json.dumps(leaky(password="abc-the-password")))
    assert main(["scan", "oslo", seeded]) == 1
    told = capsys.readouterr().out
    assert "oslo-tunnel.inputs.password  looks like a secret" in told
    assert "abc-the-password" not in told


UNSEEN = "not looked for: the seed of oslo, and the keys and passwords that it gives\n"


def test_a_seed_that_the_engine_does_not_decrypt_leaves_the_look_which_is_not_all(
    world: World, seeded: str, capsys: pytest.CaptureFixture[str]
) -> None:
    world.answer("pulumi", json.dumps(state("oslo")))
    world.refuse("pulumi", "config get", "error: incorrect passphrase", 255)
    assert main(["scan", "oslo", seeded]) == 1
    told = capsys.readouterr().out
    assert told.startswith("searched by its look alone: pulumi config get fjord-edge:seed of oslo: error: incorrect")
    assert told.endswith(UNSEEN)
    assert "no secret" not in told
    world.answer("pulumi", json.dumps(leaky(password="abc-the-password")))
    assert main(["scan", "oslo", seeded]) == 1
    assert f"oslo-tunnel.inputs.password  looks like a secret\n{UNSEEN}" in capsys.readouterr().out


def test_a_stack_file_without_a_seed_leaves_the_look_too(
    world: World, stack_file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    world.answer("pulumi", json.dumps(state("oslo")))
    assert main(["scan", "oslo", stack_file]) == 1
    assert capsys.readouterr().out == f"searched by its look alone: Pulumi.oslo.yaml has no seed\n{UNSEEN}"


def test_a_state_that_the_backend_does_not_tell_is_no_empty_one(
    world: World, stack_file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    world.answer("pulumi", "error: connection refused", 255)
    assert main(["scan", "oslo", stack_file]) == 1
    assert "pulumi stack export of oslo" in capsys.readouterr().err


def test_what_the_seeds_before_and_after_give_is_looked_for_too(world: World, tmp_path: Path) -> None:
    keys = ("seed", "nextSeed", "formerSeed")
    seeds = {key: base64.b64encode(bytes([number]) * 32).decode() for number, key in enumerate(keys)}
    content = {f"{PROJECT}:{key}": {"secure": "v1:a:b"} for key in seeds} | {f"{PROJECT}:site": section("oslo")}
    path = tmp_path / "Pulumi.oslo.yaml"
    path.write_text(yaml.safe_dump({"config": content}))
    for key, seed in seeds.items():
        world.answer("pulumi", seed, to=f"{PROJECT}:{key}")
    former = scan.derived(Seed.parse(seeds["formerSeed"]), "oslo", site_section("oslo"))["tunnel key"]
    found, without = scan.known(Site.of(argparse.Namespace(site="oslo", config_file=path)))
    assert without == ""
    assert found["former seed's tunnel key"] == former
    assert found["next seed's seed"] == seeds["nextSeed"]


def test_the_keys_that_have_certificates_are_known() -> None:
    life = site_section("oslo").iot
    assert life
    days: Any = {"not_before": life.certificates.not_before, "not_after": life.certificates.not_after}
    authority = certificate_authority(SEED, "oslo", 1, **days)
    server = server_certificate(SEED, "oslo", 1, authority=authority, names=["any"], addresses=[], **days)
    assert SECRETS["mqtt-ca key"] in authority.private
    assert SECRETS["mqtt-server key"] in server.private
    assert SECRETS["mqtt-ca key"] not in server.private
    assert {"page-ca key", "page-server key"} < SECRETS.keys()
