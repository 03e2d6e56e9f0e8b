from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from components.edge_node.interfaces import METRICS, mac_address, named, uplinks
from config.site import Network
from tests.sites import section, site_section

SITES = st.from_regex(r"[a-z]([a-z0-9-]{0,29}[a-z0-9])?", fullmatch=True)


def network(**changed: Any) -> Network:
    return Network.parse(section("oslo")["node"]["network"] | changed, file="")


def test_each_interface_has_its_name_whatever_else_there_is() -> None:
    oslo = network()
    assert named(oslo) == {"eth0": oslo, "eth1": oslo.lan, "eth2": oslo.backup}
    assert list(named(network(lan=None))) == ["eth0", "eth2"]
    assert list(named(site_section("hq").node.network)) == ["eth0"]


def test_the_first_uplink_is_preferred_and_the_lan_is_none() -> None:
    assert uplinks(network()) == ["eth0", "eth2"]
    assert uplinks(network(backup=None)) == ["eth0"]
    assert METRICS["eth0"] < METRICS["eth2"]


def test_a_derived_mac_is_the_sites_own_and_stays() -> None:
    assert mac_address("oslo", "eth0", network()) == "52:54:00:53:f2:fe"
    assert mac_address("hq", "eth0", network()) != mac_address("oslo", "eth0", network())


@given(SITES)
def test_the_derived_macs_of_a_site_are_qemus_unicast_and_differ(site: str) -> None:
    macs = [mac_address(site, name, interface) for name, interface in named(network()).items()]
    assert len(set(macs)) == 3
    assert all(mac.startswith("52:54:00:") and len(mac) == 17 for mac in macs)
    assert not [mac for mac in macs if int(mac[:2], 16) & 1]


def test_a_configured_mac_is_taken() -> None:
    assert mac_address("oslo", "eth0", network(mac="02:00:00:00:00:01")) == "02:00:00:00:00:01"
