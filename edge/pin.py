"""Pin the images: ask their registries for the digests of our releases, and write them into the stack file.

Nothing is written while anything else in it says CHANGE-ME, or is wrong.
"""

import argparse
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from config.base import FILL_IN
from config.iot import mirrored
from config.loader import CHECKOUT, parse_section
from config.versions import IMAGES
from config.yaml_text import read_text
from edge import site as command
from edge.site import SECTION, EdgeError, read_config, stack_file, table
from edge.stack_file import put


@dataclass(frozen=True)
class Pin:
    """A place in the stack file, what stands there, and what is published."""

    place: tuple[str, ...]
    before: str | None
    after: str

    @property
    def row(self) -> tuple[str, str, str]:
        """As people read it."""
        return ".".join(self.place), self.after, "as it was" if self.before == self.after else "new"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What it understands beside the site."""
    parser.add_argument(
        "--check",
        action="store_true",
        help="write nothing; the status is 1 where something is new, 2 where a registry did not say",
    )


def run(arguments: argparse.Namespace) -> int:
    """Ask for everything, judge the file as it would be, and only then write it."""
    path = stack_file(arguments.site, arguments.config_file)
    text = read_text(path, path.name)
    section = read_config(text, path.name)[SECTION]
    try:
        pins = [*_images(section), *_node_image(section)]
    except EdgeError as error:
        if not arguments.check:
            raise
        print(f"edge: {error}", file=sys.stderr)
        return 2
    print(table([pin.row for pin in pins] or [("nothing", "to pin", "")]))
    new = [pin for pin in pins if pin.before != pin.after]
    for pin in new:
        text = put(text, ("config", SECTION, *pin.place), pin.after)
    parse_section(read_config(text, path.name)[SECTION], path.name)
    if arguments.check:
        return 1 if new else 0
    if new:
        path.write_text(text)
        print(f"wrote {path.name}. Read the difference, merge, deploy: pulumi up --stack {arguments.site}")
    return 0


def _images(section: Mapping[str, Any]) -> Iterator[Pin]:
    places: dict[tuple[str, ...], str] = {}
    if "iot" in section:
        places |= {("iot", "images", name): name for name in IMAGES}
    if "summaries" in section:
        places |= {("summaries", "image"): "influxdb", ("summaries", "services"): "services"}
    mirror = _at(section, ("iot", "images", "mirror"))
    authorities = {
        registry["host"]: registry["certificateAuthority"] for registry in _at(section, ("node", "registries")) or ()
    }
    for place, service in places.items():
        before = _at(section, place)
        named = before if before and not before.startswith(FILL_IN) else IMAGES[service]
        name, tag = repository(named), IMAGES[service].rpartition(":")[2]
        yield Pin(place, before, f"{name}@{_digest(mirrored(mirror, f'{name}:{tag}'), authorities)}")


def repository(image: str) -> str:
    """An image's name without its tag and its digest."""
    return re.sub(r":[^:/]+$", "", image.partition("@")[0])


def _digest(image: str, authorities: Mapping[str, str]) -> str:
    """The digest that the registry has for a tag; of all architectures together where there are several.

    Raises:
        EdgeError: the registry does not say it.
    """
    with tempfile.TemporaryDirectory() as folder:
        trusted = []
        if authority := authorities.get(image.partition("/")[0]):
            (Path(folder) / "ca.crt").write_text(authority)
            trusted = ["--cert-dir", folder]
        words = ["skopeo", "inspect", "--no-tags", "--format", "{{.Digest}}", *trusted, f"docker://{image}"]
        done = command.run(words)
    digest = done.stdout.strip()
    if done.returncode != 0 or not re.fullmatch(r"sha256:[0-9a-f]{64}", digest):
        said = done.stderr.strip() or f"its answer was {digest!r}"
        raise EdgeError(
            f"{image} was not found, nothing was written. Look whether its registry is reached, and logged in to "
            f"(skopeo login): {said}"
        )
    return digest


def _node_image(section: Mapping[str, Any]) -> Iterator[Pin]:
    """The checksum that `make node-image` wrote beside a node image that lies here."""
    source = _at(section, ("node", "image", "source"))
    beside = CHECKOUT / f"{source}.sha256"
    if source and beside.is_file():
        place = ("node", "image", "sha256")
        yield Pin(place, _at(section, place), beside.read_text().split()[0])


def _at(section: Mapping[str, Any], place: tuple[str, ...]) -> Any:
    found: Any = section
    for key in place:
        found = found.get(key) if isinstance(found, Mapping) else None
    return found
