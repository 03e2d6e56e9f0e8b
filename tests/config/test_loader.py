"""Every mistake is told before any resource: the program itself runs, and the monitor saw nothing."""

import base64
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from config.base import ConfigError
from config.derive import Seed, identity_key, summary_account, wireguard_key
from config.loader import (
    CHECKOUT,
    PROJECT,
    PUBLISHED_SEEDS,
    REGISTRY,
    OnHypervisor,
    Site,
    StackConfig,
    assemble,
    placeholder,
    public_keys,
    published_passphrase,
)
from config.registry import load_registry
from config.site import Epochs
from tests.recording import SEED_KEY, SITE_KEY, config_of, deploy, refusal
from tests.sites import EXAMPLES, SEED, edited, entries, host_section, registry, section, seed_text, write_registry

SITE_FILE = f"Pulumi.oslo.yaml: {SITE_KEY}"
SEED_FILE = f"Pulumi.oslo.yaml: {SEED_KEY}: "
NETWORK = ("node", "network")


def told(message: str) -> list[str]:
    """The mistakes in a message."""
    head, *mistakes = message.splitlines()
    assert head == "the config of oslo has mistakes, nothing was changed:"
    return mistakes


def wrong_site(*keys: str | int, value: Any) -> list[str]:
    site = edited(section("oslo"), *keys, value=value)
    return told(refusal("oslo", config_of("oslo", site)))


def matches(line: str, mistake: str) -> bool:
    """Whether a line is this mistake's; a star at the end stands for the rest of it."""
    return bool(re.fullmatch(re.escape(mistake.removesuffix("*")) + (".+" if mistake.endswith("*") else ""), line))


PRIVATE_KEY = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAA\n-----END OPENSSH PRIVATE KEY-----\n"
SENSOR = {"id": "pen1-temp", "pen": "pen-1", "quantities": ["temperature"]}


@pytest.mark.parametrize(
    ("keys", "value", "mistake"),
    [
        (("nodes",), {}, ".nodes: no such key here; look it up in config/site.schema.json, or remove it"),
        (("node", "memory"), 2560, ".node.memory: no such key here; *"),
        (("node", "memoryMib"), "2560", '.node.memoryMib = "2560": Input should be a valid integer'),
        (("node", "cpus"), True, ".node.cpus = true: Input should be a valid integer"),
        (("node", "cpus"), 0, ".node.cpus = 0: Input should be greater than or equal to 1"),
        ((*NETWORK, "address"), "10.20.0.300/24", '.node.network.address = "10.20.0.300/24": *'),
        ((*NETWORK, "gateway"), "10.21.0.1", ".node.network: gateway 10.21.0.1 is outside 10.20.0.0/24; give one *"),
        ((*NETWORK, "gateway"), "10.20.0.12", ".node.network: gateway 10.20.0.12 is the guest's own address; give *"),
        ((*NETWORK, "address"), "10.20.0.0/24", ".node.network: address 10.20.0.0/24 is not a host of 10.20.0.0/24; *"),
        ((*NETWORK, "address"), "10.20.0.255/24", ".node.network: address 10.20.0.255/24 is not a host of *"),
        ((*NETWORK, "dns"), [], ".node.network.dns: *"),
        ((*NETWORK, "mac"), "01:00:5e:00:00:01", '.node.network.mac = "01:00:5e:00:00:01": a multicast MAC *'),
        ((*NETWORK, "mac"), "52-54-00-00-00-01", '.node.network.mac = "52-54-00-00-00-01": *'),
        (("node", "image", "sha256"), "0", '.node.image.sha256 = "0": *'),
        (
            ("node", "hypervisor", "accelerator"),
            "xen",
            ".node.hypervisor.accelerator = \"xen\": Input should be 'kvm' *",
        ),
        (("node", "authorizedKeys"), [], ".node.authorizedKeys: *"),
        (("node", "user"), "root", '.node.user = "root": root is one of the system\'s own users or groups; give *'),
        (("node", "user"), "operator", '.node.user = "operator": operator is one of the system\'s own users *'),
        (("node", "hypervisor", "pool"), "/srv/nvme/", '.node.hypervisor.pool = "/srv/nvme/": *'),
        (("node", "hypervisor", "pool"), "/srv/fjord edge", '.node.hypervisor.pool = "/srv/fjord edge": *'),
        (
            ("node", "hypervisor", "host"),
            "fd20::1",
            '.node.hypervisor.host = "fd20::1": an IPv6 address is not taken *',
        ),
        (("backup", "host"), "fd20:21::5", '.backup.host = "fd20:21::5": an IPv6 address is not taken here; write *'),
        (("node", "authorizedKeys"), [PRIVATE_KEY], ".node.authorizedKeys: entry 0 is not an OpenSSH public key; *"),
        (("iot", "images", "telegraf"), "telegraf:1.39", ".iot.images: telegraf: telegraf:1.39 is not pinned; write *"),
        (("iot", "sensors"), [SENSOR, SENSOR], ".iot: sensor pen1-temp is listed twice; give each device *"),
        (("iot", "sensors"), [], ".iot.sensors: *"),
        (("iot", "sensors", 0, "id"), "pen1/temp", '.iot.sensors.0.id = "pen1/temp": *'),
        (("iot", "certificates", "notAfter"), "2025-12-31", ".iot.certificates: notAfter 2025-12-31 is not later *"),
        (("epochs",), {"wireguard": 0}, ".epochs.wireguard = 0: *"),
        (("iot",), None, ".iot: a site needs this section; see edge/templates/site.yaml"),
    ],
)
def test_a_mistake_in_the_section_names_file_key_value_and_remedy(
    keys: tuple[str, ...], value: Any, mistake: str
) -> None:
    [line] = wrong_site(*keys, value=value)
    assert matches(line, SITE_FILE + mistake), line


LAN = {"bridge": "br-lan", "address": "10.20.1.12/24"}
LTE = {"bridge": "br-lte", "address": "10.20.2.12/24", "gateway": "10.20.2.1"}
ANY_MAC = {"mac": "02:00:00:00:00:01"}


@pytest.mark.parametrize(
    ("changed", "mistake"),
    [
        ({"bridge": None}, ": neither bridge nor libvirtNetwork is given; name the one that the guest joins"),
        ({"libvirtNetwork": "farm"}, ": bridge br0 and libvirtNetwork farm are two places; remove one of both"),
        ({"dns": ["10.20.0.1", "10.20.0.256"]}, '.dns.1 = "10.20.0.256": value is not a valid IPv4 or IPv6 address'),
        ({"address6": "fd20:20::/64"}, ": address fd20:20::/64 is not a host of fd20:20::/64; give one between *"),
        ({"address6": None}, ": gateway fd20:20::1 is of no use without an address6; add one, or remove gateway6"),
        ({"gateway6": "fd20:21::1"}, ": gateway fd20:21::1 is outside fd20:20::/64; give one inside it"),
        ({"gateway6": "fd20:20::12"}, ": gateway fd20:20::12 is the guest's own address; give the router's"),
        ({"lan": LAN | {"libvirtNetwork": "farm"}}, ".lan: bridge br-lan and libvirtNetwork farm are two places; *"),
        ({"lan": LAN | {"gateway": "10.20.1.1"}}, ".lan.gateway: no such key here; *"),
        ({"lan": LAN | {"address": "10.20.1.0/24"}}, ".lan: address 10.20.1.0/24 is not a host of 10.20.1.0/24; *"),
        (
            {"lan": LAN | {"address": "172.17.4.2/24"}},
            ".lan: network 172.17.4.0/24 overlaps 172.17.0.0/16, which Docker takes on the node; give the interface *",
        ),
        ({"lan": LAN | {"mac": "03:00:00:00:00:01"}}, '.lan.mac = "03:00:00:00:00:01": a multicast MAC *'),
        (
            {"lan": LAN | ANY_MAC, "backup": LTE | ANY_MAC},
            ": mac 02:00:00:00:00:01 is given to network.lan and network.backup; change one, or leave it out",
        ),
        (
            {"lan": LAN | {"address": "10.20.0.130/25"}},
            ": 10.20.0.0/24 of network and 10.20.0.128/25 of network.lan overlap; give each interface a network *",
        ),
        (
            {"lan": LAN | {"address6": "fd20:20:0:0:1::1/48"}},
            ": fd20:20::/64 of network and fd20:20::/48 of network.lan overlap; give each interface a network *",
        ),
        (
            {"backup": LTE | {"address": "10.20.1.2/23", "gateway": "10.20.1.1"}},
            ": 10.20.0.0/24 of network and 10.20.0.0/23 of network.backup overlap; give each interface a network *",
        ),
        ({"backup": LAN}, ".backup.gateway: this key is missing; add it"),
        ({"backup": LTE | {"gateway": "10.20.0.1"}}, ".backup: gateway 10.20.0.1 is outside 10.20.2.0/24; give *"),
        ({"backup": LTE | {"gateway": "10.20.2.12"}}, ".backup: gateway 10.20.2.12 is the guest's own address; *"),
        ({"backup": LTE | {"gateway6": "fe80::1"}}, ".backup: gateway fe80::1 is of no use without an address6; *"),
    ],
)
def test_a_mistake_in_the_network_names_file_key_value_and_remedy(changed: dict[str, Any], mistake: str) -> None:
    [line] = wrong_site(*NETWORK, value=section("oslo")["node"]["network"] | changed)
    assert matches(line, f"{SITE_FILE}.node.network{mistake}"), line


def test_every_mistake_of_the_section_is_told_at_once() -> None:
    site = edited(section("oslo"), "node", "cpus", value=0)
    del site["node"]["memoryMib"]
    assert told(refusal("oslo", config_of("oslo", site))) == [
        f"{SITE_FILE}.node.cpus = 0: Input should be greater than or equal to 1",
        f"{SITE_FILE}.node.memoryMib: this key is missing; add it",
    ]


def test_a_pasted_private_key_is_not_shown() -> None:
    assert "b3Blbn" not in "".join(wrong_site("node", "authorizedKeys", value=[PRIVATE_KEY]))


def test_a_secret_under_a_key_that_nobody_knows_is_not_shown() -> None:
    assert seed_text() not in "".join(wrong_site("seed", value=seed_text()))


def test_a_long_value_is_cut() -> None:
    [line] = wrong_site("node", "cpus", value=100 * "x")
    assert 100 * "x" not in line
    assert "…" in line


@pytest.mark.parametrize("text", ["[]", "oslo", "{"])
def test_a_section_that_is_none_is_told(text: str) -> None:
    config = config_of("oslo") | {SITE_KEY: text}
    assert told(refusal("oslo", config)) == [f"{SITE_FILE}: expected a section of keys; see edge/templates/site.yaml"]


def test_a_missing_section_is_told() -> None:
    config = {SEED_KEY: seed_text()}
    assert told(refusal("oslo", config)) == [
        f"{SITE_FILE}: this key is missing; copy the section of edge/templates/site.yaml and edit it"
    ]


def test_a_hub_takes_in_no_sensors() -> None:
    site = section("hq") | {"iot": section("oslo")["iot"]}
    assert refusal("hq", config_of("hq", site)).splitlines()[1:] == [
        f"Pulumi.hq.yaml: {SITE_KEY}.iot: a hub takes in no sensors; remove this section"
    ]


def test_a_hypervisor_behind_its_own_guest_is_refused() -> None:
    site = section("oslo")
    site["node"]["hypervisor"]["host"] = "10.100.0.2"
    assert refusal("oslo", config_of("oslo", site)).splitlines()[1:] == [
        f"Pulumi.oslo.yaml: {SITE_KEY}.node.hypervisor.host = 10.100.0.2: "
        "lies inside the mesh 10.100.0.0/24; give the hypervisor's own management address"
    ]


def test_an_interface_in_the_mesh_is_refused() -> None:
    assert wrong_site(*NETWORK, "lan", value=LAN | {"address": "10.100.0.129/25"}) == [
        f"{SITE_FILE}.node.network.lan.address = 10.100.0.129/25: overlaps the mesh 10.100.0.0/24, "
        "to which the tunnel leads; give the interface another network"
    ]


def test_an_uplink_whose_tunnel_is_too_small_for_ipv6_is_refused(tmp_path: Path) -> None:
    small = LTE | {"mtu": 1359}
    assert wrong_site(*NETWORK, "backup", value=small) == [
        f"{SITE_FILE} … mtu = 1359: the tunnel's packets would be too small for its IPv6 address; "
        "write at least 1360, or drop address6 in config/mesh/oslo.yaml"
    ]
    files = entries()
    del files["oslo"]["address6"]
    for uplink, registered in ((small, files), (LTE | {"mtu": 1360}, entries())):
        write_registry(tmp_path, registered)
        site = edited(section("oslo"), *NETWORK, "backup", value=uplink)
        content = StackConfig(site=json.dumps(site), seed=seed_text(), seed_is_secret=True)
        assert assemble("oslo", content, tmp_path).uplink_mtus == [1500, uplink["mtu"]]


def test_every_interface_in_another_sites_network_is_told() -> None:
    others = edited(entries(), "hq", "networks", value=["10.20.1.0/25", "10.20.2.0/23"])
    assert told(refusal("oslo", config_of("oslo"), registry=others)) == [
        f"{SITE_FILE}.node.{place}.address = {address}: overlaps the network of hq {network}, "
        "to which the tunnel leads; give the interface another network"
        for place, address, network in [
            ("network.lan", "10.20.1.12/24", "10.20.1.0/25"),
            ("network.backup", "10.20.2.12/24", "10.20.2.0/23"),
        ]
    ]


def test_a_sites_own_network_in_the_registry_is_its_lan(tmp_path: Path) -> None:
    write_registry(tmp_path, edited(entries(), "oslo", "networks", value=["10.20.1.0/24"]))
    content = StackConfig(site=config_of("oslo")[SITE_KEY], seed=seed_text(), seed_is_secret=True)
    assert [str(network) for network in assemble("oslo", content, tmp_path).entry.networks] == ["10.20.1.0/24"]


# The seed

REMEDY = "openssl rand -base64 32 | pulumi config set --secret seed --stack oslo"


def test_a_missing_seed_is_told() -> None:
    config = config_of("oslo")
    del config[SEED_KEY]
    assert told(refusal("oslo", config)) == [f"{SEED_FILE}the seed is missing; make one: {REMEDY}"]


def test_a_seed_in_the_clear_is_spent() -> None:
    message = refusal("oslo", config_of("oslo"), secret_keys=[])
    assert told(message) == [f"{SEED_FILE}the seed lies here in the clear; it is spent, make another: {REMEDY}"]
    assert seed_text() not in message


@pytest.mark.parametrize("text", ["", "hunter2-is-no-seed", seed_text()[:-8], seed_text() + seed_text()])
def test_a_seed_that_is_none_is_refused_and_never_shown(text: str) -> None:
    message = refusal("oslo", config_of("oslo") | {SEED_KEY: text})
    [line] = told(message)
    assert line.startswith(f"{SEED_FILE}the seed is not 32 bytes in base64; make one with ")
    assert not text or text not in message


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("config.loader.PUBLISHED_SEEDS", {SEED.fingerprint: "oslo"})


@pytest.mark.usefixtures("published")
def test_a_published_seed_is_refused() -> None:
    message = refusal("oslo", config_of("oslo"))
    remedy = "as its passphrase is; make a site of your own: bin/edge new-site <name> --owner <team>"
    assert told(message) == [f"{SEED_FILE}this is the published seed of the example oslo, {remedy}"]
    assert seed_text() not in message


@pytest.mark.usefixtures("published")
def test_a_published_seed_is_accepted_where_the_section_allows_it() -> None:
    assert deploy("oslo", section("oslo") | {"allowPublishedSeed": True}).registered


@pytest.mark.parametrize("stack", EXAMPLES)
def test_what_is_published_of_an_example_opens_it(stack: str) -> None:
    """The passphrase is `fjord-` and the name; the registry has the public keys of the seed that it decrypts."""
    content = yaml.safe_load((CHECKOUT / f"Pulumi.{stack}.yaml").read_text())
    _, salt, _, _, _ = content["encryptionsalt"].split(":")
    assert published_passphrase(content["encryptionsalt"]) == stack
    _, nonce, sealed = content["config"][SEED_KEY]["secure"].split(":")
    key = hashlib.pbkdf2_hmac("sha256", f"fjord-{stack}".encode(), base64.b64decode(salt), 1_000_000, 32)
    text = AESGCM(key).decrypt(base64.b64decode(nonce), base64.b64decode(sealed), None).decode()
    seed = Seed.parse(text)
    assert PUBLISHED_SEEDS[seed.fingerprint] == stack
    entry = load_registry(REGISTRY).entries[stack]
    keys = public_keys(seed, None, stack, Epochs())
    assert (keys["tunnelKey"], keys["identityKey"]) == (entry.tunnel_key, entry.identity_key)


def test_every_example_has_a_published_seed_and_allows_it_nowhere() -> None:
    assert sorted(PUBLISHED_SEEDS.values()) == sorted(EXAMPLES)
    assert SEED.fingerprint not in PUBLISHED_SEEDS
    assert not [stack for stack in EXAMPLES if "allowPublishedSeed" in section(stack)]


# What is not filled in


def test_what_is_not_filled_in_is_told_before_any_other_mistake() -> None:
    site = edited(section("oslo"), "node", "hypervisor", "host", value="CHANGE-ME its name")
    edited(site, "node", "cpus", value=0)
    edited(site, *NETWORK, "dns", value=["10.20.0.1", "CHANGE-ME a name server"])
    assert told(refusal("oslo", config_of("oslo", site))) == [
        f"{SITE_FILE}.node.hypervisor.host = CHANGE-ME: fill this in: its name",
        f"{SITE_FILE}.node.network.dns.1 = CHANGE-ME: fill this in: a name server",
    ]


# Where the site's state is

BACKEND = "s3://havbruk?region=eu-north-1"


@pytest.mark.parametrize("asked", [None, BACKEND, f"{BACKEND}/"])
def test_the_sites_own_backend_is_accepted_and_a_login_that_is_unknown(tmp_path: Path, asked: str | None) -> None:
    write_registry(tmp_path, edited(entries(), "oslo", "backend", value=BACKEND))
    text = config_of("oslo")[SITE_KEY]
    content = StackConfig(site=text, seed=seed_text(), seed_is_secret=True, backend=asked)
    assert assemble("oslo", content, tmp_path).entry.backend == BACKEND


@pytest.mark.parametrize("asked", ["https://me:secret@elsewhere", ""])
def test_another_backend_is_refused_and_not_shown(monkeypatch: pytest.MonkeyPatch, asked: str) -> None:
    monkeypatch.setenv("PULUMI_BACKEND_URL", asked)
    message = refusal("oslo", config_of("oslo"), registry=edited(entries(), "oslo", "backend", value=BACKEND))
    remedy = 'PULUMI_BACKEND_URL is another; in this shell: eval "$(bin/edge env oslo)"'
    assert told(message) == [f"config/mesh/oslo.yaml: backend = {BACKEND}: {remedy}"]
    assert "secret" not in message


def test_a_site_that_names_no_backend_takes_any(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULUMI_BACKEND_URL", BACKEND)
    assert deploy("oslo", section("oslo")).registered


# The site among the others


def test_a_site_without_a_registry_entry_is_told_which_file_to_add() -> None:
    others = {"hq": entries()["hq"]}
    [line] = told(refusal("oslo", config_of("oslo"), registry=others))
    assert line.startswith("config/mesh/oslo.yaml: ")
    assert line.endswith("the site has no registry entry; `edge key` prints one")


def test_a_key_that_the_seed_does_not_give_is_told_with_the_line_to_write() -> None:
    other = Seed(bytes(32))
    ours, theirs = entries(SEED)["oslo"], entries(other)["oslo"]
    message = refusal("oslo", config_of("oslo", seed=other))
    assert [re.sub(r"yaml:\d+", "yaml", line) for line in told(message)] == [
        f"config/mesh/oslo.yaml: {key} = {ours[key]}: the seed and epoch give another key; write `{key}: {theirs[key]}`"
        for key in ("tunnelKey", "identityKey")
    ]
    assert base64.b64encode(other.value).decode() not in message


def test_a_plan_with_a_placeholder_needs_neither_keys_nor_pins_and_with_any_other_seed_it_does(tmp_path: Path) -> None:
    placeholder_seed = Seed(bytes(32))
    write_registry(tmp_path, entries())
    site = edited(section("oslo"), "iot", "images", "telegraf", value="telegraf:1.39")
    edited(site, "node", "hypervisor", "knownHosts", value="nowhere")

    def assembled(seed: Seed) -> Site:
        content = StackConfig(site=json.dumps(site), seed=seed_text(seed), seed_is_secret=True)
        return assemble("oslo", content, tmp_path)

    with placeholder(placeholder_seed):
        assert assembled(placeholder_seed).seed == placeholder_seed
        with pytest.raises(ConfigError, match="the seed and epoch give another key"):
            assembled(Seed(bytes([1] * 32)))
    with pytest.raises(ConfigError, match="is not pinned"):
        assembled(placeholder_seed)


def test_a_new_epoch_asks_for_its_key_in_the_registry() -> None:
    [line] = wrong_site("epochs", value={"wireguard": 2})
    assert re.match(r"config/mesh/oslo\.yaml:\d+: tunnelKey = ", line)


@pytest.mark.parametrize("copied", [True, False], ids=["copied", "without-keys"])
def test_a_copied_entry_is_told_its_keys_before_it_is_told_whose_they_were(copied: bool) -> None:
    ours = entries()
    copy = {**ours["hq"], "address": "10.100.0.2"} if copied else {"role": "site"}
    lines = told(refusal("oslo", config_of("oslo"), registry=ours | {"oslo": copy}))
    assert [line.partition("write ")[2] for line in lines] == [
        f"`{key}: {ours['oslo'][key]}`" for key in ("tunnelKey", "identityKey")
    ]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_registry(tmp_path, entries())
    return tmp_path


def test_a_valid_config_is_a_site(folder: Path) -> None:
    content = StackConfig(site=config_of("oslo")[SITE_KEY], seed=seed_text(), seed_is_secret=True)
    site = assemble("oslo", content, folder)
    assert (site.name, site.seed, site.entry) == ("oslo", SEED, registry().entries["oslo"])
    assert isinstance(site.place, OnHypervisor)
    assert site.place.section.iot is not None
    assert [sensor.pen for sensor in site.place.section.iot.sensors] == [
        *("pen-1", "pen-1", "pen-2", "pen-2"),
        *(5 * ["barge"]),
    ]


def test_headquarters_is_a_site_without_sensors(folder: Path) -> None:
    content = StackConfig(site=config_of("hq")[SITE_KEY], seed=seed_text(), seed_is_secret=True)
    place = assemble("hq", content, folder).place
    assert isinstance(place, OnHypervisor)
    assert place.section.iot is None


# The next keys

NEXT_SEED = Seed(bytes(range(1, 33)))


def site_of(folder: Path, stack: str, next_seed: Seed | None = None, **registered: Any) -> Site:
    """A committed site, its registry file changed."""
    files = entries()
    files[stack] |= registered
    write_registry(folder, files)
    content = StackConfig(
        site=config_of(stack)[SITE_KEY],
        seed=seed_text(),
        seed_is_secret=True,
        next_seed=seed_text(next_seed) if next_seed else None,
    )
    return assemble(stack, content, folder)


def test_without_a_rotation_there_is_one_tunnel_key(tmp_path: Path) -> None:
    assert site_of(tmp_path, "oslo").tunnel_keys == [wireguard_key(SEED, "oslo", 1)]


@pytest.mark.parametrize("next_seed", [None, NEXT_SEED], ids=["same-seed", "next-seed"])
def test_the_next_tunnel_key_is_of_the_next_epoch(tmp_path: Path, next_seed: Seed | None) -> None:
    key = wireguard_key(next_seed or SEED, "oslo", 2)
    site = site_of(tmp_path, "oslo", next_seed, nextTunnelKey=key.public)
    assert site.tunnel_keys == [wireguard_key(SEED, "oslo", 1), key]


def test_a_next_key_that_no_epoch_gives_is_told_with_the_line_to_write() -> None:
    registered = entries()
    registered["oslo"]["nextTunnelKey"] = wireguard_key(SEED, "oslo", 3).public
    [line] = told(refusal("oslo", config_of("oslo"), registry=registered))
    right = wireguard_key(SEED, "oslo", 2).public
    assert line.endswith(f"write `nextTunnelKey: {right}`, or remove the line when the rotation is over")


def test_a_next_seed_in_the_clear_is_refused_and_not_shown() -> None:
    config = config_of("oslo") | {f"{PROJECT}:nextSeed": seed_text(NEXT_SEED)}
    message = refusal("oslo", config)
    assert "a seed lies here in the clear" in message
    assert seed_text(NEXT_SEED) not in message


def test_a_next_seed_that_is_none_is_refused_and_not_shown() -> None:
    key = f"{PROJECT}:nextSeed"
    message = refusal("oslo", config_of("oslo") | {key: "too short"}, secret_keys=[SEED_KEY, key])
    assert f"Pulumi.oslo.yaml: {key}: the seed is not 32 bytes in base64" in message
    assert "too short" not in message


# The accounts at headquarters


def test_headquarters_and_a_site_compute_the_same_account(folder: Path) -> None:
    content = StackConfig(site=config_of("hq")[SITE_KEY], seed=seed_text(), seed_is_secret=True)
    hq = assemble("hq", content, folder)
    theirs = summary_account("oslo", identity_key(SEED, "oslo", 1), hq.entry.identity_key)
    assert hq.summary_accounts == {"oslo": dict([theirs])}
    oslo = assemble(
        "oslo", StackConfig(site=config_of("oslo")[SITE_KEY], seed=seed_text(), seed_is_secret=True), folder
    )
    assert oslo.summary_account == theirs


def test_while_identity_keys_are_rotated_each_pair_has_its_account(tmp_path: Path) -> None:
    files = entries()
    files["oslo"]["nextIdentityKey"] = identity_key(SEED, "oslo", 2).public
    files["hq"]["nextIdentityKey"] = identity_key(SEED, "hq", 2).public
    write_registry(tmp_path, files)
    content = StackConfig(site=config_of("hq")[SITE_KEY], seed=seed_text(), seed_is_secret=True)
    accounts = assemble("hq", content, tmp_path).summary_accounts["oslo"]
    pairs = [
        summary_account("oslo", identity_key(SEED, "oslo", mine), identity_key(SEED, "hq", theirs).public)
        for mine in (1, 2)
        for theirs in (1, 2)
    ]
    assert accounts == dict(pairs)
    assert len(accounts) == len(set(accounts.values())) == 4


def test_only_headquarters_keeps_summaries() -> None:
    site = section("oslo") | {"summaries": section("hq")["summaries"]}
    [line] = told(refusal("oslo", config_of("oslo", site)))
    assert line == f"{SITE_FILE}.summaries: only the hub keeps summaries; remove this section"


# A machine that is there already


def test_only_the_hub_may_be_on_a_machine_that_is_there_already() -> None:
    [line] = told(refusal("oslo", config_of("oslo", host_section())))
    assert line == (f"{SITE_FILE}.host: only the hub may be on a machine that is there already; give the site a `node`")


def test_a_host_and_a_node_are_not_both_asked_for() -> None:
    both = host_section() | {"node": section("hq")["node"]}
    message = refusal("hq", config_of("hq", both))
    assert f"Pulumi.hq.yaml: {SITE_KEY}.node: no such key here" in message


def test_a_hosts_key_is_one() -> None:
    message = refusal("hq", config_of("hq", edited(host_section(), "host", "hostKey", value="SHA256:abc")))
    assert 'hostKey = "SHA256:abc": this is no SSH host key' in message
