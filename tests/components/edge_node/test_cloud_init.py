import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.edge_node.cloud_init import meta_data, network_config, resolv_conf, user_data
from config.derive import ssh_host_key
from config.site import Network, SiteSection
from tests.judges import judge
from tests.sites import SEED, edited, section, site_section

KEY = ssh_host_key(SEED, "oslo", 1)


def cloud_config(site: SiteSection) -> Any:
    text = user_data("oslo", site.node, KEY)
    assert text.startswith("#cloud-config\n")
    return yaml.safe_load(text)


def test_the_node_has_the_host_key_under_which_it_is_reached_and_no_other() -> None:
    config = cloud_config(site_section("oslo"))
    assert config["ssh_keys"] == {"ecdsa_private": KEY.private, "ecdsa_public": KEY.public}
    assert config["ssh_deletekeys"] is True


def test_its_first_user_logs_in_by_key_alone() -> None:
    config = cloud_config(site_section("oslo"))
    [user] = config["users"]
    assert user["name"] == "edge"
    assert user["lock_passwd"] is True
    assert user["ssh_authorized_keys"] == section("oslo")["node"]["authorizedKeys"]
    assert (config["ssh_pwauth"], config["disable_root"]) == (False, True)


def test_docker_trusts_a_registrys_own_authority() -> None:
    registry = {"host": "registry.example.com:5000", "certificateAuthority": "PEM\n"}
    site = SiteSection.parse(edited(section("oslo"), "node", "registries", value=[registry]), file="")
    written = {file["path"]: file["content"] for file in cloud_config(site)["write_files"]}
    assert written["/etc/docker/certs.d/registry.example.com:5000/ca.crt"] == "PEM\n"


def network(**changed: Any) -> Network:
    return Network.parse(section("oslo")["node"]["network"] | changed, file="")


def subnets(network: Network) -> dict[str, Any]:
    """What each interface is given, by its name."""
    config = yaml.safe_load(network_config("oslo", network))
    assert config["version"] == 1
    return {interface["name"]: interface["subnets"] for interface in config["config"]}


def test_each_interface_is_found_by_its_mac() -> None:
    config = yaml.safe_load(network_config("oslo", network(mac="02:00:00:00:00:01")))["config"]
    assert [(interface["type"], interface["name"], interface["mac_address"]) for interface in config] == [
        ("physical", "eth0", "02:00:00:00:00:01"),
        ("physical", "eth1", "52:54:00:53:f2:ff"),
        ("physical", "eth2", "52:54:00:53:f3:00"),
    ]


def test_every_address_is_static_and_the_second_uplink_comes_second() -> None:
    assert subnets(network()) == {
        "eth0": [
            {"type": "static", "address": "10.20.0.12/24", "gateway": "10.20.0.1", "metric": 100},
            {"type": "static6", "address": "fd20:20::12/64", "gateway": "fd20:20::1", "metric": 100},
        ],
        "eth1": [{"type": "static", "address": "10.20.1.12/24"}],
        "eth2": [{"type": "static", "address": "10.20.2.12/24", "gateway": "10.20.2.1", "metric": 200}],
    }


def test_a_second_uplink_has_ipv6_too() -> None:
    backup = section("oslo")["node"]["network"]["backup"] | {"address6": "fd20:22::12/64", "gateway6": "fe80::1"}
    assert subnets(network(backup=backup))["eth2"] == [
        {"type": "static", "address": "10.20.2.12/24", "gateway": "10.20.2.1", "metric": 200},
        {"type": "static6", "address": "fd20:22::12/64", "gateway": "fe80::1", "metric": 200},
    ]


def test_without_a_gateway_an_address_gives_no_way_out() -> None:
    lan = {"bridge": "br-lan", "address": "10.20.1.12/24", "address6": "fd20:21::12/64"}
    given = subnets(network(lan=lan, gateway6=None))
    assert given["eth0"][1] == {"type": "static6", "address": "fd20:20::12/64"}
    assert given["eth1"] == [
        {"type": "static", "address": "10.20.1.12/24"},
        {"type": "static6", "address": "fd20:21::12/64"},
    ]


@pytest.mark.skipif(not shutil.which("cloud-init"), reason="a package that would take over a machine it is added to")
def test_cloud_init_writes_for_ifupdown_what_was_meant(tmp_path: Path) -> None:
    config = tmp_path / "network-config"
    config.write_text(network_config("oslo", network(gateway6="fe80::1")))
    convert = ("cloud-init", "devel", "net-convert", "--kind", "yaml", "--distro", "debian", "--output-kind", "eni")
    judge(*convert, "--network-data", config, "--directory", tmp_path)
    written = (tmp_path / "etc/network/interfaces.d/50-cloud-init").read_text()
    stanzas = [stanza.strip().split("\n    ") for stanza in written.split("\niface ")[2:]]
    assert [(head.partition("\n")[0], [line.split("\n")[0] for line in lines]) for head, *lines in stanzas] == [
        ("eth0 inet static", ["address 10.20.0.12/24", "gateway 10.20.0.1", "metric 100"]),
        ("eth0 inet6 static", ["address fd20:20::12/64", "gateway fe80::1", "metric 100"]),
        ("eth1 inet static", ["address 10.20.1.12/24"]),
        ("eth2 inet static", ["address 10.20.2.12/24", "gateway 10.20.2.1", "metric 200"]),
    ]


def test_a_new_generation_is_a_new_instance() -> None:
    assert meta_data("oslo", 1) != meta_data("oslo", 2)
    assert yaml.safe_load(meta_data("oslo", 2)) == {"instance-id": "oslo-2", "local-hostname": "oslo"}


def test_the_name_servers_are_the_sites() -> None:
    assert resolv_conf(site_section("oslo").node.network) == "nameserver 10.20.0.1\n"


def test_a_name_server_may_have_an_ipv6_address() -> None:
    servers = network(dns=["fd20:20::1", "10.20.0.1"])
    assert resolv_conf(servers) == "nameserver fd20:20::1\nnameserver 10.20.0.1\n"
