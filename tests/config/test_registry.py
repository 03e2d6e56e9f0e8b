import base64
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from config.base import ConfigError
from config.loader import REGISTRY
from config.registry import Entry, load_registry
from tests.recording import config_of, refusal
from tests.sites import entries, write_registry


def key(number: int) -> str:
    return base64.b64encode(number.to_bytes(32, "big")).decode()


def site(number: int, **changed: Any) -> dict[str, Any]:
    """The registry file of a site that is like no other."""
    return {
        "role": "site",
        "owner": "@fjord-edge/team",
        "address": f"10.100.0.{number}",
        "tunnelKey": key(number),
        "identityKey": key(number + 1000),
        "networks": [f"192.168.{number}.0/24"],
        **changed,
    }


def mistakes(**changed: Any) -> list[str]:
    """What the program says of the committed registry with other or further files."""
    _, *lines = refusal("oslo", config_of("oslo"), registry=entries() | changed).splitlines()
    return lines


def hub(**changed: Any) -> Any:
    return entries()["hq"] | changed


def oslo(**changed: Any) -> Any:
    return entries()["oslo"] | changed


def test_the_committed_registry_is_valid() -> None:
    registry = load_registry(REGISTRY)
    assert (registry.hub, str(registry.network)) == ("hq", "10.100.0.0/24")
    assert set(registry.entries) == {"hq", "oslo"}


@given(st.integers(min_value=0, max_value=2**256 - 1).map(lambda number: number.to_bytes(32, "big")))
def test_every_32_bytes_are_a_key(raw: bytes) -> None:
    text = base64.b64encode(raw).decode()
    entry = Entry.parse(site(9, tunnelKey=text, identityKey=text), file="")
    assert entry.tunnel_key == text


def test_a_file_that_is_not_yaml_is_told() -> None:
    [line] = mistakes(bergen="role: [site")
    assert line.startswith("config/mesh/bergen.yaml: ")
    assert "not YAML: " in line


@pytest.mark.parametrize("text", ["", "- role", "site"])
def test_a_file_without_keys_is_told(text: str) -> None:
    [line] = mistakes(bergen=text)
    assert line.startswith("config/mesh/bergen.yaml: ")
    assert line.endswith("expected `key: value` lines; see config/mesh/hq.yaml")


def test_a_mistake_in_an_entry_names_file_key_value_and_remedy() -> None:
    assert mistakes(bergen=site(3, tunelKey="x")) == [
        "config/mesh/bergen.yaml: tunelKey: no such key here; look it up in config/site.schema.json, or remove it"
    ]
    [line] = mistakes(bergen=site(3, tunnelKey="short"))
    assert line.startswith('config/mesh/bergen.yaml: tunnelKey = "short": ')
    [line] = mistakes(bergen=site(3, endpoint="bergen.example.com"))
    assert line.startswith('config/mesh/bergen.yaml: endpoint = "bergen.example.com": ')
    [line] = mistakes(bergen=site(3, role="spoke"))
    assert line.startswith('config/mesh/bergen.yaml: role = "spoke": ')


def test_a_missing_key_is_told() -> None:
    bergen = site(3)
    del bergen["owner"]
    assert mistakes(bergen=bergen) == ["config/mesh/bergen.yaml: owner: this key is missing; add it"]


def test_the_mistakes_of_all_files_are_told_at_once() -> None:
    lines = mistakes(bergen="role: [site", oslo=oslo(address="10.100.0"))
    assert [line.partition(":")[0] for line in lines] == ["config/mesh/bergen.yaml", "config/mesh/oslo.yaml"]


def test_two_sites_with_one_address_are_told() -> None:
    assert mistakes(tromso=site(2)) == [
        "config/mesh/tromso.yaml: address = 10.100.0.2: already taken by oslo; each site has its own"
    ]


@pytest.mark.parametrize("name", ["tunnelKey", "identityKey"])
def test_two_sites_with_one_key_are_told(name: str) -> None:
    taken = entries()["oslo"][name]
    assert mistakes(tromso=site(3, **{name: taken})) == [
        f"config/mesh/tromso.yaml: {name} = {taken}: already taken by oslo; each site has its own"
    ]


def test_networks_of_two_sites_that_overlap_are_told() -> None:
    assert mistakes(bergen=site(3, networks=["192.168.0.0/16"]), tromso=site(4, networks=["192.168.9.0/24"])) == [
        "config/mesh/tromso.yaml: networks = 192.168.9.0/24: overlaps 192.168.0.0/16 of bergen; a network has one site"
    ]


def test_a_network_that_overlaps_one_further_back_is_told() -> None:
    wide, between, inside = ["10.0.0.0/12"], ["10.1.0.0/16"], ["10.2.0.0/16"]
    lines = mistakes(a=site(3, networks=wide), b=site(4, networks=between), c=site(5, networks=inside))
    assert [line.partition(":")[0] for line in lines] == ["config/mesh/b.yaml", "config/mesh/c.yaml"]
    assert all("overlaps 10.0.0.0/12 of a" in line for line in lines)


def test_a_network_in_the_mesh_is_told() -> None:
    assert mistakes(bergen=site(3, networks=["10.100.0.128/25"])) == [
        "config/mesh/bergen.yaml: networks = 10.100.0.128/25: "
        "overlaps the mesh 10.100.0.0/24; a site's networks lie outside"
    ]


def test_an_address_outside_the_mesh_is_told() -> None:
    assert mistakes(bergen=site(3, address="10.101.0.3")) == [
        "config/mesh/bergen.yaml: address = 10.101.0.3: outside the mesh 10.100.0.0/24; choose a free address in it"
    ]


def test_two_hubs_are_told() -> None:
    other = site(3, role="hub", endpoint="b.example.com:51820", mesh="10.100.0.0/24")
    assert mistakes(bergen=other) == ["config/mesh: role = bergen, hq: exactly one file must say `role: hub`"]


def test_no_hub_is_told() -> None:
    headquarters = {name: value for name, value in hub(role="site").items() if name != "mesh"}
    assert mistakes(hq=headquarters) == ["config/mesh: role = no hub: exactly one file must say `role: hub`"]


@pytest.mark.parametrize("name", ["endpoint", "mesh"])
def test_a_hub_that_cannot_be_dialled_is_told(name: str) -> None:
    headquarters = {key: value for key, value in hub().items() if key != name}
    [line] = mistakes(hq=headquarters)
    assert "a hub needs `endpoint` (host:port) and `mesh` (the mesh's network)" in line


def test_a_site_that_says_the_mesh_is_told() -> None:
    [line] = mistakes(oslo=oslo(mesh="10.100.0.0/24"))
    assert line == "config/mesh/oslo.yaml: only the hub's file says `mesh`; remove it"


# 200 sites


@st.composite
def networks(draw: st.DrawFn, number: int) -> str:
    """A network of any size within 11.<number>.0.0/16, so that no two sites' can meet."""
    length = draw(st.integers(min_value=16, max_value=30))
    place = draw(st.integers(min_value=0, max_value=2 ** (length - 16) - 1))
    return str(IPv4Network((int(IPv4Address(f"11.{number}.0.0")) + (place << 32 - length), length)))


many_networks = st.tuples(*(networks(number) for number in range(2, 202)))


@settings(max_examples=5)
@given(many_networks)
def test_200_disjoint_sites_are_valid(drawn: tuple[str, ...]) -> None:
    sites = {f"s{number}": site(number, networks=[network]) for number, network in enumerate(drawn, start=2)}
    with TemporaryDirectory() as folder:
        write_registry(Path(folder), {"hq": hub(), **sites})
        assert len(load_registry(Path(folder)).entries) == 201


@settings(max_examples=5)
@given(many_networks, st.integers(min_value=2, max_value=201), st.integers(min_value=2, max_value=201))
def test_one_overlap_among_200_sites_is_the_one_mistake(drawn: tuple[str, ...], one: int, other: int) -> None:
    assume(one != other)
    sites = {f"s{number}": site(number, networks=[network]) for number, network in enumerate(drawn, start=2)}
    sites[f"s{other}"]["networks"] = sites[f"s{one}"]["networks"]
    with TemporaryDirectory() as folder:
        write_registry(Path(folder), {"hq": hub(), **sites})
        with pytest.raises(ConfigError) as told:
            load_registry(Path(folder))
    [mistake] = told.value.mistakes
    assert {Path(mistake.file).stem, mistake.remedy.split(" of ")[1].split(";")[0]} == {f"s{one}", f"s{other}"}
