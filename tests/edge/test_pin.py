"""Digests come from the registries, checksums from where the image was built; nothing is typed."""

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from config.loader import PROJECT
from config.versions import IMAGES
from edge import pin
from edge.__main__ import main
from lab.paths import CHECKOUT
from tests.sites import STACKS, edited, host_section, section

Captured = pytest.CaptureFixture[str]

OTHERS = [IMAGES[name].rpartition("/")[2] for name in ("telegraf", "influxdb", "services")]
RELEASES = [IMAGES[name] for name in ("mosquitto", "telegraf", "influxdb", "services")]


SKOPEO = """\
#!/bin/sh
printf '%s\\n' "$*" >> {folder}/asked
while [ $# -gt 0 ]; do
    [ "$1" = --cert-dir ] && cat "$2/ca.crt" >> {folder}/trusted
    image=$1
    shift
done
grep -F "$image " {folder}/known | cut -d " " -f 2 | grep . || {{
    echo "reading manifest: denied" >&2
    exit 1
}}
"""


class Registries:
    """A skopeo that knows these images, and remembers what it was asked and trusted."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        program = folder / "skopeo"
        program.write_text(SKOPEO.format(folder=folder))
        program.chmod(0o755)

    def know(self, *images: str) -> None:
        lines = (f"docker://{image} {digest(number)}" for number, image in enumerate(images))
        (self.folder / "known").write_text("\n".join(lines) + "\n")

    @property
    def asked(self) -> list[str]:
        return (self.folder / "asked").read_text().splitlines()


def digest(number: int) -> str:
    return "sha256:" + 64 * str(number)


@pytest.fixture
def registries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registries:
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    # Nothing of a node image that was built in this checkout is read.
    monkeypatch.setattr(pin, "CHECKOUT", tmp_path)
    found = Registries(tmp_path)
    found.know(*RELEASES)
    return found


def stack_file(folder: Path, stack: str, site: Any = None) -> Path:
    """The committed stack file to the letter, or another section."""
    path = folder / f"Pulumi.{stack}.yaml"
    text = (CHECKOUT / f"Pulumi.{stack}.yaml").read_text()
    path.write_text(yaml.safe_dump({"config": {f"{PROJECT}:site": site}}) if site else text)
    return path


def command(path: Path, *words: str) -> int:
    return main(["pin", path.stem.partition(".")[2], f"--config-file={path}", *words])


def written(path: Path) -> Any:
    return yaml.safe_load(path.read_text())["config"][f"{PROJECT}:site"]


def test_an_unpinned_stack_gets_its_images_and_keeps_all_else(registries: Registries, tmp_path: Path) -> None:
    path = stack_file(tmp_path, "oslo")
    before = path.read_text().splitlines()
    assert command(path) == 0
    assert written(path)["iot"]["images"] == {
        "mosquitto": f"eclipse-mosquitto@{digest(0)}",
        "telegraf": f"telegraf@{digest(1)}",
        "influxdb": f"influxdb@{digest(2)}",
        "services": f"ghcr.io/fjord-edge/services@{digest(3)}",
    }
    after = path.read_text().splitlines()
    place = after.index("      images:")
    assert after[:place] + after[place + 5 :] == before
    assert registries.asked == [f"inspect --no-tags --format {{{{.Digest}}}} docker://{image}" for image in RELEASES]


def test_what_is_still_to_be_filled_in_gets_our_releases(registries: Registries, tmp_path: Path) -> None:
    site = edited(
        section("oslo"), "iot", "images", "mosquitto", value="CHANGE-ME eclipse-mosquitto:2.1 as name@sha256:…"
    )
    path = stack_file(tmp_path, "oslo", site)
    registries.know(*RELEASES, *(f"registry.example.com/{name}" for name in OTHERS))
    assert command(path) == 0
    assert written(path)["iot"]["images"]["mosquitto"] == f"eclipse-mosquitto@{digest(0)}"


def test_headquarters_gets_its_own_on_a_machine_that_is_there_too(registries: Registries, tmp_path: Path) -> None:
    for site in (None, host_section()):
        path = stack_file(tmp_path, "hq", site)
        registries.know(*RELEASES, "registry.example.com/influxdb:1.8.10", "registry.example.com/services:0.1.0")
        assert command(path) == 0
        summaries = written(path)["summaries"]
        host, first = ("registry.example.com/", 4) if site else ("", 2)
        assert summaries["image"] == f"{host}influxdb@{digest(first)}"
        assert summaries["services"] == f"{host or 'ghcr.io/fjord-edge/'}services@{digest(first + 1)}"


def test_a_second_time_changes_nothing_and_a_newer_release_is_told(
    registries: Registries, tmp_path: Path, capsys: Captured
) -> None:
    path = stack_file(tmp_path, "oslo")
    assert command(path, "--check") == 1
    assert command(path) == 0
    assert command(path, "--check") == 0
    text = path.read_text()
    assert command(path) == 0
    registries.know("another", *RELEASES)
    capsys.readouterr()
    assert command(path, "--check") == 1
    assert f"eclipse-mosquitto@{digest(1)}" in capsys.readouterr().out
    assert path.read_text() == text


@pytest.mark.parametrize("stack", STACKS)
def test_a_registry_that_does_not_answer_is_told_and_nothing_is_written(
    registries: Registries, tmp_path: Path, capsys: Captured, stack: str
) -> None:
    registries.know(*RELEASES[:-1])
    path = stack_file(tmp_path, stack)
    before = path.read_text()
    assert command(path) == 1
    told = f"edge: {IMAGES['services']} was not found, nothing was written"
    assert capsys.readouterr().err.startswith(told)
    assert path.read_text() == before
    assert command(path, "--check") == 2, "not as where something is new"
    assert capsys.readouterr().err.startswith(told)


def test_an_answer_that_is_no_digest_is_not_believed(registries: Registries, tmp_path: Path, capsys: Captured) -> None:
    (registries.folder / "known").write_text("".join(f"docker://{image} latest\n" for image in RELEASES))
    assert command(stack_file(tmp_path, "hq")) == 1
    assert "its answer was 'latest'" in capsys.readouterr().err


def test_a_mirror_is_asked_and_its_own_authority_trusted(registries: Registries, tmp_path: Path) -> None:
    site = yaml.safe_load((CHECKOUT / "Pulumi.oslo.yaml").read_text())["config"][f"{PROJECT}:site"]
    site["iot"]["images"] = {"mirror": "mirror.example.com:5000/farm"}
    site["node"]["registries"] = [{"host": "mirror.example.com:5000", "certificateAuthority": "AUTHORITY\n"}]
    mirror = "mirror.example.com:5000/farm/"
    registries.know(*(f"{mirror}{image.removeprefix('ghcr.io/')}" for image in RELEASES))
    path = stack_file(tmp_path, "oslo", site)
    assert command(path) == 0
    assert written(path)["iot"]["images"] == {
        "mirror": "mirror.example.com:5000/farm",
        **{name: f"{pin.repository(image)}@{digest(n)}" for n, (name, image) in enumerate(IMAGES.items())},
    }
    assert (tmp_path / "trusted").read_text() == 4 * "AUTHORITY\n"


@pytest.mark.parametrize(
    ("image", "name"),
    [
        ("telegraf:1.39", "telegraf"),
        ("localhost:5000/telegraf@sha256:00", "localhost:5000/telegraf"),
        ("localhost:5000/farm/telegraf:1.39@sha256:00", "localhost:5000/farm/telegraf"),
    ],
)
def test_a_name_is_without_tag_and_digest_and_with_its_registrys_port(image: str, name: str) -> None:
    assert pin.repository(image) == name


@pytest.mark.usefixtures("registries")
def test_a_node_image_has_the_checksum_that_lies_beside_it(tmp_path: Path) -> None:
    (tmp_path / "node.qcow2.sha256").write_text(f"{64 * 'a'}  node.qcow2\n")
    path = stack_file(tmp_path, "hq")
    assert command(path) == 0
    assert written(path)["node"]["image"] == {"source": "node.qcow2", "sha256": 64 * "a"}


@pytest.mark.usefixtures("registries")
def test_nothing_is_written_while_anything_else_is_to_be_filled_in(tmp_path: Path, capsys: Captured) -> None:
    site = edited(section("oslo"), "node", "hypervisor", "host", value="CHANGE-ME the hypervisor's name")
    site["iot"].pop("images")
    path = stack_file(tmp_path, "oslo", site)
    before = path.read_text()
    assert command(path) == 1
    assert "fjord-edge:site.node.hypervisor.host" in capsys.readouterr().err
    assert path.read_text() == before


@pytest.mark.usefixtures("registries")
def test_a_file_with_another_mistake_is_not_written(tmp_path: Path, capsys: Captured) -> None:
    path = stack_file(tmp_path, "hq")
    path.write_text(path.read_text().replace("cpus: 1", "cpus: 0"))
    before = path.read_text()
    assert command(path) == 1
    assert "fjord-edge:site.node.cpus = 0" in capsys.readouterr().err
    assert path.read_text() == before


@pytest.mark.usefixtures("registries")
@pytest.mark.parametrize("image", ["node.qcow2", {"sha256": 64 * "a"}])
def test_a_node_image_that_is_none_is_told(tmp_path: Path, capsys: Captured, image: Any) -> None:
    path = stack_file(tmp_path, "hq")
    content = yaml.safe_load(path.read_text())
    content["config"][f"{PROJECT}:site"]["node"]["image"] = image
    path.write_text(yaml.safe_dump(content))
    assert command(path) == 1
    assert "fjord-edge:site.node.image" in capsys.readouterr().err
