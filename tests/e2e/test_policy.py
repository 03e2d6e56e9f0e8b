"""The policy pack in the real engine, on the stack that is deployed."""

import json
from pathlib import Path

import pytest

from lab.stacks import Stack

_PACK = ("--policy-pack", "policy")


@pytest.mark.parametrize("name", ["hq", "oslo"])
def test_a_deployed_stack_keeps_every_rule(stacks: dict[str, Stack], name: str) -> None:
    assert set(stacks[name].preview(*_PACK)) == {"same"}


def test_an_edit_that_breaks_a_rule_fails_the_preview_by_the_rules_name(oslo: Stack) -> None:
    with oslo.edited("node", "timeServers", value=["time.example.net"]):
        said = oslo.refused_preview(oslo.config_file.read_text(), *_PACK)
    assert "data-residency" in said
    assert "time.example.net is not among the timeServers" in said


def test_a_rule_takes_its_places_from_the_packs_config(oslo: Stack, tmp_path: Path) -> None:
    config = tmp_path / "policy.json"
    config.write_text(json.dumps({"data-residency": {"timeServers": ["time.example.net"]}}))
    with oslo.edited("node", "timeServers", value=["time.example.net"]):
        assert "update" in oslo.preview(*_PACK, "--policy-pack-config", str(config))
