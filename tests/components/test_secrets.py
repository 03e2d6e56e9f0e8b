"""No secret is registered in the clear, and each reaches only those who need it."""

import base64
import io
import re
import tarfile
from collections.abc import Mapping
from typing import Any

import pytest

from config import derive
from config.derive import Purpose
from config.iot import Iot
from tests.recording import committed, texts
from tests.sites import SEED, STACKS, registry, seed_text, site_section

each_stack = pytest.mark.parametrize("stack", STACKS)


def key_lines(pem: str) -> list[str]:
    """The key itself, however its lines are joined: its longest line is enough to recognise it."""
    return [max(pem.splitlines(), key=len)]


def mqtt_secrets(stack: str, iot: Iot) -> Mapping[str, list[str]]:
    life: Any = {"not_before": iot.certificates.not_before, "not_after": iot.certificates.not_after}
    authority = derive.certificate_authority(SEED, stack, 1, **life)
    named: Any = {"authority": authority, "names": ["any"], "addresses": []}
    server = derive.server_certificate(SEED, stack, 1, **named, **life)
    page = derive.server_certificate(SEED, stack, 1, purpose=Purpose.PAGE_SERVER, **named, **life)
    sensors = [derive.mqtt_user(SEED, stack, sensor.id, 1) for sensor in iot.sensors]
    services = [derive.mqtt_user(SEED, stack, name, 1) for name in ("telegraf", "health", "alarms", "uplink", "page")]
    return {
        "authority's key": key_lines(authority.private),
        "server's key": key_lines(server.private),
        "page's key": key_lines(page.private),
        "sensors' passwords": [user.password for user in sensors],
        "services' passwords": [user.password for user in services],
        "webhook key": [derive.webhook_key(SEED, stack, 1)],
        "password hashes": [user.password_hash for user in [*sensors, *services]],
        "database passwords": [
            derive.influxdb_password(SEED, stack, user, 1) for user in ("admin", "telegraf", "reader", "uplink", "page")
        ],
        "page's PIN": [derive.page_pin(SEED, stack, 1)],
    }


def account_at_headquarters(stack: str) -> Mapping[str, list[str]]:
    own, theirs = derive.identity_key(SEED, stack, 1), registry().entries["hq"].identity_key
    return {"password at headquarters": [derive.summary_account(stack, own, theirs)[1]]}


def store_secrets() -> Mapping[str, list[str]]:
    sites, own = registry().entries, derive.identity_key(SEED, "hq", 1)
    accounts = [derive.summary_account(name, own, sites[name].identity_key) for name in sites if name != "hq"]
    summaries = site_section("hq").summaries
    assert summaries
    assert summaries.page
    life: Any = {
        "not_before": summaries.page.certificate.not_before,
        "not_after": summaries.page.certificate.not_after,
    }
    authority = derive.certificate_authority(SEED, "hq", 1, purpose=Purpose.PAGE_CA, **life)
    page = derive.server_certificate(
        SEED, "hq", 1, purpose=Purpose.PAGE_SERVER, authority=authority, names=["any"], addresses=[], **life
    )
    return {
        "page's authority's key": key_lines(authority.private),
        "page's key": key_lines(page.private),
        "administrator's password": [derive.influxdb_password(SEED, "hq", "admin", 1)],
        "sites' passwords": [password for _, password in accounts],
        "headquarters' password": [derive.influxdb_password(SEED, "hq", "headquarters", 1)],
        "webhook key": [derive.webhook_key(SEED, "hq", 1)],
    }


def secrets(stack: str) -> dict[str, list[str]]:
    """Everything that is derived from a site's seed and not public, as it would be written."""
    section = site_section(stack)
    return {
        "seed": [seed_text(), SEED.value.hex()],
        "tunnel key": [derive.wireguard_key(SEED, stack, 1).private],
        "identity key": [derive.identity_key(SEED, stack, 1).private],
        "SSH host key": key_lines(derive.ssh_host_key(SEED, stack, 1).private),
        **(mqtt_secrets(stack, section.iot) if section.iot else {}),
        **(account_at_headquarters(stack) if section.iot else {}),
        **(store_secrets() if section.summaries else {}),
    }


def readings(text: str) -> list[str]:
    """A text, and what any base64 in it stands for."""
    found = [text]
    for part in re.findall(r"[A-Za-z0-9+/]{40,}={0,2}", text):
        padded = part[: len(part) // 4 * 4]
        found.append(base64.b64decode(padded).decode("latin-1"))
    return found


def found_in(shown: list[str], values: list[str]) -> set[str]:
    everything = "\0".join(reading for text in shown for reading in readings(text))
    return {value for value in values if value in everything}


@each_stack
@pytest.mark.parametrize("preview", [False, True], ids=["update", "preview"])
def test_no_secret_is_registered_in_the_clear(stack: str, preview: bool) -> None:
    recording = committed(stack, preview=preview)
    clear = texts([[resource.name, resource.inputs] for resource in recording.registered]) + texts(recording.outputs)
    for kind, values in secrets(stack).items():
        assert not found_in(clear, values), f"{kind} is in the clear"


def test_the_only_secret_output_is_the_pages_pin() -> None:
    found = {stack: texts(committed(stack).outputs, secret=True) for stack in STACKS}
    assert found == {"hq": [], "oslo": [derive.page_pin(SEED, "oslo", 1)]}


def holders(stack: str, values: list[str]) -> set[str]:
    """The resources in whose secret inputs one of the values is."""
    return {
        resource.name
        for resource in committed(stack).registered
        if found_in(texts(resource.inputs, secret=True), values)
    }


@each_stack
def test_the_host_key_travels_by_cloud_init_alone(stack: str) -> None:
    assert holders(stack, secrets(stack)["SSH host key"]) == {f"{stack}-first-boot-1"}


@each_stack
def test_cloud_init_holds_no_other_secret(stack: str) -> None:
    for kind, values in secrets(stack).items():
        assert (f"{stack}-first-boot-1" in holders(stack, values)) == (kind == "SSH host key")


def test_each_secret_of_headquarters_reaches_its_readers() -> None:
    found = {kind: holders("hq", values) for kind, values in secrets("hq").items()}
    assert found == {
        "seed": set(),
        "tunnel key": {"hq-tunnel"},
        "identity key": set(),
        "SSH host key": {"hq-first-boot-1"},
        "administrator's password": {"hq-influxdb-users"},
        "sites' passwords": {"hq-influxdb-users"},
        "headquarters' password": {"hq-influxdb-users", "hq-watch-files", "hq-page-files"},
        "page's authority's key": set(),
        "page's key": {"hq-page-files"},
        "webhook key": {"hq-watch-files"},
    }


def test_each_secret_reaches_its_readers() -> None:
    """Also shows that the search above finds what is there."""
    found = {kind: holders("oslo", values) for kind, values in secrets("oslo").items()}
    assert found == {
        "seed": set(),
        "tunnel key": {"oslo-tunnel"},
        "identity key": set(),
        "SSH host key": {"oslo-first-boot-1"},
        "authority's key": set(),
        "server's key": {"oslo-mosquitto-files"},
        "page's key": {"oslo-page-files"},
        "page's PIN": {"oslo-page-files"},
        "sensors' passwords": set(),
        "services' passwords": {
            "oslo-mosquitto-files",
            "oslo-telegraf-files",
            "oslo-alarms-files",
            "oslo-uplink-files",
            "oslo-page-files",
        },
        "webhook key": {"oslo-alarms-files"},
        "password hashes": {"oslo-mosquitto-files"},
        "database passwords": {
            "oslo-influxdb-users",
            "oslo-influxdb-former-users",
            "oslo-telegraf-files",
            "oslo-telegraf-mesh-files",
            "oslo-uplink-files",
            "oslo-page-files",
        },
        "password at headquarters": {"oslo-uplink-files"},
    }


@each_stack
def test_a_file_that_holds_a_secret_is_its_readers_alone(stack: str) -> None:
    """The services' directories are 0500 and their files 0400; root's own files 0600."""
    values = [value for several in secrets(stack).values() for value in several]
    checked = 0
    for resource in committed(stack).registered:
        for member, contents in unpacked(resource.inputs):
            if any(value in contents for value in values):
                assert member.mode & 0o077 == 0, member.name
                checked += 1
    assert checked == {"hq": 5, "oslo": 12}[stack]


def unpacked(inputs: Mapping[str, Any]) -> list[tuple[tarfile.TarInfo, str]]:
    if isinstance(inputs.get("stdin", ""), str):
        return []
    with tarfile.open(fileobj=io.BytesIO(base64.b64decode(inputs["stdin"].value))) as tar:
        files = [(member, tar.extractfile(member)) for member in tar.getmembers()]
        return [(member, file.read().decode()) for member, file in files if file]


@each_stack
def test_no_container_has_a_secret_or_a_password_in_its_environment(stack: str) -> None:
    names = {
        entry.partition("=")[0]
        for container in committed(stack).of_type("docker:index/container:Container").values()
        for entry in container.inputs.get("envs", [])
    }
    assert names <= {"XDG_CONFIG_HOME", "PYTHONPATH", "PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE"}
