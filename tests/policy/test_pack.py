"""The pack as the engine runs it: a process in an environment of its own that answers by gRPC."""

import os
import subprocess
from collections.abc import Iterator, Mapping
from typing import Any

import grpc
import pytest
from google.protobuf.empty_pb2 import Empty
from google.protobuf.struct_pb2 import Struct
from pulumi.runtime.proto import analyzer_pb2, analyzer_pb2_grpc

from lab.paths import CHECKOUT
from lab.toolchain.versions import ENGINE, pinned
from policy.rules import CONTAINER, FIRST_BOOT, IMAGE, RULES, UNKNOWN

PYTHON = CHECKOUT / "policy" / ".venv" / "bin" / "python"
PATIENCE = 20.0


@pytest.fixture(scope="module")
def pack() -> Iterator[Any]:
    if not PYTHON.exists():
        missing = f"{PYTHON} is not there; lab/bootstrap venv makes it"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(missing)
    with subprocess.Popen([PYTHON, "-u", CHECKOUT / "policy", "127.0.0.1:1"], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield analyzer_pb2_grpc.AnalyzerStub(channel)
        process.kill()


def asked(type_: str, name: str, properties: Mapping[str, Any]) -> dict[str, Any]:
    struct = Struct()
    struct.update(properties)
    return {"type": type_, "name": name, "urn": f"urn:pulumi:oslo::fjord-edge::{type_}::{name}", "properties": struct}


def diagnostics(pack: Any, type_: str, properties: Mapping[str, Any]) -> list[tuple[str, str, int]]:
    request = analyzer_pb2.AnalyzeRequest(**asked(type_, "it", properties))
    found = pack.Analyze(request, timeout=PATIENCE).diagnostics
    return [(each.policyName, each.message, each.enforcementLevel) for each in found]


def test_it_has_every_rule_with_its_settings(pack: Any) -> None:
    info = pack.GetAnalyzerInfo(Empty(), timeout=PATIENCE)
    assert [policy.name for policy in info.policies] == [rule.name for rule in RULES]
    [residency] = [policy for policy in info.policies if policy.name == "data-residency"]
    assert residency.configSchema.properties["backups"]["description"] == "where backups may lie"
    assert "10.0.0.0/8" in list(residency.configSchema.properties["backups"]["default"])


def test_what_breaks_a_rule_is_refused_by_the_rules_name(pack: Any) -> None:
    [(rule, message, level)] = diagnostics(pack, IMAGE, {"name": "registry.example.com/mosquitto:latest"})
    assert rule == "images-by-digest"
    assert "registry.example.com/mosquitto:latest is no digest" in message
    assert level == analyzer_pb2.MANDATORY


def test_what_is_not_known_yet_keeps_no_rule_from_being_held(pack: Any) -> None:
    found = diagnostics(pack, CONTAINER, {"name": "telegraf", "image": UNKNOWN, "readOnly": True, "user": "0:0"})
    assert {rule for rule, _, _ in found} == {"container-privileges", "container-bounds", "container-network"}
    assert {level for _, _, level in found} == {analyzer_pb2.MANDATORY}


def test_a_secret_is_judged_and_not_told(pack: Any) -> None:
    text = 'write_files: [{path: /etc/resolv.conf, content: "nameserver 8.8.8.8\\n#hidden"}]'
    secret = {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270", "value": text}
    [(rule, message, _)] = diagnostics(pack, FIRST_BOOT, {"userData": secret, "networkConfig": "config: []"})
    assert rule == "data-residency"
    assert "8.8.8.8" in message
    assert "hidden" not in message


def test_a_rule_on_the_whole_stack_names_the_resource(pack: Any) -> None:
    port = {"internal": 1883, "external": 1883, "ip": "10.20.0.12"}
    network = "config: [{subnets: [{address: 10.20.0.12/24, gateway: 10.20.0.1}]}]"
    resources = [
        asked(CONTAINER, "oslo-mosquitto", {"ports": [port]}),
        asked(FIRST_BOOT, "oslo-first-boot-1", {"userData": "", "networkConfig": network}),
    ]
    request = analyzer_pb2.AnalyzeStackRequest(resources=[analyzer_pb2.AnalyzerResource(**each) for each in resources])
    [found] = pack.AnalyzeStack(request, timeout=PATIENCE).diagnostics
    assert found.policyName == "plain-mqtt"
    assert found.urn.endswith("::oslo-mosquitto")


def test_its_sdk_is_the_engines() -> None:
    assert pinned("pulumi", (CHECKOUT / "policy" / "requirements.txt").read_text()) == ENGINE
