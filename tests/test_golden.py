"""What three sites that differ bring to their nodes, compared with `tests/golden/<site>/<path on the node>`.

Two are the committed stacks. The third, `small-farm`, is oslo's with what the other two do not say.

`make golden` writes the files anew; what changed is then read in review.
"""

import base64
import io
import json
import os
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.recording import Recording, committed, deploy
from tests.sites import section

GOLDEN = Path(__file__).parent / "golden"

#: Opaque to a reader; what is in them is tested with the code that makes them.
UNREAD = {".crt", ".key"}


def small_farm() -> Any:
    """One processor, one uplink behind libvirt's own network, one sensor, no backup, values of its own."""
    site = section("oslo")
    del site["backup"]
    site["iot"] |= {
        "pens": ["pen-1"],
        "quantities": {"temperature": {"unit": "°C", "high": 18}},
        "sensors": [{"id": "pen1-temp", "pen": "pen-1", "quantities": ["temperature"], "everySeconds": 60}],
        "gateways": {},
        "uplink": {},
        "alarms": {"webhook": "https://alarms.example.com/fjord"},
        "storage": {"retentionDays": 30, "shardHours": 12},
    }
    site["node"] |= {
        "generation": 3,
        "cpus": 1,
        "memoryMib": 1536,
        "sysctls": {"vm.swappiness": "10"},
        "upgradeWindow": {"day": "Sun", "start": "11:30", "minutes": 45},
        "timeServers": ["10.30.0.1"],
        "registries": [{"host": "registry.example.com:5000", "certificateAuthority": "-----BEGIN CERTIFICATE-----\n"}],
        "network": {
            "libvirtNetwork": "default",
            "address": "10.30.0.7/16",
            "gateway": "10.30.0.1",
            "mac": "52:54:00:aa:bb:cc",
            "dns": ["10.30.0.1", "10.30.0.2"],
        },
    }
    return site


SITES: Mapping[str, Callable[[], Recording]] = {
    "hq": lambda: committed("hq"),
    "oslo": lambda: committed("oslo"),
    "small-farm": lambda: deploy("oslo", small_farm()),
}


def rendered(recording: Recording) -> dict[str, str]:
    """Everything that is rendered for a node, by its path there; under cloud-init/ and domain.xsl what makes the VM."""
    [first_boot] = recording.of_type("libvirt:index/cloudInitDisk:CloudInitDisk").values()
    user_data = first_boot.inputs["userData"].value
    domain = dict(recording.named(recording.stack).inputs)
    files = {
        "domain.xsl": domain.pop("xml")["xslt"],
        "domain.json": json.dumps(domain, indent=2) + "\n",
        "cloud-init/user-data": user_data,
        "cloud-init/network-config": first_boot.inputs["networkConfig"],
        "cloud-init/meta-data": first_boot.inputs["metaData"],
        **{file["path"].lstrip("/"): file["content"] for file in yaml.safe_load(user_data)["write_files"]},
    }
    for command in recording.of_type("command:remote:Command").values():
        # What is secret is an archive of files; what is not is a program for the hypervisor.
        if "stdin" in command.inputs and not isinstance(command.inputs["stdin"], str):
            files |= configuration(command.inputs["stdin"].value)
    return files


def configuration(archive: str) -> dict[str, str]:
    """The files below /etc in an archive; the programs are read where they are written."""
    with tarfile.open(fileobj=io.BytesIO(base64.b64decode(archive))) as tar:
        files = {member.name: tar.extractfile(member) for member in tar.getmembers()}
        return {
            name: file.read().decode()
            for name, file in files.items()
            if file and name.startswith("etc/") and Path(name).suffix not in UNREAD
        }


def golden_files(stack: str) -> dict[str, str]:
    folder = GOLDEN / stack
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def write(stack: str, files: dict[str, str]) -> None:
    for name in golden_files(stack).keys() - files.keys():
        (GOLDEN / stack / name).unlink()
    for name, text in files.items():
        path = GOLDEN / stack / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.mark.parametrize("stack", SITES)
def test_each_rendered_file_is_the_one_that_was_reviewed(stack: str) -> None:
    files = rendered(SITES[stack]())
    if os.environ.get("GOLDEN") == "write":
        write(stack, files)
    reviewed = golden_files(stack)
    assert sorted(reviewed) == sorted(files), "run `make golden` and look at what came and went"
    for name, text in files.items():
        assert text == reviewed[name], f"{name} changed: run `make golden` and read the difference"


def test_no_site_has_golden_files_without_being_rendered() -> None:
    assert {path.name for path in GOLDEN.iterdir()} == {*SITES, "README.md"}
