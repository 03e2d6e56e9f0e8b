import os
from pathlib import Path

import pytest
import yaml

from config.loader import PROJECT
from tests.edge.world import World
from tests.sites import section


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    # Not above: what it imports warns, and the warnings' filter is set later than this file is read.
    from edge.unlock import folder

    folder.cache_clear()
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return World(tmp_path)


@pytest.fixture
def stack_file(tmp_path: Path) -> str:
    path = tmp_path / "Pulumi.oslo.yaml"
    path.write_text(yaml.safe_dump({"config": {f"{PROJECT}:site": section("oslo")}}))
    return f"--config-file={path}"
