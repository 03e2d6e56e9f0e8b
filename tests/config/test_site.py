"""What a section may say; what it may not is in test_loader.py, where the whole program refuses it."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import ValidationError

from config.base import ConfigError
from config.site import Network, Node, SiteSection
from config.versions import DOCKER_NETWORK
from tests.sites import EXAMPLES, edited, section, site_section


def parsed(content: Any) -> SiteSection:
    return SiteSection.parse(content, file="Pulumi.oslo.yaml")


@pytest.mark.parametrize("stack", EXAMPLES)
def test_a_committed_section_is_valid(stack: str) -> None:
    site_section(stack)


def test_what_a_section_leaves_out_is_for_production() -> None:
    node = site_section("oslo").node
    assert node.hypervisor.model_dump(exclude={"host"}) == {
        "user": "root",
        "known_hosts": "tests/known_hosts",
        "key_file": None,
        "skip_checks": (),
        "accelerator": "kvm",
        "pool": "/srv/nvme/fjord-edge",
    }
    assert (node.user, node.registries) == ("edge", ())
    assert set(site_section("oslo").epochs.model_dump().values()) == {1}
    assert site_section("oslo").allow_published_seed is False


def test_a_section_is_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        site_section("oslo").node.cpus = 4  # type: ignore[misc]


@pytest.mark.parametrize(
    "key",
    [
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAA",
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAA ola@laptop",
        "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTY= ola@laptop",
        "sk-ssh-ed25519@openssh.com AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29t ola@laptop",
    ],
)
def test_a_public_key_of_a_sound_kind_is_accepted(key: str) -> None:
    assert parsed(edited(section("oslo"), "node", "authorizedKeys", value=[key])).node.authorized_keys == (key,)


@pytest.mark.parametrize(
    "key",
    [
        "",
        "ssh-dss AAAAB3NzaC1kc3MAAACB",
        "ssh-ed25519",
        'command="/bin/sh" ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAA',
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAA one\nssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAA two",
    ],
)
def test_what_is_no_single_public_key_is_refused(key: str) -> None:
    with pytest.raises(ConfigError, match="entry 0 is not an OpenSSH public key"):
        parsed(edited(section("oslo"), "node", "authorizedKeys", value=[key]))


@pytest.mark.parametrize(
    "image", ["telegraf", "telegraf@sha256:00", "telegraf@sha256:" + 64 * "0" + "0", "@sha256:" + 64 * "0"]
)
def test_an_image_without_a_whole_digest_is_refused(image: str) -> None:
    with pytest.raises(ConfigError, match="is not pinned; write name@sha256:<digest>"):
        parsed(edited(section("oslo"), "iot", "images", "telegraf", value=image))


@given(st.ip_addresses(v=4), st.integers(min_value=8, max_value=30), st.data())
def test_any_two_hosts_of_one_network_are_a_guest_and_its_gateway(base: Any, length: int, data: st.DataObject) -> None:
    mask = (1 << 32 - length) - 1
    hosts = st.integers(min_value=1, max_value=mask - 1)
    own, gateway = data.draw(hosts), data.draw(hosts)
    assume(own != gateway)
    network = int(base) & ~mask
    assume(not IPv4Network((network, length)).overlaps(DOCKER_NETWORK))
    address, router = type(base)(network | own), type(base)(network | gateway)
    content = {"bridge": "br0", "address": f"{address}/{length}", "gateway": str(router), "dns": ["10.0.0.1"]}
    assert Network.parse(content, file="").gateway == router


def test_two_guests_on_a_point_to_point_network_are_hosts() -> None:
    content = {"bridge": "br0", "address": "10.0.0.0/31", "gateway": "10.0.0.1", "dns": ["10.0.0.1"]}
    assert str(Network.parse(content, file="").address) == "10.0.0.0/31"


def network(**changed: Any) -> Network:
    return Network.parse(section("oslo")["node"]["network"] | changed, file="")


@pytest.mark.parametrize("gateway6", ["fd20:20::ffff:ffff:ffff:ffff", "fe80::1", None])
def test_an_ipv6_gateway_is_inside_the_network_or_link_local(gateway6: str | None) -> None:
    assert network(gateway6=gateway6).gateway6 == (IPv6Address(gateway6) if gateway6 else None)


def test_the_last_address_of_an_ipv6_network_is_a_host() -> None:
    assert network(address6="fd20:20::ffff:ffff:ffff:ffff/64").address6


def test_two_guests_on_an_ipv6_point_to_point_network_are_hosts() -> None:
    assert str(network(address6="fd20:20::/127", gateway6="fd20:20::1").address6) == "fd20:20::/127"


def test_name_servers_may_be_of_both_families() -> None:
    assert network(dns=["fd20:20::1", "10.20.0.1"]).dns == (IPv6Address("fd20:20::1"), IPv4Address("10.20.0.1"))


def test_an_interface_joins_a_network_of_libvirts_instead_of_a_bridge() -> None:
    lan = network(lan={"libvirtNetwork": "farm", "address": "10.20.1.12/24"}).lan
    assert lan
    assert (lan.bridge, lan.libvirt_network) == (None, "farm")


def test_neighbouring_networks_do_not_overlap() -> None:
    lan = {"bridge": "br-lan", "address": "10.20.0.130/25"}
    assert network(address="10.20.0.12/25", lan=lan).interfaces.keys() == {"network", "network.lan", "network.backup"}


def test_every_key_has_a_description_for_editors() -> None:
    def models(model: Any) -> Any:
        yield model
        for field in model.model_fields.values():
            for part in (field.annotation, *getattr(field.annotation, "__args__", ())):
                if hasattr(part, "model_fields"):
                    yield from models(part)

    found = set(models(SiteSection))
    assert Node in found
    assert not [(model, name) for model in found for name, field in model.model_fields.items() if not field.description]
