from typing import Any

import yaml

from components.edge_node.cloud_init import meta_data, network_config, resolv_conf, user_data
from config.derive import ssh_host_key
from config.site import SiteSection
from tests.sites import SEED, edited, section, site_section

KEY = ssh_host_key(SEED, "oslo", 1)


def cloud_config(site: SiteSection) -> Any:
    text = user_data("oslo", site.node, KEY)
    assert text.startswith("#cloud-config\n")
    return yaml.safe_load(text)


def test_the_node_has_the_host_key_under_which_it_is_reached_and_no_other() -> None:
    config = cloud_config(site_section("oslo"))
    assert config["ssh_keys"] == {"ecdsa_private": KEY.private, "ecdsa_public": KEY.public}
    assert (config["ssh_deletekeys"], config["ssh_genkeytypes"]) == (True, [])


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


def test_the_address_is_static() -> None:
    config = yaml.safe_load(network_config("oslo", site_section("oslo").node.network))
    assert config == {
        "version": 2,
        "ethernets": {
            "eth0": {
                "match": {"macaddress": "52:54:00:53:f2:fe"},
                "set-name": "eth0",
                "addresses": ["10.20.0.12/24"],
                "gateway4": "10.20.0.1",
            }
        },
    }


def test_a_new_generation_is_a_new_instance() -> None:
    assert meta_data("oslo", 1) != meta_data("oslo", 2)
    assert yaml.safe_load(meta_data("oslo", 2)) == {"instance-id": "oslo-2", "local-hostname": "oslo"}


def test_the_name_servers_are_the_sites() -> None:
    assert resolv_conf(site_section("oslo").node.network) == "nameserver 10.20.0.1\n"
