"""The registry file that a seed and its epochs give."""

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from config.derive import identity_key, wireguard_key
from config.loader import PROJECT
from config.registry import load_registry
from edge import key
from edge.__main__ import main
from tests.sites import SEED, edited, entries, section, seed_text, write_registry


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A registry; beside it a pulumi that decrypts."""
    program = tmp_path / "bin" / "pulumi"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\necho \"$*\" >> {tmp_path}/asked\necho '{seed_text()}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    registry = tmp_path / "mesh"
    registry.mkdir()
    write_registry(registry, entries())
    monkeypatch.setattr(key, "REGISTRY", registry)
    return registry


def command(folder: Path, site: str, *words: str, **epochs: int) -> int:
    """`edge key` on a committed stack of other epochs, or on a site that is nobody's."""
    content = section(site if site in ("hq", "oslo") else "oslo")
    edited(content, "epochs", value=epochs)
    file = folder.parent / f"Pulumi.{site}.yaml"
    file.write_text(yaml.safe_dump({"config": {f"{PROJECT}:site": content, f"{PROJECT}:seed": {"secure": "v1:…"}}}))
    return main(["key", site, f"--config-file={file}", *words])


def written(folder: Path, site: str) -> Any:
    return yaml.safe_load((folder / f"{site}.yaml").read_text())


def test_it_prints_the_file_as_it_is(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(folder, "oslo") == 0
    assert capsys.readouterr().out == (folder / "oslo.yaml").read_text()
    assert seed_text() not in (folder.parent / "asked").read_text()


def test_it_writes_the_keys_of_the_epochs_and_leaves_the_rest(folder: Path) -> None:
    path = folder / "oslo.yaml"
    path.write_text("# who to call: Kari\n" + path.read_text())
    before = written(folder, "oslo")
    assert command(folder, "oslo", "--write", wireguard=2) == 0
    assert path.read_text().startswith("# who to call: Kari\n")
    assert written(folder, "oslo") == before | {"tunnelKey": wireguard_key(SEED, "oslo", 2).public}


def test_a_rotation_begins_with_the_next_keys_and_ends_without_them(folder: Path) -> None:
    before = written(folder, "oslo")
    next_tunnel, next_identity = wireguard_key(SEED, "oslo", 2).public, identity_key(SEED, "oslo", 2).public
    command(folder, "oslo", "--next", "--write")
    assert written(folder, "oslo") == before | {"nextTunnelKey": next_tunnel, "nextIdentityKey": next_identity}
    load_registry(folder)
    command(folder, "oslo", "--write", wireguard=2, identity=2)
    assert written(folder, "oslo") == before | {"tunnelKey": next_tunnel, "identityKey": next_identity}


def test_the_hubs_next_key_is_found_at_an_address_of_ipv6_too(folder: Path) -> None:
    write_registry(folder, edited(entries(), "hq", "endpoint", value="[2001:db8::1]:51820"))
    command(folder, "hq", "--next", "--write")
    assert written(folder, "hq")["nextEndpoint"] == "[2001:db8::1]:51821"
    load_registry(folder)
    command(folder, "hq", "--write", wireguard=2)
    assert written(folder, "hq")["endpoint"] == "[2001:db8::1]:51821"


def test_the_hubs_next_key_is_on_the_neighbouring_port_and_takes_it_along(folder: Path) -> None:
    command(folder, "hq", "--next", "--write")
    assert written(folder, "hq")["nextEndpoint"] == "hq.example.com:51821"
    load_registry(folder)
    command(folder, "hq", "--write", wireguard=2)
    assert written(folder, "hq")["endpoint"] == "hq.example.com:51821"
    assert "nextEndpoint" not in written(folder, "hq")
    command(folder, "hq", "--next", "--write", wireguard=2)
    assert written(folder, "hq")["nextEndpoint"] == "hq.example.com:51820"


def test_a_rotation_that_is_given_up_leaves_everything_as_it_was(folder: Path) -> None:
    before = (folder / "hq.yaml").read_text()
    command(folder, "hq", "--next", "--write")
    command(folder, "hq", "--write")
    assert (folder / "hq.yaml").read_text() == before


def test_a_site_without_a_file_gets_one_at_the_first_free_address(folder: Path) -> None:
    assert command(folder, "bergen", "--write") == 0
    entry = load_registry(folder).entries["bergen"]
    assert (str(entry.address), str(entry.address6)) == ("10.100.0.3", "fd5c:9a1e:27d4::3")
    assert entry.tunnel_key == wireguard_key(SEED, "bergen", 1).public


def test_an_address_of_which_only_one_family_is_taken_is_not_given(folder: Path) -> None:
    """People who write ::3 beside .12 take it from the third."""
    write_registry(folder, edited(entries(), "oslo", "address6", value="fd5c:9a1e:27d4::3"))
    assert command(folder, "bergen", "--write") == 0
    entry = load_registry(folder).entries["bergen"]
    assert (str(entry.address), str(entry.address6)) == ("10.100.0.4", "fd5c:9a1e:27d4::4")


def test_a_file_without_its_last_lines_end_is_written_line_by_line(folder: Path) -> None:
    path = folder / "oslo.yaml"
    path.write_text(path.read_text().removesuffix("\n"))
    assert command(folder, "oslo", "--next", "--write") == 0
    assert "nextTunnelKey" in written(folder, "oslo")
    assert command(folder, "oslo", "--write") == 0
    assert "nextTunnelKey" not in written(folder, "oslo")


def test_a_full_mesh_is_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = entries()
    files["hq"]["mesh"] = "10.100.0.0/30"
    write_registry(folder, files)
    assert command(folder, "bergen") == 1
    assert "the mesh 10.100.0.0/30 is full" in capsys.readouterr().err


def test_a_stack_without_a_seed_is_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = folder.parent / "Pulumi.oslo.yaml"
    file.write_text(yaml.safe_dump({"config": {f"{PROJECT}:site": section("oslo")}}))
    assert main(["key", "oslo", f"--config-file={file}"]) == 1
    made_by = "openssl rand -base64 32 | pulumi config set --secret seed --stack oslo"
    assert f"Pulumi.oslo.yaml: {PROJECT}:seed: the seed is missing; make one: {made_by}\n" in capsys.readouterr().err
