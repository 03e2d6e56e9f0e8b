import base64
import io
import re
import tarfile
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from config.versions import IMAGES
from edge.recorder.recording import Registered
from lab.paths import CHECKOUT
from policy import plan
from policy.rules import (
    CONTAINER,
    DOCKER,
    FIRST_BOOT,
    IMAGE,
    LIBVIRT,
    PLACES,
    PRIVATE,
    RULES,
    UNKNOWN,
    Resource,
    files,
    is_allowed,
    registry,
    violations,
)
from tests.recording import committed, deploy
from tests.sites import STACKS, edited, host_section, section

PULLED = "sha256:" + 64 * "0"
TELEGRAF, BROKER = f"{CONTAINER}::oslo-telegraf", f"{CONTAINER}::oslo-mosquitto"
MESH = f"{CONTAINER}::oslo-telegraf-mesh"
IMAGE_OF_BROKER = f"{IMAGE}::oslo-mosquitto-image"
HYPERVISOR, NODE = f"{LIBVIRT}::oslo-hypervisor", f"{DOCKER}::oslo-docker"
TUNNEL = "command:remote:Command::oslo-tunnel"


def resources(registered: list[Registered]) -> dict[str, Resource]:
    """What the rules judge of a recorded stack, by reference; each image is pulled."""
    found = {each.reference: plan.resource(each) for each in registered}
    for reference, each in found.items():
        if each.properties.get("image") == "sha256:of-the-pulled-image":
            found[reference] = replace(each, properties={**each.properties, "image": PULLED})
    return found


def oslo(**site: Any) -> dict[str, Resource]:
    return resources(deploy("oslo", section("oslo") | site).registered if site else committed("oslo").registered)


def broken(whole: Mapping[str, Resource], config: Any = None) -> list[tuple[str, str]]:
    """The rules that are broken, and by which resource."""
    return [(found.rule, found.resource.name) for found in violations(whole.values(), config)]


@pytest.mark.parametrize("preview", [False, True])
@pytest.mark.parametrize("stack", STACKS)
def test_the_committed_stacks_keep_every_rule(stack: str, preview: bool) -> None:
    assert broken(resources(committed(stack, preview=preview).registered)) == []


def test_so_does_a_headquarters_on_a_machine_that_was_there_already() -> None:
    assert broken(resources(deploy("hq", host_section()).registered)) == []


def test_plain_mqtt_in_the_farms_own_network_is_allowed() -> None:
    iot = edited(section("oslo")["iot"], "plainMqtt", value=True)
    assert broken(oslo(iot=iot)) == []


@pytest.mark.parametrize(
    ("keys", "value", "found"),
    [
        (("node", "network", "dns"), ["8.8.8.8"], "8.8.8.8 is not among the dns"),
        (("node", "timeServers"), ["time.google.com"], "time.google.com is not among the timeServers"),
        (("backup", "host"), "s3.example.com", "s3.example.com is not among the backups"),
        (("iot", "alarms"), {"webhook": "https://hooks.example.com/x"}, "hooks.example.com is not among the webhooks"),
        (
            ("iot", "images", "mosquitto"),
            f"quay.io/somebody/mosquitto@sha256:{64 * '0'}",
            "quay.io is not among the registries of policy/places.json; use another, or add it there",
        ),
    ],
)
def test_a_config_that_sends_data_elsewhere_is_reported(keys: tuple[str, ...], value: Any, found: str) -> None:
    site = edited(section("oslo"), *keys, value=value)
    [violation] = violations(resources(deploy("oslo", site).registered).values())
    assert violation.rule == "data-residency"
    assert violation.message.startswith(found)


def test_images_may_come_from_where_a_new_site_and_edge_pin_take_them() -> None:
    assert {registry(image) for image in IMAGES.values()} <= set(PLACES["registries"])


def test_so_is_headquarters_webhook() -> None:
    site = edited(section("hq"), "summaries", "webhook", value="https://hooks.example.com/x")
    [violation] = violations(resources(deploy("hq", site).registered).values())
    assert violation.message.startswith("hooks.example.com is not among the webhooks")


def test_a_tunnel_to_another_place_is_reported() -> None:
    whole = oslo()
    text = base64.b64decode(whole[TUNNEL].properties["stdin"]).replace(b"hq.example.com", b"hq.example.net")
    stdin = base64.b64encode(text).decode()
    assert broken(edit(whole, TUNNEL, stdin=stdin)) == [("data-residency", "oslo-tunnel")]


def edit(whole: dict[str, Resource], reference: str, **properties: Any) -> dict[str, Resource]:
    """The stack with some of one resource's properties changed."""
    resource = whole[reference]
    return whole | {reference: replace(resource, properties={**resource.properties, **properties})}


SSH = '["-o", "StrictHostKeyChecking=no"]'
WITHOUT_KEY = {"host": "10.20.0.12", "user": "edge"}
LAN = {"internal": 1883, "external": 1883, "protocol": "tcp"}


@pytest.mark.parametrize(
    ("rule", "reference", "properties"),
    [
        ("plain-mqtt", BROKER, {"ports": [{**LAN, "ip": "10.20.0.12"}]}),
        ("plain-mqtt", BROKER, {"ports": [{**LAN, "ip": "10.100.0.2"}]}),
        ("plain-mqtt", BROKER, {"ports": [{**LAN, "external": 2883, "ip": "10.20.0.12"}]}),
        ("images-by-digest", IMAGE_OF_BROKER, {"name": "registry.example.com/mosquitto:2.1"}),
        ("images-by-digest", BROKER, {"image": "registry.example.com/mosquitto:latest"}),
        ("data-residency", BROKER, {"image": f"quay.io/eclipse/mosquitto@sha256:{64 * '0'}"}),
        ("host-keys", HYPERVISOR, {"uri": "qemu+ssh://root@10.20.0.1/system?knownhosts=k&no_verify=1"}),
        ("host-keys", HYPERVISOR, {"uri": "qemu+ssh://root@10.20.0.1/system"}),
        ("host-keys", HYPERVISOR, {"uri": "qemu+tcp://10.20.0.1/system?knownhosts=k"}),
        ("host-keys", NODE, {"sshOpts": SSH}),
        ("host-keys", NODE, {"sshOpts": []}),
        ("host-keys", NODE, {"host": "tcp://10.20.0.12:2375"}),
        ("host-keys", TUNNEL, {"connection": WITHOUT_KEY}),
        ("host-keys", TUNNEL, {"create": "ssh -o StrictHostKeyChecking=no nas"}),
        ("container-privileges", TELEGRAF, {"capabilities": {"drops": ["ALL"], "adds": ["CAP_NET_ADMIN"]}}),
        ("container-privileges", MESH, {"capabilities": {"drops": ["ALL"], "adds": ["CAP_SYS_ADMIN"]}}),
        ("container-privileges", TELEGRAF, {"capabilities": {}}),
        ("container-privileges", TELEGRAF, {"privileged": True}),
        ("container-privileges", TELEGRAF, {"devices": [{"hostPath": "/dev/sda"}]}),
        ("container-privileges", TELEGRAF, {"user": "0:0"}),
        ("container-privileges", TELEGRAF, {"user": None}),
        ("container-privileges", TELEGRAF, {"securityOpts": []}),
        ("container-privileges", TELEGRAF, {"securityOpts": ["no-new-privileges:true", "seccomp=unconfined"]}),
        ("container-files", TELEGRAF, {"readOnly": False}),
        ("container-files", TELEGRAF, {"uploads": [{"file": "/etc/telegraf/telegraf.conf"}]}),
        ("container-files", TELEGRAF, {"volumes": [{"hostPath": "/var/run/docker.sock", "readOnly": True}]}),
        ("container-files", TELEGRAF, {"volumes": [{"hostPath": "/etc/fjord-edge/telegraf"}]}),
        ("container-bounds", TELEGRAF, {"memory": None}),
        ("container-bounds", TELEGRAF, {"memorySwap": -1}),
        ("container-bounds", TELEGRAF, {"cgroupParent": None}),
        ("container-network", TELEGRAF, {"networkMode": "host"}),
        ("container-network", TELEGRAF, {"networksAdvanced": []}),
        ("container-network", TELEGRAF, {"pidMode": "host"}),
        ("container-network", BROKER, {"ports": [{"internal": 8883, "external": 8883, "ip": "::"}]}),
        ("container-network", BROKER, {"ports": [{"internal": 8883, "external": 8883}]}),
    ],
)
def test_each_rule_reports_the_one_edit_that_breaks_it(rule: str, reference: str, properties: dict[str, Any]) -> None:
    whole = oslo()
    assert broken(edit(whole, reference, **properties)) == [(rule, whole[reference].name)]


@pytest.mark.parametrize("name", ["oslo-data", "oslo-pool"])
def test_data_that_an_update_could_delete_is_reported(name: str) -> None:
    whole = oslo()
    [reference] = [key for key, each in whole.items() if each.name == name]
    assert broken(whole | {reference: replace(whole[reference], protect=False)}) == [("data-protected", name)]


def test_a_broker_that_speaks_without_tls_at_another_port_is_reported_there() -> None:
    whole = oslo()
    reference = "command:remote:Command::oslo-mosquitto-files"
    brought = files(whole[reference])
    [path] = [path for path in brought if path.endswith("/mosquitto.conf")]
    start, end = brought[path].split("listener 8884\n")
    stdin = packed({path: f"{start}listener 8884\n{end.replace('certfile', '# certfile')}"})
    assert broken(edit(whole, reference, stdin=stdin)) == []
    ports = [{"internal": 8884, "external": 8883, "ip": "10.20.0.12"}]
    assert broken(edit(edit(whole, reference, stdin=stdin), BROKER, ports=ports)) == [("plain-mqtt", "oslo-mosquitto")]


def packed(contents: Mapping[str, str]) -> str:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for path, text in contents.items():
            member = tarfile.TarInfo(path.lstrip("/"))
            member.size = len(text.encode())
            tar.addfile(member, io.BytesIO(text.encode()))
    return base64.b64encode(archive.getvalue()).decode()


def test_without_a_network_of_the_farm_plain_mqtt_is_nowhere_allowed() -> None:
    whole = edit(oslo(), BROKER, ports=[{**LAN, "ip": "10.20.1.12"}])
    del whole[f"{FIRST_BOOT}::oslo-first-boot-1"]
    assert broken(whole) == [("plain-mqtt", "oslo-mosquitto")]


@pytest.mark.parametrize(
    ("place", "allowed"),
    [
        ("hq.example.com", True),
        ("hq.example.com.evil.net", False),
        ("a.justervesenet.no", True),
        ("justervesenet.no", False),
        ("evil-justervesenet.no", False),
        ("10.1.2.3", True),
        ("fd20:20::1", True),
        ("11.1.2.3", False),
        ("2001:db8::1", False),
        ("10.example.com", False),
    ],
)
def test_a_list_allows_hosts_domains_and_networks(place: str, allowed: bool) -> None:
    assert is_allowed(place, ("hq.example.com", ".justervesenet.no", *PRIVATE)) is allowed


def test_the_packs_config_replaces_a_default() -> None:
    site = edited(section("oslo"), "node", "network", "dns", value=["193.75.75.75"])
    whole = resources(deploy("oslo", site).registered)
    assert broken(whole) == [("data-residency", "oslo-first-boot-1")]
    assert broken(whole, {"data-residency": {"dns": ["193.75.75.0/24"]}}) == []
    assert broken(oslo(), {"container-network": {"onHost": []}}) == [("container-network", "oslo-telegraf-mesh")]


def test_what_is_not_known_yet_passes() -> None:
    assert broken(edit(oslo(), BROKER, image=UNKNOWN)) == []


def test_a_violation_shows_no_file() -> None:
    whole = edit(oslo(), TUNNEL, connection=WITHOUT_KEY)
    assert "stdin" not in repr(violations(whole.values()))


def test_a_plan_is_told_of_what_its_recorded_program_breaks() -> None:
    site = edited(section("oslo"), "node", "timeServers", value=["time.example.net"])
    [found] = plan.violations(deploy("oslo", site, preview=True).registered)
    assert (found.policy, found.resource, found.is_mandatory) == ("data-residency", "oslo-host-config", True)


def test_the_document_names_every_rule_and_setting() -> None:
    text = (CHECKOUT / "docs" / "policy.md").read_text()
    told = set(re.findall(r"^\| `([A-Za-z-]+)` \|", text, re.MULTILINE))
    assert told == {rule.name for rule in RULES} | PLACES.keys()
    assert [key for rule in RULES for key in rule.settings if f"`{key}`" not in text] == []
