"""The site's devices: listed, added to the stack file, and told what they need to log in."""

import json
import stat
from pathlib import Path
from typing import Any

import pytest
import yaml

from config import derive
from config.loader import PROJECT
from edge.__main__ import main
from tests.edge.world import World
from tests.judges import judge
from tests.sites import SEED, edited, section, seed_text

Captured = pytest.CaptureFixture[str]

#: What the committed stack says, as a person wrote it, with images.
TEXT = """\
config:
  fjord-edge:site: {head}
    iot:
      certificates: {{notBefore: "2026-01-01", notAfter: "2035-12-31"}}
      pens: [pen-1, barge]
      quantities:
        temperature: {{unit: °C, low: 1, high: 18}}  # of the sea
        oxygen: {{unit: mg/l, low: 6.5}}

      # what hangs where
      sensors:
        - {{id: pen1-temp, pen: pen-1, quantities: [temperature]}}
        - {{id: barge-climate, pen: barge, quantities: [temperature, oxygen]}}  # in the mess

      # who speaks for whom
      gateways:
        gateway-1: [pen1-temp, barge-climate]
      images: {images}
  fjord-edge:seed:
    secure: v1:not-read-here
"""


@pytest.fixture
def file(world: World, tmp_path: Path) -> Path:
    """A stack file; beside it a pulumi that decrypts its seed."""
    world.answer("pulumi", seed_text())
    site = section("oslo")
    images, head = (
        json.dumps(site["iot"]["images"]),
        "\n" + "".join(f"    {line}\n" for line in yaml.safe_dump({"node": site["node"]}).splitlines()),
    )
    path = tmp_path / "Pulumi.oslo.yaml"
    path.write_text(TEXT.format(head=head.rstrip(), images=images))
    return path


def device(file: Path, *words: str) -> int:
    return main(["device", "oslo", f"--config-file={file}", *words])


def iot(file: Path) -> Any:
    return yaml.safe_load(file.read_text())["config"][f"{PROJECT}:site"]["iot"]


def test_the_list_has_each_quantity_of_each_sensor(file: Path, capsys: Captured) -> None:
    assert device(file, "list") == 0
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [
        ["sensor", "pen", "quantity", "unit", "low", "high", "every", "gateways"],
        ["pen1-temp", "pen-1", "temperature", "°C", "1", "18", "10", "gateway-1"],
        ["barge-climate", "barge", "temperature", "°C", "1", "18", "10", "gateway-1"],
        ["barge-climate", "barge", "oxygen", "mg/l", "6.5", "-", "10", "gateway-1"],
    ]
    assert device(file, "list", "--json") == 0
    assert json.loads(capsys.readouterr().out)["devices"][2] == {
        "sensor": "barge-climate",
        "pen": "barge",
        "quantity": "oxygen",
        "unit": "mg/l",
        "low": 6.5,
        "high": None,
        "every": 10,
        "gateways": ["gateway-1"],
    }


def test_a_sensor_is_one_line_more_and_nothing_else(file: Path, capsys: Captured) -> None:
    before = file.read_text()
    assert device(file, "add", "pen1-o2", "--pen", "pen-1", "--quantity", "oxygen", "--every", "30") == 0
    line = "        - {id: pen1-o2, pen: pen-1, quantities: [oxygen], everySeconds: 30}\n"
    assert file.read_text() == before.replace("  # in the mess\n", f"  # in the mess\n{line}")
    assert "pulumi up --stack oslo" in capsys.readouterr().out


def test_a_sensor_of_several_quantities_and_one_with_limits_of_its_own(file: Path) -> None:
    words = ["--pen", "pen-1", "--quantity", "oxygen"]
    assert device(file, "add", "pen1-both", *words, "--quantity", "temperature") == 0
    assert device(file, "add", "pen1-deep", *words, "--low", "7.5", "--high", "14") == 0
    assert iot(file)["sensors"][-2:] == [
        {"id": "pen1-both", "pen": "pen-1", "quantities": ["oxygen", "temperature"]},
        {"id": "pen1-deep", "pen": "pen-1", "quantities": ["oxygen"], "limits": {"oxygen": {"low": 7.5, "high": 14.0}}},
    ]


def test_a_quantity_that_is_new_comes_with_its_unit_and_the_limits_are_its_own(file: Path) -> None:
    words = ["--pen", "pen-1", "--quantity", "salinity", "--unit", "‰", "--low", "28"]
    assert device(file, "add", "pen1-salt", *words) == 0
    assert iot(file)["quantities"]["salinity"] == {"unit": "‰", "low": 28.0}
    assert iot(file)["sensors"][-1] == {"id": "pen1-salt", "pen": "pen-1", "quantities": ["salinity"]}


def test_a_pen_that_is_new_comes_with_its_first_sensor(file: Path) -> None:
    assert device(file, "add", "pen2-temp", "--pen", "pen-2", "--new-pen", "--quantity", "temperature") == 0
    assert iot(file)["pens"] == ["pen-1", "barge", "pen-2"]
    assert iot(file)["sensors"][-1] == {"id": "pen2-temp", "pen": "pen-2", "quantities": ["temperature"]}


@pytest.mark.parametrize(
    ("name", "words", "told"),
    [
        ("pen1-temp", ["--quantity", "temperature"], "nothing is deployed: edge device oslo show pen1-temp"),
        ("gateway-1", ["--quantity", "temperature"], "oslo has gateway-1 already"),
        ("telegraf", ["--quantity", "temperature"], "telegraf is a service's own name at the broker; give the"),
        ("Pen1", ["--quantity", "temperature"], "fjord-edge:site.iot.sensors.2.id"),
        ("new", ["--quantity", "oxygen", "--pen", "pen-9"], "the pens pen-1, barge; if pen-9 is new there, give --new"),
        ("new", ["--quantity", "oxygen", "--new-pen"], "oslo has the pen pen-1 already; leave --new-pen out"),
        ("new", ["--quantity", "oxygen", "--pen", "Pen-9", "--new-pen"], "fjord-edge:site.iot.pens.2"),
        ("new", ["--quantity", "oxygen", "--quantity", "oxygen"], "new has quantity oxygen twice; remove one"),
        ("new", ["--quantity", "salt"], "oslo measures temperature, oxygen; if salt is new there, give its --unit"),
        ("new", ["--quantity", "oxygen", "--unit", "%"], "oslo measures oxygen in mg/l already; leave --unit out"),
        ("new", ["--quantity", "temperature", "--low", "18"], "sensor new: low 18.0 of temperature is not below high"),
        ("new", ["--quantity", "salt", "--unit", "‰", "--low", "9", "--high", "8"], "low 9.0 is not below high 8.0"),
        ("new", ["--quantity", "oxygen", "--quantity", "temperature", "--low", "1"], "are of one quantity; write the"),
        ("new", ["--quantity", "oxygen", "--every", "100000"], "sensors.2.everySeconds = 100000"),
        ("new", ["--quantity", "oxygen", "--every", "0"], "sensors.2.everySeconds = 0"),
    ],
)
def test_a_mistake_is_told_with_its_remedy_and_nothing_is_written(
    file: Path, capsys: Captured, name: str, words: list[str], told: str
) -> None:
    before = file.read_text()
    assert device(file, "add", name, "--pen", "pen-1", *words) == 1
    assert told in capsys.readouterr().err
    assert file.read_text() == before


def shown(file: Path, capsys: Captured, *words: str) -> list[str]:
    assert device(file, "show", *words) == 0
    return capsys.readouterr().out.splitlines()


PASSWORD = derive.mqtt_user(SEED, "oslo", "pen1-temp", 1).password


def test_a_device_is_told_where_and_how_to_log_in(file: Path, capsys: Captured) -> None:
    lines = shown(file, capsys, "pen1-temp", "--show-password")
    table = dict(line.split(maxsplit=1) for line in lines[:7])
    assert table["host"] == "10.20.1.12 or 10.20.0.12", "the farm's own network first"
    assert (table["port"], table["user"]) == ("8883, TLS 1.2 or later", "pen1-temp")
    assert table["password"] == PASSWORD
    assert table["topic"] == "sensors/pen1-temp/temperature  in °C"
    certificate = judge("openssl", "x509", "-noout", "-subject", stdin="\n".join(lines[7:]))
    assert "MQTT CA 1" in certificate


def test_a_gateway_is_told_the_topics_of_all_its_sensors(file: Path, capsys: Captured) -> None:
    lines = shown(file, capsys, "gateway-1", "--show-password")
    assert [line.split()[1] for line in lines if line.startswith("topic")] == [
        "sensors/pen1-temp/temperature",
        "sensors/barge-climate/temperature",
        "sensors/barge-climate/oxygen",
    ]
    assert derive.mqtt_user(SEED, "oslo", "gateway-1", 1).password in "\n".join(lines)


def test_plain_mqtt_is_told_where_there_is_some(file: Path, capsys: Captured) -> None:
    assert not [line for line in shown(file, capsys, "pen1-temp") if "1883" in line]
    file.write_text(file.read_text().replace("    iot:\n", "    iot:\n      plainMqtt: true\n"))
    assert [line for line in shown(file, capsys, "pen1-temp") if "1883, at 10.20.1.12 alone" in line]


def test_a_password_is_shown_to_a_person_and_in_no_pipe(
    file: Path, world: World, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    hidden = "\n".join(shown(file, capsys, "pen1-temp"))
    assert PASSWORD not in hidden
    assert "--show-password" in hidden
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert PASSWORD in "\n".join(shown(file, capsys, "pen1-temp"))
    assert PASSWORD not in " ".join(world.asked)
    assert seed_text() not in " ".join(world.asked)


def test_the_standard_client_is_given_files_that_nobody_else_reads(
    file: Path, tmp_path: Path, capsys: Captured
) -> None:
    folder = tmp_path / "new" / "pen1-temp"
    for _ in ("the first time", "again"):
        printed = "\n".join(shown(file, capsys, "pen1-temp", "--out", str(folder)))
    assert PASSWORD not in printed
    assert "BEGIN CERTIFICATE" not in printed
    options = folder / "mosquitto_pub"
    assert stat.S_IMODE(options.stat().st_mode) == 0o600
    assert options.read_text().splitlines() == [
        "-h 10.20.1.12",
        "-p 8883",
        "-q 1",
        "-u pen1-temp",
        f"-P {PASSWORD}",
        f"--cafile {folder}/ca.crt",
    ]
    assert (folder / "ca.crt").read_text().startswith("-----BEGIN CERTIFICATE-----\n")


def test_a_broken_sensor_is_swapped_under_its_id_whatever_else_changes(file: Path, capsys: Captured) -> None:
    """What a device logs in with depends on nothing that the swap, or anything about its place, could change."""
    before = shown(file, capsys, "pen1-temp", "--show-password")
    file.write_text(file.read_text().replace("{id: pen1-temp, pen: pen-1,", "{id: pen1-temp, pen: barge,"))
    file.write_text(file.read_text().replace("pens: [pen-1, barge]", "pens: [barge]"))
    assert device(file, "add", "barge-o2", "--pen", "barge", "--quantity", "oxygen") == 0
    capsys.readouterr()
    assert shown(file, capsys, "pen1-temp", "--show-password") == before


def test_new_passwords_are_shown_as_their_epoch_gives_them(file: Path, capsys: Captured) -> None:
    file.write_text(file.read_text().replace("    iot:\n", "    epochs: {passwords: 2}\n    iot:\n"))
    later = derive.mqtt_user(SEED, "oslo", "pen1-temp", 2).password
    assert later in "\n".join(shown(file, capsys, "pen1-temp", "--show-password"))


def test_a_device_that_is_not_there_and_a_stack_without_sensors_or_seed_are_told(
    file: Path, tmp_path: Path, capsys: Captured
) -> None:
    assert device(file, "show", "pen9-temp") == 1
    assert "oslo has no device pen9-temp, but pen1-temp, barge-climate, gateway-1" in capsys.readouterr().err
    hub = tmp_path / "Pulumi.hq.yaml"
    hub.write_text(yaml.safe_dump({"config": {f"{PROJECT}:site": section("hq")}}))
    assert main(["device", "hq", f"--config-file={hub}", "list"]) == 1
    assert "hq takes in no sensors" in capsys.readouterr().err
    file.write_text(
        yaml.safe_dump({"config": {f"{PROJECT}:site": edited(section("oslo"), "iot", "gateways", value={})}})
    )
    assert device(file, "show", "pen1-temp") == 1
    made_by = "openssl rand -base64 32 | pulumi config set --secret seed --stack oslo"
    assert f"Pulumi.oslo.yaml: {PROJECT}:seed: the seed is missing; make one: {made_by}\n" in capsys.readouterr().err
