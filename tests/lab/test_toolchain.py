import os
import re
from pathlib import Path
from urllib.error import URLError

import pytest

import lab.toolchain
from lab import golang
from lab.toolchain import Toolchain, makers, source, versions

MODULES = sorted(path for path in source.MODULES.iterdir())


def required(module: str, path: str) -> str:
    match = re.search(
        rf"^(?:require )?\s*{re.escape(path)} v(\S+)", (source.MODULES / module / "go.mod").read_text(), re.M
    )
    assert match is not None, f"{module} does not require {path}"
    return match[1]


def test_versions_are_those_of_the_python_packages() -> None:
    requirements = "pulumi==3.259.0 \\\n    --hash=sha256:0\npulumi-docker==5.2.0 ; python_version > '3'\n"
    assert versions.pinned("pulumi", requirements) == "3.259.0"
    assert versions.pinned("pulumi-docker", requirements) == "5.2.0"


def test_a_package_that_is_not_pinned_is_named() -> None:
    with pytest.raises(ValueError, match="pulumi-random is not pinned"):
        versions.pinned("pulumi-random", "pulumi==3.259.0\n")


@pytest.mark.parametrize("module", ["pulumi", "command", "docker", "libvirt"])
def test_engine_and_plugins_are_built_with_the_version_of_the_python_sdk(module: str) -> None:
    assert required(module, "github.com/pulumi/pulumi/pkg/v3") == versions.ENGINE
    assert required(module, "github.com/pulumi/pulumi/sdk/v3") == versions.ENGINE


def test_services_are_built_in_the_versions_that_they_report() -> None:
    assert required("influxd", "github.com/influxdata/influxdb") == source.INFLUXDB
    assert required("telegraf", "github.com/influxdata/telegraf") == source.TELEGRAF


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.name)
def test_every_module_is_complete_and_asks_for_the_same_go(module: Path) -> None:
    assert (module / "go.sum").exists()
    asked = re.search(r"^go (\S+)$", (module / "go.mod").read_text(), re.M)
    assert asked is not None
    assert golang.parse_version(f"go{asked[1]}")[:2] == golang.REQUIRED


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with nothing on PATH but what a test puts into `bin`, and Pulumi's home in `home`."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}")
    monkeypatch.setenv("PULUMI_HOME", str(tmp_path / "home"))
    return tmp_path


def install(path: Path, script: str = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def install_all(machine: Path, version: str = f"v{versions.ENGINE}") -> None:
    install(machine / "bin" / "pulumi", f"echo {version}")
    install(machine / "bin" / "pulumi-language-python")
    for name in versions.PLUGINS:
        install(machine / "home" / "plugins" / versions.plugin_executable(name))


def test_a_whole_toolchain_on_the_machine_is_used(machine: Path) -> None:
    install_all(machine)
    toolchain = lab.toolchain.ensure()
    assert toolchain.origin == "machine"
    assert toolchain.pulumi == machine / "bin" / "pulumi"
    assert toolchain.plugins == machine / "home" / "plugins"


def test_another_version_on_the_machine_is_left_alone(machine: Path) -> None:
    install_all(machine, version="v3.0.0")
    assert lab.toolchain.on_machine() is None


@pytest.mark.parametrize(
    "missing",
    ["bin/pulumi", "bin/pulumi-language-python", f"home/plugins/{versions.plugin_executable('libvirt')}"],
)
def test_a_toolchain_on_the_machine_that_lacks_a_part_is_left_alone(machine: Path, missing: str) -> None:
    install_all(machine)
    (machine / missing).unlink()
    assert lab.toolchain.on_machine() is None


def test_what_the_lab_built_is_not_taken_for_the_machines(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_all(machine)
    monkeypatch.setattr(lab.toolchain, "CACHE", machine)
    assert lab.toolchain.on_machine() is None


def test_makers_out_of_reach_are_asked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def refuse(url: str, timeout: float) -> None:
        asked.append((url, timeout))
        raise URLError("refused")

    monkeypatch.setattr(makers, "CACHE", tmp_path)
    monkeypatch.setattr("urllib.request.urlopen", refuse)
    assert makers.download() is None
    assert makers.download() is None
    [(url, timeout)] = asked
    assert f"v{versions.ENGINE}-linux-" in url
    assert timeout == makers.PATIENCE


def test_the_environment_has_its_own_home_with_the_plugins_in_it(tmp_path: Path) -> None:
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    toolchain = Toolchain("built", (tmp_path / "engine",), plugins)
    home = tmp_path / "state" / "home"
    for _ in range(2):
        environment = toolchain.environment(home)
    assert environment["PULUMI_HOME"] == str(home)
    assert (home / "plugins").resolve() == plugins
    assert environment["PATH"].split(os.pathsep)[0] == str(tmp_path / "engine")
    assert environment["PATH"].endswith(os.environ["PATH"])
    assert environment["PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION"] == "true"
