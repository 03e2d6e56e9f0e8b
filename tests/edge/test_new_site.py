"""A new site's files, on an engine that answers as told; with the real one in tests/e2e/test_docs.py."""

import base64
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml

from config.base import FILL_IN, ConfigError
from config.derive import Seed, wireguard_key
from config.iot import Iot
from config.loader import PROJECT, parse_section
from config.registry import load_registry
from config.site import SiteSection
from edge.__main__ import main
from edge.new_site import stack_file_text
from tests.edge.world import World
from tests.sites import edited, entries, write_registry

OWNED = ["--owner", "@havbruk-vest"]

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


def template() -> Any:
    return yaml.safe_load(stack_file_text("alesund", date(2026, 3, 1)))["config"][f"{PROJECT}:site"]


def files(checkout: Path) -> set[str]:
    return {str(path.relative_to(checkout)) for path in checkout.rglob("*") if path.is_file()}


def test_the_template_is_valid_once_it_is_filled_in() -> None:
    site = template()
    for keys, value in FILLED_IN.items():
        edited(site, *keys, value=value)
    section = parse_section(site, "Pulumi.alesund.yaml")
    assert isinstance(section, SiteSection)
    assert isinstance(section.iot, Iot)
    assert (section.iot.certificates.not_before, section.iot.certificates.not_after) == (
        date(2026, 3, 1),
        date(2036, 12, 31),
    )
    assert section.iot.images.model_fields_set == {"mosquitto", "telegraf", "influxdb", "services"}


@pytest.mark.parametrize("keys", FILLED_IN, ids=lambda keys: ".".join(map(str, keys)))
def test_what_is_left_open_is_refused_by_its_key(keys: tuple[str | int, ...]) -> None:
    site = template()
    for others, value in FILLED_IN.items():
        if others != keys:
            edited(site, *others, value=value)
    with pytest.raises(ConfigError) as refused:
        parse_section(site, "Pulumi.alesund.yaml")
    place = ".".join(map(str, (f"{PROJECT}:site", *keys)))
    assert all(mistake.key.startswith(place) for mistake in refused.value.mistakes)
    assert all(mistake.remedy.startswith("fill this in: ") for mistake in refused.value.mistakes)


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
    assert capsys.readouterr().err == f"edge: pulumi {step}: error: refused; nothing was made\n"
    assert files(checkout) == before
    removed = "pulumi stack rm --yes --preserve-config --stack alesund --non-interactive"
    assert (world.asked[-1] == removed) == (step == "config set")


def test_an_owner_must_be_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["new-site", "alesund"])
    assert "--owner" in capsys.readouterr().err
