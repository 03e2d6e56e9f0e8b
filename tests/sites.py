"""The committed stacks with a seed of the tests' own.

The committed seeds are encrypted, and only the engine decrypts them. The seed here is published with these lines; the
registry's two keys are computed from it, everything else in it is the committed one.
"""

import base64
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from config.derive import Seed, identity_key, wireguard_key
from config.loader import PROJECT, REGISTRY
from config.registry import Registry, load_registry
from config.site import SiteSection
from lab.paths import CHECKOUT

#: What the lab deploys, and with it whatever is committed as an example.
STACKS = ("hq", "oslo")
EXAMPLES = (*STACKS, "bergen", "tromso")
SEED = Seed(bytes(range(32)))

_DIGEST = "sha256:" + 64 * "0"


def seed_text(seed: Seed = SEED) -> str:
    """A seed as a stack file holds it, decrypted."""
    return base64.b64encode(seed.value).decode()


def loaded(path: Path) -> Any:
    """A YAML file's content, by the loader that the registry is read with."""
    return yaml.load(path.read_text(), Loader=yaml.CSafeLoader)


def section(stack: str) -> Any:
    """The committed `fjord-edge:site` of a stack, its images pinned; a copy to edit."""
    site = loaded(CHECKOUT / f"Pulumi.{stack}.yaml")["config"][f"{PROJECT}:site"]
    site["node"]["hypervisor"]["knownHosts"] = "tests/known_hosts"
    if "iot" in site:
        names = ("mosquitto", "telegraf", "influxdb", "services")
        site["iot"]["images"] = {name: f"registry.example.com/{name}@{_DIGEST}" for name in names}
    if "summaries" in site:
        site["summaries"]["image"] = f"registry.example.com/influxdb@{_DIGEST}"
        site["summaries"]["services"] = f"registry.example.com/services@{_DIGEST}"
    return site


def host_section() -> Any:
    """A headquarters on a machine that is there already; a copy to edit."""
    return {
        "host": {"address": "10.20.0.11", "user": "edge", "hostKey": "ssh-ed25519 AAAA"},
        "summaries": {
            "image": f"registry.example.com/influxdb@{_DIGEST}",
            "services": f"registry.example.com/services@{_DIGEST}",
        },
    }


def site_section(stack: str) -> SiteSection:
    """The same, validated."""
    return SiteSection.parse(section(stack), file=f"Pulumi.{stack}.yaml")


def entries(seed: Seed = SEED) -> dict[str, Any]:
    """The registry's files of the stacks that the lab deploys, with the keys that the seed gives; a copy to edit."""
    committed = {stack: loaded(REGISTRY / f"{stack}.yaml") for stack in STACKS}
    for site, entry in committed.items():
        entry["tunnelKey"] = wireguard_key(seed, site, 1).public
        entry["identityKey"] = identity_key(seed, site, 1).public
    return committed


def write_registry(folder: Path, files: Mapping[str, Any]) -> None:
    """Write the registry's files by site, from text or from values."""
    for site, entry in files.items():
        (folder / f"{site}.yaml").write_text(
            entry if isinstance(entry, str) else yaml.dump(entry, Dumper=yaml.CSafeDumper)
        )


def registry(seed: Seed = SEED) -> Registry:
    """The registry that `entries` is."""
    with TemporaryDirectory() as folder:
        write_registry(Path(folder), entries(seed))
        return load_registry(Path(folder))


def edited(content: Any, *keys: str | int, value: Any) -> Any:
    """The content with one value changed in place."""
    place = content
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = value
    return content
