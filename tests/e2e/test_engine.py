"""What the real engine says of stacks that are deployed."""

import pytest

from lab.stacks import Stack


@pytest.mark.parametrize("name", ["hq", "oslo"])
def test_a_second_up_changes_nothing(stacks: dict[str, Stack], name: str) -> None:
    assert set(stacks[name].preview()) == {"same"}


@pytest.mark.parametrize("name", ["hq", "oslo"])
def test_a_preview_with_refresh_is_empty(stacks: dict[str, Stack], name: str) -> None:
    assert set(stacks[name].preview("--refresh")) == {"same"}


def test_an_unknown_key_stops_before_any_resource(oslo: Stack) -> None:
    broken = oslo.config_file.read_text().replace("cpus: 2", "cpus: 2\n      cpuz: 2")
    said = oslo.refused_preview(broken)
    assert "Pulumi.oslo.yaml: fjord-edge:site.node.cpuz: no such key here" in said
    assert "Traceback" not in said
