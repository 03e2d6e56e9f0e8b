"""The overlay's lines are those that the lab does not test: it stays short, and each has its production value here."""

from typing import Any

import pytest
import yaml

from config.loader import PROJECT
from config.site import Hypervisor, Node, SiteSection
from config.versions import IMAGES
from lab.paths import CHECKOUT
from lab.stacks import overlaid

DIGEST = "@sha256:" + 64 * "1"
VALUES = {
    "accelerator": "qemu",
    "known_hosts": "/lab/known_hosts",
    "node_image": "/lab/node.qcow2",
    "node_image_sha256": 64 * "2",
    "operator_key": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAA lab",
    "registry": "registry.lab:5000",
    "time_server": "10.20.0.1",
    "nas_host_key": "ssh-ed25519 AAAA",
    "registry_authority": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    "mosquitto": f"registry.lab:5000/mosquitto{DIGEST}",
    "telegraf": f"registry.lab:5000/telegraf{DIGEST}",
    "influxdb": f"registry.lab:5000/influxdb{DIGEST}",
    "services": f"registry.lab:5000/services{DIGEST}",
}

EVERYWHERE = {
    "allowPublishedSeed": True,
    "node.authorizedKeys": [VALUES["operator_key"]],
    "node.timeServers": ["10.20.0.1"],
    "node.hypervisor.accelerator": "qemu",
    "node.hypervisor.knownHosts": "/lab/known_hosts",
    "node.hypervisor.skipChecks": ["kvm", "nvme", "space"],
    "node.image.source": "/lab/node.qcow2",
    "node.image.sha256": 64 * "2",
    "node.registries": [{"host": "registry.lab:5000", "certificateAuthority": VALUES["registry_authority"]}],
}
AT_A_SITE = {
    "backup.hostKey": "ssh-ed25519 AAAA",
    **{f"iot.images.{name}": VALUES[name] for name in ("mosquitto", "telegraf", "influxdb", "services")},
}


def stack_file(stack: str) -> Any:
    return yaml.safe_load((CHECKOUT / f"Pulumi.{stack}.yaml").read_text())


def leaves(value: Any, path: str = "") -> dict[str, Any]:
    """Each value by its key's path; a list is one value."""
    if not isinstance(value, dict):
        return {path: value}
    return {
        key: leaf for name, item in value.items() for key, leaf in leaves(item, f"{path}.{name}".strip(".")).items()
    }


def changes(stack: str) -> dict[str, Any]:
    before, after = (
        leaves(file["config"][f"{PROJECT}:site"]) for file in (stack_file(stack), overlaid(stack_file(stack), VALUES))
    )
    assert not before.keys() - after.keys()
    return {key: value for key, value in after.items() if key not in before or before[key] != value}


def test_the_overlay_changes_these_lines_of_a_site_and_no_other() -> None:
    assert changes("oslo") == EVERYWHERE | AT_A_SITE


def test_the_overlay_changes_these_lines_of_headquarters_and_no_other() -> None:
    assert changes("hq") == EVERYWHERE | {
        "summaries.image": VALUES["influxdb"],
        "summaries.services": VALUES["services"],
    }


@pytest.mark.parametrize("stack", ["hq", "oslo"])
def test_the_overlay_leaves_the_rest_of_the_stack_file(stack: str) -> None:
    before, after = stack_file(stack), overlaid(stack_file(stack), VALUES)
    for file in (before, after):
        del file["config"][f"{PROJECT}:site"]
    assert after == before


@pytest.mark.parametrize("stack", ["hq", "oslo"])
def test_the_overlaid_section_is_valid(stack: str) -> None:
    SiteSection.parse(overlaid(stack_file(stack), VALUES)["config"][f"{PROJECT}:site"], file="")


def test_a_value_of_any_kind_stays_text() -> None:
    overlay = overlaid(stack_file("hq"), VALUES | {"known_hosts": 'a: "b"\n# c'})
    assert overlay["config"][f"{PROJECT}:site"]["node"]["hypervisor"]["knownHosts"] == 'a: "b"\n# c'


# The production value of each line


@pytest.mark.parametrize("stack", ["hq", "oslo"])
def test_in_production_no_committed_stack_says_what_the_lab_adds(stack: str) -> None:
    said = leaves(stack_file(stack)["config"][f"{PROJECT}:site"])
    replaced = {"node.authorizedKeys", "node.image.source", "node.image.sha256"}
    assert said.keys() & EVERYWHERE.keys() == replaced
    assert said.keys() & AT_A_SITE.keys() <= {"backup.hostKey"}


def test_in_production_a_published_seed_is_refused() -> None:
    assert SiteSection.model_fields["allow_published_seed"].default is False


def test_in_production_the_accelerator_is_kvm() -> None:
    assert Hypervisor(host="any").accelerator == "kvm"


def test_in_production_the_hypervisors_host_key_is_committed() -> None:
    assert Hypervisor(host="any").known_hosts == "config/known_hosts"


def test_in_production_no_check_of_the_hypervisor_is_skipped() -> None:
    assert Hypervisor(host="any").skip_checks == ()


def test_in_production_the_time_comes_from_norway() -> None:
    assert Node.model_fields["time_servers"].default == ("ntp.justervesenet.no", "no.pool.ntp.org")


def test_in_production_registries_are_the_public_ones() -> None:
    assert Node.model_fields["registries"].default == ()
    assert IMAGES == {
        "mosquitto": "eclipse-mosquitto:2.1",
        "telegraf": "telegraf:1.39",
        "influxdb": "influxdb:1.8.10",
        "services": "ghcr.io/fjord-edge/services:0.1.0",
    }
