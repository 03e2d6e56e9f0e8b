"""A new site's files, on an engine that answers as told; with the real one in tests/e2e/test_docs.py."""

import base64
import json
import re
import subprocess
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any, Literal

import pytest
import yaml

from config.base import FILL_IN, ConfigError, to_fill_in
from config.derive import Seed, wireguard_key
from config.iot import Iot
from config.loader import PROJECT, OnHypervisor, StackConfig, assemble, parse_section
from config.registry import load_registry
from config.site import SiteSection
from edge.__main__ import main
from edge.new_site import stack_file_text
from tests.edge.world import World
from tests.sites import edited, entries, write_registry

OWNED = ["--owner", "@havbruk-vest"]
HUB = ["hq", "--hub", "--endpoint", "hq.havbruk.no:51820", "--mesh", "10.77.0.0/24", "--owner", "@havbruk/drift"]

#: What a person writes where the template leaves it to them.
FILLED_IN: dict[tuple[str | int, ...], Any] = {
    ("node", "image"): {"source": "node.qcow2", "sha256": 64 * "0"},
    ("node", "hypervisor", "host"): "hypervisor.example.com",
    ("node", "network", "address"): "10.20.0.13/24",
    ("node", "network", "gateway"): "10.20.0.1",
    ("node", "network", "dns"): ["10.20.0.1"],
    ("node", "authorizedKeys"): ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAA ola@laptop"],
    ("backup",): {"host": "10.20.1.1", "user": "nas", "path": "/backups", "hostKey": "ssh-ed25519 AAAA"},
    ("iot", "images"): {
        name: f"registry.example.com/{name}@sha256:{64 * '0'}"
        for name in ("mosquitto", "telegraf", "influxdb", "services")
    },
    ("iot", "sensors", 0, "id"): "pen1-temp",
}


#: The same of headquarters.
HUBS_FILLED_IN: dict[tuple[str | int, ...], Any] = {
    **{keys: value for keys, value in FILLED_IN.items() if keys[0] == "node"},
    ("summaries", "image"): f"registry.example.com/influxdb@sha256:{64 * '0'}",
    ("summaries", "services"): f"registry.example.com/services@sha256:{64 * '0'}",
}


def template(role: Literal["hub", "site"] = "site") -> Any:
    return section_of(stack_file_text("alesund", date(2026, 3, 1), role=role))


def section_of(text: str) -> Any:
    return yaml.safe_load(text)["config"][f"{PROJECT}:site"]


def filled_in(site: Any, values: Mapping[tuple[str | int, ...], Any]) -> Any:
    for keys, value in values.items():
        edited(site, *keys, value=value)
    return site


def files(checkout: Path) -> set[str]:
    return {str(path.relative_to(checkout)) for path in checkout.rglob("*") if path.is_file()}


def test_the_template_is_valid_once_it_is_filled_in() -> None:
    section = parse_section(filled_in(template(), FILLED_IN), "Pulumi.alesund.yaml")
    assert isinstance(section, SiteSection)
    assert isinstance(section.iot, Iot)
    assert (section.iot.certificates.not_before, section.iot.certificates.not_after) == (
        date(2026, 3, 1),
        date(2036, 12, 31),
    )
    assert section.iot.images.model_fields_set == {"mosquitto", "telegraf", "influxdb", "services"}


@pytest.mark.parametrize(
    ("role", "keys"),
    [
        *(pytest.param("site", keys, id=".".join(map(str, keys))) for keys in FILLED_IN),
        *(pytest.param("hub", keys, id="hub-" + ".".join(map(str, keys))) for keys in HUBS_FILLED_IN),
    ],
)
def test_what_is_left_open_is_refused_by_its_key(role: Literal["hub", "site"], keys: tuple[str | int, ...]) -> None:
    values = HUBS_FILLED_IN if role == "hub" else FILLED_IN
    site = filled_in(template(role), {others: value for others, value in values.items() if others != keys})
    with pytest.raises(ConfigError) as refused:
        parse_section(site, "Pulumi.alesund.yaml")
    place = ".".join(map(str, (f"{PROJECT}:site", *keys)))
    assert all(mistake.key.startswith(place) for mistake in refused.value.mistakes)
    assert all(mistake.remedy.startswith("fill this in: ") for mistake in refused.value.mistakes)


@pytest.mark.parametrize("content", ["", " \n", None])
def test_a_passphrase_that_is_none_makes_nothing(
    world: World,
    checkout: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    content: str | None,
) -> None:
    before = files(checkout)
    if content is not None:
        (world.folder / "passphrase-alesund").write_text(content)
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE_FILE", f"{world.folder}/passphrase-<site>")
    assert main(["new-site", "alesund", *OWNED]) == 1
    told = f"edge: {world.folder}/passphrase-alesund holds no passphrase; write it there, for your team's eyes only\n"
    assert capsys.readouterr().err == told
    assert (world.asked, files(checkout)) == ([], before)
    assert main(["new-site", "alesund", *OWNED, "--secrets-provider", "awskms://alias/oslo"]) == 0


@pytest.mark.usefixtures("checkout")
def test_an_empty_passphrase_in_the_shell_makes_nothing_either(
    world: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "")
    assert main(["new-site", "alesund", *OWNED]) == 1
    assert capsys.readouterr().err.startswith("edge: PULUMI_CONFIG_PASSPHRASE is empty; ")
    assert world.asked == []


@pytest.mark.usefixtures("checkout")
def test_the_engine_has_the_file_of_the_new_sites_passphrase(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    (world.folder / "passphrase-alesund").write_text("hemmelig-setning")
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE_FILE", f"{world.folder}/passphrase-<site>")
    assert main(["new-site", "alesund", *OWNED]) == 0
    assert {file for file, _ in world.passphrases} == {f"{world.folder}/passphrase-alesund"}


@pytest.mark.usefixtures("checkout")
def test_an_engine_that_is_logged_in_nowhere_is_told_how_to_name_a_backend(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = "error: PULUMI_ACCESS_TOKEN must be set for login during non-interactive CLI sessions"
    world.refuse("pulumi", "stack init", wrong)
    assert main(["new-site", "alesund", *OWNED]) == 1
    assert capsys.readouterr().err == (
        f"edge: pulumi stack init: {wrong}; nothing was made. The backend asked was the one of the engine's login; "
        "PULUMI_BACKEND_URL or --backend names another\n"
    )
    assert main(["new-site", "alesund", *OWNED, "--backend", "s3://states"]) == 1
    assert capsys.readouterr().err.endswith("nothing was made. The backend asked was s3://states\n")


def test_a_site_is_made_with_a_seed_that_no_command_holds(
    world: World, checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = files(checkout)
    assert main(["new-site", "alesund", *OWNED]) == 0
    assert files(checkout) - before == {"Pulumi.alesund.yaml", "config/mesh/alesund.yaml", ".github/CODEOWNERS"}
    assert world.asked == [
        "pulumi stack init alesund --no-select --secrets-provider passphrase --non-interactive",
        f"pulumi config set --secret {PROJECT}:seed --stack alesund --non-interactive",
    ]
    text = (world.folder / "stdin-pulumi").read_text()
    printed = capsys.readouterr().out
    assert text not in printed + "".join(world.asked)
    entry = load_registry(checkout / "config/mesh").entries["alesund"]
    assert (str(entry.address), str(entry.address6), entry.owner) == (
        "10.100.0.3",
        "fd5c:9a1e:27d4::3",
        "@havbruk-vest",
    )
    assert entry.tunnel_key == wireguard_key(Seed(base64.b64decode(text)), "alesund", 1).public
    assert "/Pulumi.alesund.yaml      @havbruk-vest\n" in (checkout / ".github/CODEOWNERS").read_text()


def test_it_says_all_that_is_to_be_filled_in_and_what_comes_next(
    world: World, checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["new-site", "alesund", *OWNED]) == 0
    told = capsys.readouterr().out.splitlines()
    open_values = (checkout / "Pulumi.alesund.yaml").read_text().count(f": {FILL_IN} ") + 2
    assert len([line for line in told if "fill this in: " in line]) == open_values
    assert told[-1] == "Next: pulumi preview --stack alesund"
    assert len(world.asked) == 2


def test_two_sites_have_two_seeds_and_two_addresses(world: World, checkout: Path) -> None:
    seeds = set()
    for site in ("alesund", "bodo"):
        assert main(["new-site", site, *OWNED]) == 0
        seeds.add((world.folder / "stdin-pulumi").read_text())
    assert len(seeds) == 2
    registry = load_registry(checkout / "config/mesh")
    assert [str(registry.entries[site].address) for site in ("alesund", "bodo")] == ["10.100.0.3", "10.100.0.4"]


def test_an_owner_brings_backend_provider_and_approvers(
    world: World, checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--backend", "file:///srv/states", "--secrets-provider", "awskms://alias/vest", "--approver", "@kari"]
    assert main(["new-site", "alesund", *OWNED, *words]) == 0
    assert world.asked[0].startswith("pulumi stack init alesund --no-select --secrets-provider awskms://alias/vest ")
    entry = load_registry(checkout / "config/mesh").entries["alesund"]
    assert (entry.backend, entry.approvers) == ("file:///srv/states", ("@kari",))
    assert "/Pulumi.alesund.yaml      @kari\n" in (checkout / ".github/CODEOWNERS").read_text()
    assert 'eval "$(bin/edge env alesund)" && pulumi preview' in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["oslo", *OWNED], "edge: Pulumi.oslo.yaml is there already; "),
        (["hq", *OWNED], "edge: config/mesh/hq.yaml is there already; "),
        (["Alesund", *OWNED], "edge: Alesund is no site's name: "),
        (["../alesund", *OWNED], "edge: ../alesund is no site's name: "),
        ([32 * "a", *OWNED], f"edge: {32 * 'a'} is no site's name: "),
        (["alesund", "--owner", "havbruk"], 'edge: config/mesh/alesund.yaml: owner = "havbruk": no team '),
        (["alesund", *OWNED, "--approver", "kari"], 'edge: config/mesh/alesund.yaml: approvers.0 = "kari": no team '),
        (["alesund", *OWNED, "--backend", "s3://a:b@c"], "edge: config/mesh/alesund.yaml: backend: everybody reads "),
    ],
)
def test_a_clash_or_a_mistake_is_refused_before_anything_is_made(
    world: World, checkout: Path, capsys: pytest.CaptureFixture[str], words: list[str], why: str
) -> None:
    before = files(checkout)
    assert main(["new-site", *words]) == 1
    assert capsys.readouterr().err.startswith(why)
    assert (files(checkout), world.asked) == (before, [])


def test_a_full_mesh_is_refused(world: World, checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_registry(checkout / "config/mesh", edited(entries(), "hq", "mesh", value="10.100.0.0/30"))
    assert main(["new-site", "alesund", *OWNED]) == 1
    assert "the mesh 10.100.0.0/30 is full" in capsys.readouterr().err
    assert world.asked == []


@pytest.mark.parametrize("step", ["stack init", "config set"])
def test_what_the_engine_refuses_leaves_nothing_behind(
    world: World, checkout: Path, capsys: pytest.CaptureFixture[str], step: str
) -> None:
    before = files(checkout)
    world.refuse("pulumi", step)
    assert main(["new-site", "alesund", *OWNED]) == 1
    assert capsys.readouterr().err.startswith(f"edge: pulumi {step}: error: refused; nothing was made. The backend ")
    assert files(checkout) == before
    removed = "pulumi stack rm --yes --preserve-config --stack alesund --non-interactive"
    assert (world.asked[-1] == removed) == (step == "config set")


def test_an_owner_must_be_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["new-site", "alesund"])
    assert "--owner" in capsys.readouterr().err


# Headquarters


@pytest.fixture
def empty(checkout: Path) -> Path:
    """A checkout from which the examples are taken away as the tutorial says, and by git the registry's folder too."""
    lines = "git init --quiet && git add --all && git rm --quiet --force Pulumi.*.yaml config/mesh/*.yaml && rm -r .git"
    subprocess.run(["sh", "-c", lines], cwd=checkout, check=True)
    # In a whole checkout there is more in it.
    (checkout / "config").mkdir()
    return checkout


def test_headquarters_is_made_and_is_loaded_as_soon_as_it_is_filled_in(world: World, empty: Path) -> None:
    assert main(["new-site", *HUB]) == 0
    assert files(empty) == {"Pulumi.hq.yaml", "config/mesh/hq.yaml", ".github/CODEOWNERS"}
    site = filled_in(section_of((empty / "Pulumi.hq.yaml").read_text()), HUBS_FILLED_IN)
    site["node"]["hypervisor"] |= {"host": "10.20.0.1", "knownHosts": "tests/known_hosts"}
    seed = (world.folder / "stdin-pulumi").read_text()
    content = StackConfig(site=json.dumps(site, default=str), seed=seed, seed_is_secret=True)
    loaded = assemble("hq", content, empty / "config/mesh")
    assert isinstance(loaded.place, OnHypervisor)
    assert loaded.summaries is not None
    assert (loaded.registry.hub, loaded.headquarters) == ("hq", ())
    assert (str(loaded.entry.address), loaded.entry.endpoint) == ("10.77.0.1", "hq.havbruk.no:51820")
    assert "*                    @havbruk/drift\n" in (empty / ".github/CODEOWNERS").read_text()


def test_a_site_of_it_has_the_second_address(world: World, empty: Path) -> None:
    assert main(["new-site", *HUB]) == 0
    seed = (world.folder / "stdin-pulumi").read_text()
    assert main(["new-site", "bergen", *OWNED]) == 0
    assert (world.folder / "stdin-pulumi").read_text() != seed
    registry = load_registry(empty / "config/mesh")
    assert {name: str(entry.address) for name, entry in registry.entries.items()} == {
        "bergen": "10.77.0.2",
        "hq": "10.77.0.1",
    }
    assert registry.entries["bergen"].role == "site"


@pytest.mark.parametrize(
    ("endpoint", "place"), [("hq.havbruk.no:51820", "hq.havbruk.no"), ("[2001:db8::1]:51820", "2001:db8::1")]
)
def test_headquarters_is_told_where_its_name_goes_and_what_to_fill_in(
    world: World, empty: Path, capsys: pytest.CaptureFixture[str], endpoint: str, place: str
) -> None:
    assert main(["new-site", *HUB, "--endpoint", endpoint]) == 0
    told = capsys.readouterr().out.splitlines()
    opened = len(list(to_fill_in(template("hub"), file="", root="")))
    assert len([line for line in told if "fill this in: " in line]) == opened
    assert "Digests and the node image's checksum are written by edge pin hq, once all else is filled in." in told
    assert f"Add {place} to `headquarters` in policy/places.json" in told[-2]
    assert told[-1] == "Next: pulumi preview --stack hq"
    assert load_registry(empty / "config/mesh").entries["hq"].endpoint == endpoint
    assert world.asked[0].startswith("pulumi stack init hq ")


def test_a_site_without_headquarters_is_told_how_to_make_one(
    world: World, empty: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["new-site", "bergen", *OWNED]) == 1
    assert "`edge new-site <name> --hub` makes the first" in capsys.readouterr().err
    assert (files(empty), world.asked) == (set(), [])


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--hub"], "config/mesh/bergen.yaml: endpoint: headquarters needs this; add --endpoint"),
        (["--hub", "--endpoint", "b:1"], "config/mesh/bergen.yaml: mesh: headquarters needs this; add --mesh"),
        (["--endpoint", "b:1"], "config/mesh/bergen.yaml: endpoint = b:1: --endpoint is for headquarters; leave it"),
        (["--mesh", "10.1.0.0/24"], "config/mesh/bergen.yaml: mesh = 10.1.0.0/24: --mesh is for headquarters; leave"),
        ([*HUB[1:5], "10.1.0.1/24"], "config/mesh/bergen.yaml: mesh = 10.1.0.1/24: 10.1.0.1/24 has host bits set; "),
        ([*HUB[1:5], "fd00::/64"], "config/mesh/bergen.yaml: mesh = fd00::/64: Expected 4 octets in 'fd00::'; write"),
        ([*HUB[1:5], "10.1.0.0"], "config/mesh/bergen.yaml: mesh = 10.1.0.0: has no room for a site; write /30 or a"),
        (["--hub", "--endpoint", "b", *HUB[4:6]], 'config/mesh/bergen.yaml: endpoint = "b": not host:port; write a'),
    ],
)
def test_a_word_that_is_wrong_is_refused_before_headquarters_is_made(
    world: World, empty: Path, capsys: pytest.CaptureFixture[str], words: list[str], why: str
) -> None:
    assert main(["new-site", "bergen", *OWNED, *words]) == 1
    assert capsys.readouterr().err.startswith(f"edge: {why}")
    assert (files(empty), world.asked) == (set(), [])


@pytest.mark.parametrize("name", ["hq", "second"])
def test_a_second_headquarters_is_refused_by_the_first_ones_file(
    world: World, checkout: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    before = files(checkout)
    assert main(["new-site", name, *HUB[1:]]) == 1
    assert re.match(r"edge: config/mesh/hq\.yaml:\d+: role = hub: headquarters is there; ", capsys.readouterr().err)
    assert (files(checkout), world.asked) == (before, [])


def test_headquarters_is_not_made_among_sites_that_have_lost_theirs(
    world: World, checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (checkout / "config/mesh/hq.yaml").unlink()
    assert main(["new-site", *HUB]) == 1
    assert capsys.readouterr().err.startswith("edge: config/mesh/oslo.yaml: this site has no headquarters; ")
    assert world.asked == []


def test_headquarters_that_the_engine_refuses_leaves_nothing_behind(world: World, empty: Path) -> None:
    world.refuse("pulumi", "config set")
    assert main(["new-site", *HUB]) == 1
    assert files(empty) == set()
