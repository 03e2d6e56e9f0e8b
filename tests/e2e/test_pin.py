"""Digests as a registry says them."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from config.loader import PROJECT
from lab.stacks import NAMES, Stack

ZERO = 64 * "0"


@pytest.mark.parametrize("name", NAMES)
def test_every_digest_and_checksum_is_found_again(stacks: dict[str, Stack], name: str, tmp_path: Path) -> None:
    stack = stacks[name]
    content = yaml.safe_load(stack.config_file.read_text())
    right = yaml.safe_load(stack.config_file.read_text())
    section: Any = content["config"][f"{PROJECT}:site"]
    section["node"]["image"]["sha256"] = ZERO
    for images in (section.get("iot", {}).get("images"), section.get("summaries")):
        for service, image in (images or {}).items():
            if "@" in image:
                images[service] = image.partition("@")[0] + f"@sha256:{ZERO}"
    file = tmp_path / f"Pulumi.{name}.yaml"
    file.write_text(yaml.safe_dump(content))
    assert content != right

    def pin(*words: str) -> int:
        done = stack.shell(f"bin/edge pin {name} {' '.join(words)} --config-file {file}")
        assert done.stderr == ""
        return done.returncode

    assert pin("--check") == 1
    assert yaml.safe_load(file.read_text()) == content
    assert pin() == 0
    assert yaml.safe_load(file.read_text()) == right
    assert pin("--check") == 0
