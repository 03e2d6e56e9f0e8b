import os
from pathlib import Path

import pytest
import yaml

from config.loader import PROJECT
from tests.edge.world import World
from tests.sites import entries, section, write_registry


@pytest.fixture(autouse=True)
def state_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state-home"))


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    # Not above: what it imports warns, and the warnings' filter is set later than this file is read.
    from edge.unlock import folder

    folder.cache_clear()
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return World(tmp_path)


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with the stack file of oslo and a registry, in which the command's files are written."""
    folder = tmp_path / "checkout"
    registry = folder / "config" / "mesh"
    registry.mkdir(parents=True)
    write_registry(registry, entries())
    content = {"config": {f"{PROJECT}:site": section("oslo"), f"{PROJECT}:seed": {"secure": "v1:…"}}}
    (folder / "Pulumi.oslo.yaml").write_text(yaml.safe_dump(content))
    for module in (
        "config.codeowners",
        "edge.env",
        "edge.handover",
        "edge.key",
        "edge.new_site",
        "edge.reseed",
        "edge.site",
    ):
        monkeypatch.setattr(f"{module}.REGISTRY", registry)
    for module in ("edge.new_site", "edge.site"):
        monkeypatch.setattr(f"{module}.CHECKOUT", folder)
    monkeypatch.setattr("config.codeowners.CODEOWNERS_FILE", folder / ".github" / "CODEOWNERS")
    for name in ("PULUMI_BACKEND_URL", "PULUMI_CONFIG_PASSPHRASE", "PULUMI_CONFIG_PASSPHRASE_FILE"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    return folder


@pytest.fixture
def stack_file(tmp_path: Path) -> str:
    path = tmp_path / "Pulumi.oslo.yaml"
    path.write_text(yaml.safe_dump({"config": {f"{PROJECT}:site": section("oslo")}}))
    return f"--config-file={path}"
