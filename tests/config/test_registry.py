import base64
import re
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import yaml
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from config.base import ConfigError
from config.loader import REGISTRY
from config.registry import Entry, load_registry
from tests.recording import config_of, refusal
from tests.sites import EXAMPLES, entries, write_registry


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
    """What the program says of the committed registry with other or further files, without the lines' numbers."""
    return [re.sub(r"(\.yaml):\d+:", r"\1:", line) for line in numbered_mistakes(**changed)]


def numbered_mistakes(**changed: Any) -> list[str]:
    """The same with the numbers."""
    _, *lines = refusal("oslo", config_of("oslo"), registry=entries() | changed).splitlines()
    return lines


def hub(**changed: Any) -> Any:
    return entries()["hq"] | changed


def oslo(**changed: Any) -> Any:
    return entries()["oslo"] | changed


def test_the_committed_registry_is_valid() -> None:
    registry = load_registry(REGISTRY)
    assert (registry.hub, str(registry.network)) == ("hq", "10.100.0.0/24")
    assert set(registry.entries) == set(EXAMPLES)


@given(st.integers(min_value=0, max_value=2**256 - 1).map(lambda number: number.to_bytes(32, "big")))
def test_every_32_bytes_are_a_key(raw: bytes) -> None:
    text = base64.b64encode(raw).decode()
    entry = Entry.parse(site(9, tunnelKey=text, identityKey=text), file="")
    assert entry.tunnel_key == text


def test_a_key_that_is_there_twice_is_told() -> None:
    text = yaml.safe_dump(entries()["oslo"], sort_keys=False) + "owner: '@fjord-edge/oslo'\n"
    [line] = mistakes(oslo=text)
    assert re.fullmatch(r"config/mesh/oslo.yaml: owner: already in line \d+; remove one of the two", line)


def test_a_file_that_is_not_yaml_is_told() -> None:
    [line] = mistakes(bergen="role: [site")
    assert line.startswith("config/mesh/bergen.yaml: ")
    assert "not YAML: " in line


@pytest.mark.parametrize("text", ["", "- role", "site"])
def test_a_file_without_keys_is_told(text: str) -> None:
    [line] = mistakes(bergen=text)
    assert line.startswith("config/mesh/bergen.yaml: ")
    assert line.endswith("expected `key: value` lines; see config/registry.py")


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


@pytest.mark.parametrize("network", ["172.17.5.0/24", "172.16.0.0/12"])
def test_a_network_where_each_node_has_dockers_own_is_told(network: str) -> None:
    [line] = mistakes(bergen=site(3, networks=[network]))
    told = "overlaps 172.17.0.0/16, which Docker takes on each node; give it another network"
    assert line == f"config/mesh/bergen.yaml: networks = {network}: {told}"


def test_a_mesh_where_each_node_has_dockers_own_network_is_told() -> None:
    lines = mistakes(hq=hub() | {"mesh": "172.17.0.0/24", "address": "172.17.0.1"})
    told = "config/mesh/hq.yaml: mesh = 172.17.0.0/24: overlaps 172.17.0.0/16, which Docker takes on each node"
    assert len([line for line in lines if line.startswith(told)]) == 1


def test_an_address_outside_the_mesh_is_told() -> None:
    assert mistakes(bergen=site(3, address="10.101.0.3")) == [
        "config/mesh/bergen.yaml: address = 10.101.0.3: outside the mesh 10.100.0.0/24; choose a free address in it"
    ]


def test_two_hubs_are_told() -> None:
    other = site(3, role="hub", endpoint="b.example.com:51820", mesh="10.100.0.0/24")
    assert mistakes(bergen=other) == ["config/mesh: role = bergen, hq: exactly one file must say `role: hub`"]


def test_no_hub_is_told() -> None:
    headquarters = {name: value for name, value in hub(role="site").items() if not name.startswith("mesh")}
    [line] = mistakes(hq=headquarters)
    assert line.startswith("config/mesh: role = no hub: exactly one file must say `role: hub`; ")
    assert "`edge new-site <name> --hub` makes the first" in line


@pytest.mark.parametrize("name", ["endpoint", "mesh"])
def test_a_hub_that_cannot_be_dialled_is_told(name: str) -> None:
    headquarters = {key: value for key, value in hub().items() if key != name}
    [line] = mistakes(hq=headquarters)
    assert "a hub needs `endpoint` (host:port) and `mesh` (the mesh's network)" in line


def test_a_site_that_says_the_mesh_is_told() -> None:
    [line] = mistakes(oslo=oslo(mesh="10.100.0.0/24"))
    assert line == "config/mesh/oslo.yaml: only the hub's file says `mesh` and `mesh6`; remove it"


def test_each_mistake_is_told_with_its_line() -> None:
    text = """\
role: site
owner: "@fjord-edge/tromso"
address: 10.101.0.3
address6: 2001:db8::3
tunnelKey: {taken}
identityKey: {own}
networks:
  - 192.168.3.0/24
  - 10.100.0.0/28
"""
    tromso = text.format(taken=entries()["oslo"]["tunnelKey"], own=key(9))
    told = [line.split(": ")[0] for line in numbered_mistakes(tromso=tromso)]
    assert told == [f"config/mesh/tromso.yaml:{number}" for number in (3, 4, 9, 5)]


def test_a_mistake_in_a_list_is_told_with_the_items_line() -> None:
    text = yaml.safe_dump(site(3, networks=["192.168.3.0/24", "192.168.4.1/24"]), sort_keys=False)
    [line] = numbered_mistakes(bergen=text)
    assert line.startswith('config/mesh/bergen.yaml:8: networks.1 = "192.168.4.1/24": ')


@pytest.mark.parametrize(
    "endpoint", ["10.0.0.1:51820", "[2001:db8::1]:51820", "hq.example.com:1", "hq.example.com:65535"]
)
def test_an_endpoint_is_a_host_and_a_port(endpoint: str) -> None:
    assert Entry.parse(site(9, endpoint=endpoint), file="").endpoint == endpoint


@pytest.mark.parametrize(
    "endpoint", ["hq.example.com", "hq.example.com:0", "hq.example.com:65536", "2001:db8::1:1", "-a:1"]
)
def test_an_endpoint_that_nobody_can_dial_is_told(endpoint: str) -> None:
    [line] = mistakes(bergen=site(3, endpoint=endpoint))
    assert line.startswith(f'config/mesh/bergen.yaml: endpoint = "{endpoint}": ')
    assert "write a name or an address and a port" in line or line.endswith("the port is not within 1 to 65535")


@pytest.mark.parametrize("address", ["10.100.0.0", "10.100.0.255"])
def test_an_address_that_is_no_hosts_is_told(address: str) -> None:
    assert mistakes(bergen=site(3, address=address)) == [
        f"config/mesh/bergen.yaml: address = {address}: is no host's address in 10.100.0.0/24; choose a free one"
    ]


def test_an_ipv6_address_needs_a_mesh_that_has_them() -> None:
    headquarters = {name: value for name, value in hub().items() if not name.endswith("6")}
    assert mistakes(hq=headquarters) == [
        "config/mesh/oslo.yaml: address6 = fd5c:9a1e:27d4::2: the mesh has no IPv6 network; remove it, or add `mesh6`"
    ]


def test_networks_of_both_families_are_held_against_each_other() -> None:
    bergen, tromso = site(3, networks=["fd30::/48"]), site(4, networks=["fd30:0:0:1::/64", "192.168.4.0/24"])
    assert mistakes(bergen=bergen, tromso=tromso) == [
        "config/mesh/tromso.yaml: networks = fd30:0:0:1::/64: overlaps fd30::/48 of bergen; a network has one site"
    ]


# The next keys


def test_a_next_key_that_is_anothers_key_is_told() -> None:
    taken = entries()["oslo"]["tunnelKey"]
    assert mistakes(bergen=site(3, nextTunnelKey=taken)) == [
        f"config/mesh/oslo.yaml: tunnelKey = {taken}: already taken by bergen; each site has its own"
    ]


def test_a_sites_next_key_needs_no_port_of_its_own() -> None:
    [line] = mistakes(bergen=site(3, nextTunnelKey=key(77), nextEndpoint="b.example.com:1"))
    assert line.endswith("a site's next key needs no `nextEndpoint`; remove it")


@pytest.mark.parametrize("name", ["nextTunnelKey", "nextEndpoint"])
def test_the_hubs_next_key_and_port_come_together(name: str) -> None:
    both = {"nextTunnelKey": key(77), "nextEndpoint": "hq.example.com:51821"}
    [line] = mistakes(hq=hub() | {name: both[name]})
    assert line.endswith("a hub's `nextTunnelKey` and `nextEndpoint` come and go together")


def test_the_hubs_next_port_is_another_one() -> None:
    [line] = mistakes(hq=hub(nextTunnelKey=key(77), nextEndpoint="other.example.com:51820"))
    assert line.endswith("`nextEndpoint` has the port of `endpoint`; give it another one")


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


@pytest.mark.parametrize("owner", ["team", "@", "@a b", "@a/b/c", "@a/", "@-a", "@a, @b"])
def test_an_owner_that_is_no_team_is_told(owner: str) -> None:
    assert mistakes(bergen=site(3, owner=owner)) == [
        f'config/mesh/bergen.yaml: owner = "{owner}": no team of the forge\'s; write @team or @organisation/team'
    ]
    [line] = mistakes(bergen=site(3, approvers=["@havbruk", owner]))
    assert line.startswith(f'config/mesh/bergen.yaml: approvers.1 = "{owner}": no team ')


@pytest.mark.parametrize(
    "backend",
    [
        "file:///srv/states",
        "s3://havbruk?region=eu-north-1&profile=fjord",
        "s3://havbruk?endpoint=minio.example.com:9000&s3ForcePathStyle=true",
        "azblob://states?storage_account=havbruk",
        "https://api.pulumi.com",
    ],
)
def test_a_backend_is_what_pulumi_login_takes(backend: str) -> None:
    assert Entry.parse(site(3, backend=backend), file="").backend == backend


@pytest.mark.parametrize("backend", ["states", "ftp://states", "s3://", "file://"])
def test_a_backend_that_is_none_is_told(backend: str) -> None:
    [line] = mistakes(bergen=site(3, backend=backend))
    assert line.startswith(f'config/mesh/bergen.yaml: backend = "{backend}": not an address that `pulumi login` takes')


@pytest.mark.parametrize(
    "backend", ["s3://AKIA:hunter2@havbruk", "https://hunter2@states.example.com", "s3://b?sig=hunter2"]
)
def test_credentials_in_a_backend_are_refused_and_not_shown(backend: str) -> None:
    [line] = mistakes(bergen=site(3, backend=backend))
    assert line.startswith("config/mesh/bergen.yaml: backend: everybody reads this file: credentials come from the ")
    assert "hunter2" not in line
