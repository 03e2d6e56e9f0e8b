"""Programs run against a monitor that records every registration: no engine, no provider, nothing leaves the process.

Tests look at what was recorded and never at an `Output`: an `apply` on an unknown does not run its function, and a test
that asserts in there passes whatever the program does. `tests/test_rules.py` holds that line.
"""

import json
import runpy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self
from unittest.mock import patch

from pulumi import RunError
from pulumi.runtime.rpc import UNKNOWN

from config import loader
from config.derive import Seed
from edge.recorder import recording
from edge.recorder.recording import Registered, Secret
from lab.paths import CHECKOUT
from tests.sites import SEED, entries, section, seed_text, write_registry

SITE_KEY = f"{loader.PROJECT}:site"
SEED_KEY = f"{loader.PROJECT}:seed"

#: What a node says of itself.
FACTS: Mapping[str, Any] = {
    "kernel": "6.1.0",
    "sysctls": {"net.ipv4.tcp_congestion_control": "bbr"},
    "qdiscs": {"eth0": "fq"},
    "firewall": "drop",
    "disks": {"fjord-data": {"gib": 8, "discards": True}},
    "dataDiskGib": 8,
    "mounts": {"/srv/fjord-edge": "fjord-data"},
    "docker": "20.10.24",
    "listening": ["tcp/22 sshd"],
    "firstBoot": "done",
}

#: What a provider adds to the inputs it was given; in a preview nothing is known of it.
_COMPUTED: Mapping[str, Mapping[str, str]] = {
    "command:remote:Command": {"stdout": json.dumps(FACTS)},
    "docker:index/remoteImage:RemoteImage": {"imageId": "sha256:of-the-pulled-image"},
}


class Recording(recording.Recording):
    """What one run of a program registered, to be looked at.

    Attributes:
        registered: every resource but the stack, by type, then by name.
    """

    def __init__(self, stack: str, *, preview: bool = False) -> None:
        super().__init__(loader.PROJECT, stack, preview=preview, computed=_nothing if preview else _computed)
        self.registered: list[Registered] = []

    def run(self, program: Callable[[], object], config: Mapping[str, str], secret_keys: Sequence[str]) -> Self:
        """Run a program; in an update nothing may be unknown."""
        try:
            super().run(program, config, secret_keys)
        finally:
            found = map(Registered.of, self.requests)
            self.registered = sorted(found, key=lambda resource: (resource.type, resource.name))
        if not self.preview:
            everything = [*(resource.inputs for resource in self.registered), self.outputs]
            assert UNKNOWN not in texts(everything, secret=True) + texts(everything), "unknown in an update"
        return self

    def of_type(self, type_: str) -> dict[str, Registered]:
        """The resources of a type by name."""
        return {resource.name: resource for resource in self.registered if resource.type == type_}

    def named(self, name: str) -> Registered:
        """The one resource of that name that is not a component."""
        [found] = [resource for resource in self.registered if resource.custom and resource.name == name]
        return found

    @property
    def stack_outputs(self) -> Mapping[str, Any]:
        """What the program exported."""
        return self.outputs[f"pulumi:pulumi:Stack::{loader.PROJECT}-{self.stack}"]


def texts(value: Any, *, secret: bool = False) -> list[str]:
    """The texts somewhere in a value: those in the clear, or those registered as secret."""
    match value:
        case Secret():
            return texts(value.value) if secret else []
        case str():
            return [] if secret else [value]
        case Mapping():
            return [
                text
                for key, item in value.items()
                for text in [*texts(key, secret=secret), *texts(item, secret=secret)]
            ]
        case list():
            return [text for item in value for text in texts(item, secret=secret)]
        case _:
            return []


def _computed(resource: Registered) -> Mapping[str, Any]:
    return {"id": f"{resource.name}-id", **_COMPUTED.get(resource.type, {})}


def _nothing(_: Registered) -> Mapping[str, Any]:
    return {}


def program() -> None:
    """The program itself, as the engine runs it."""
    runpy.run_path(str(CHECKOUT / "__main__.py"), run_name="__main__")


def config_of(stack: str, site: Mapping[str, Any] | None = None, *, seed: Seed = SEED) -> dict[str, str]:
    """A stack's config as the engine hands it over: the committed section, or another, and a seed."""
    return {SITE_KEY: json.dumps(site or section(stack)), SEED_KEY: seed_text(seed)}


def deploy(
    stack: str,
    site: Mapping[str, Any] | None = None,
    *,
    seed: Seed = SEED,
    registry: Mapping[str, Any] | None = None,
    preview: bool = False,
    run: Callable[[], object] = program,
) -> Recording:
    """Run the program, or a part of it, on a committed stack with the test's seed and a registry that fits it.

    Args:
        stack: `hq` or `oslo`.
        site: `fjord-edge:site`; the committed stack's own when absent.
        seed: the site's seed.
        registry: the registry's files; those that fit the seed when absent.
        preview: whether what providers compute is unknown.
        run: what to run instead of `__main__.py`.
    """
    recording = Recording(stack, preview=preview)
    with registered_as(registry or entries(seed)):
        recording.run(run, config_of(stack, site, seed=seed), [SEED_KEY])
    return recording


def refusal(
    stack: str,
    config: Mapping[str, str],
    *,
    registry: Mapping[str, Any] | None = None,
    secret_keys: Sequence[str] = (SEED_KEY,),
) -> str:
    """Run the program on a config with a mistake: nothing is registered, and the message comes back."""
    recording = Recording(stack)
    with registered_as(registry or entries()):
        try:
            recording.run(program, config, secret_keys)
        except RunError as error:
            assert recording.registered == [], "something was registered before the mistake was told"
            return str(error)
    raise AssertionError("the mistake was not noticed")


@contextmanager
def registered_as(files: Mapping[str, Any]) -> Iterator[None]:
    """Let the loader read these registry files."""
    with TemporaryDirectory() as folder:
        write_registry(Path(folder), files)
        with patch.object(loader, "REGISTRY", Path(folder)):
            yield


@cache
def committed(stack: str, *, preview: bool = False) -> Recording:
    """`deploy` of a stack as it is; tests only read it, so they share it."""
    return deploy(stack, preview=preview)
