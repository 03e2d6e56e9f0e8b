"""Programs run against a monitor that records every registration: no engine, no provider, nothing leaves the process.

Tests look at what was recorded and never at an `Output`: an `apply` on an unknown does not run its function, and a test
that asserts in there passes whatever the program does. `tests/test_rules.py` holds that line.
"""

import asyncio
import contextvars
import json
import logging
import runpy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

from pulumi import RunError
from pulumi.runtime.config import set_all_config
from pulumi.runtime.mocks import MockCallArgs, MockEngine, MockMonitor, MockResourceArgs, Mocks
from pulumi.runtime.proto.resource_pb2 import RegisterResourceRequest, RegisterResourceResponse
from pulumi.runtime.rpc import UNKNOWN
from pulumi.runtime.settings import Settings, configure
from pulumi.runtime.stack import run_in_stack

from config import loader
from config.derive import Seed
from lab.paths import CHECKOUT
from tests.sites import SEED, entries, section, seed_text, write_registry

SITE_KEY = f"{loader.PROJECT}:site"
SEED_KEY = f"{loader.PROJECT}:seed"

_SIGNATURE = "4dabf18193072939515e22adb298388d"
_SECRET = "1b47061264138c4ac30d75fd1eb44270"

#: A run takes a tenth of a second; one that waits for ever shall fail.
_LIMIT_SECONDS = 60

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


@dataclass(frozen=True)
class Secret:
    """A value that was registered as secret."""

    value: Any


@dataclass(frozen=True)
class Registered:
    """One request to register a resource; other resources appear by reference, options in the engine's spelling."""

    type: str
    name: str
    inputs: Mapping[str, Any]
    parent: str
    custom: bool
    protect: bool
    provider: str
    dependencies: frozenset[str]
    deleted_with: str
    replace_with: tuple[str, ...]
    delete_before_replace: bool
    ignore_changes: tuple[str, ...]
    replace_on_changes: tuple[str, ...]
    additional_secret_outputs: tuple[str, ...]
    aliases: tuple[str, ...]

    @property
    def reference(self) -> str:
        """`<type>::<name>`."""
        return f"{self.type}::{self.name}"

    @classmethod
    def of(cls, request: RegisterResourceRequest) -> "Registered":
        return cls(
            type=request.type,
            name=request.name,
            inputs=_fields(request.object),
            parent=_reference(request.parent),
            custom=request.custom,
            protect=request.protect,
            provider=_reference(request.provider.rpartition("::")[0]),
            dependencies=frozenset(map(_reference, request.dependencies)),
            deleted_with=_reference(request.deletedWith),
            replace_with=tuple(map(_reference, request.replace_with)),
            delete_before_replace=request.deleteBeforeReplace,
            ignore_changes=tuple(request.ignoreChanges),
            replace_on_changes=tuple(request.replaceOnChanges),
            additional_secret_outputs=tuple(request.additionalSecretOutputs),
            aliases=tuple(map(str, request.aliases)),
        )


class _NoProvider(Mocks):
    def call(self, args: MockCallArgs) -> Any:
        raise AssertionError(f"{args.token} was invoked; a preview must not need the node or the hypervisor")

    def new_resource(self, args: MockResourceArgs) -> Any:
        raise AssertionError(f"{args.name} was read; nothing here is imported")


class Recording(MockMonitor):
    """What one run of a program registered.

    Attributes:
        registered: every resource but the stack, by type, then by name.
        outputs: what components and the stack registered as their outputs, by reference.
    """

    def __init__(self, stack: str, *, preview: bool = False) -> None:
        super().__init__(_NoProvider())
        self.stack = stack
        self.preview = preview
        self.registered: list[Registered] = []
        self.outputs: dict[str, Mapping[str, Any]] = {}

    def run(self, program: Callable[[], object], config: Mapping[str, str], secret_keys: Sequence[str]) -> "Recording":
        """Run a program in a context of its own, so that no two runs share a setting."""
        contextvars.Context().run(asyncio.run, self._run(program, config, secret_keys))
        self.registered.sort(key=lambda resource: (resource.type, resource.name))
        if not self.preview:
            everything = [*(resource.inputs for resource in self.registered), self.outputs]
            assert UNKNOWN not in texts(everything, secret=True) + texts(everything), "unknown in an update"
        return self

    async def _run(self, program: Callable[[], object], config: Mapping[str, str], secret_keys: Sequence[str]) -> None:
        set_all_config(dict(config), list(secret_keys))
        configure(
            Settings(
                monitor=self,
                engine=MockEngine(logging.getLogger("pulumi")),
                project=loader.PROJECT,
                stack=self.stack,
                dry_run=self.preview,
            )
        )

        def without_result() -> None:
            program()

        async with asyncio.timeout(_LIMIT_SECONDS):
            await run_in_stack(without_result)

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802  the engine's name
        urn = self.make_urn(request.parent, request.type, request.name)
        if request.type == "pulumi:pulumi:Stack":
            return RegisterResourceResponse(urn=urn)
        resource = Registered.of(request)
        self.registered.append(resource)
        known = request.custom and not self.preview
        response = RegisterResourceResponse(urn=urn, id=f"{request.name}-id" if known else "")
        response.object.CopyFrom(request.object)
        if known:
            response.object.update(_COMPUTED.get(request.type, {}))
        return response

    def RegisterResourceOutputs(self, request: Any) -> Any:  # noqa: N802  the engine's name
        self.outputs[_reference(request.urn)] = _fields(request.outputs)
        return super().RegisterResourceOutputs(request)  # type: ignore[no-untyped-call]

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


def _fields(message: Any) -> dict[str, Any]:
    """A protobuf Struct as Python values, its secrets marked where they are, not the whole of what holds them."""
    return {key: _value(value) for key, value in sorted(message.fields.items())}


def _value(message: Any) -> Any:
    match message.WhichOneof("kind"):
        case "struct_value":
            fields = _fields(message.struct_value)
            return Secret(fields["value"]) if fields.get(_SIGNATURE) == _SECRET else fields
        case "list_value":
            return [_value(item) for item in message.list_value.values]
        case "null_value":
            return None
        case "number_value":
            number = message.number_value
            return int(number) if number.is_integer() else number
        case kind:
            return getattr(message, kind)


def _reference(urn: str) -> str:
    """What `Registered.reference` is, of a URN."""
    return "::".join(part.rpartition("$")[2] for part in urn.split("::")[2:])


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
