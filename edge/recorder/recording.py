"""A monitor that records every registration: no engine, no provider, nothing leaves the process."""

import asyncio
import contextvars
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from pulumi.runtime.config import set_all_config
from pulumi.runtime.mocks import MockCallArgs, MockEngine, MockMonitor, MockResourceArgs, Mocks
from pulumi.runtime.proto.alias_pb2 import Alias
from pulumi.runtime.proto.resource_pb2 import RegisterResourceRequest, RegisterResourceResponse
from pulumi.runtime.settings import Settings, configure
from pulumi.runtime.stack import run_in_stack

#: How the engine marks a secret: sdk/python/lib/pulumi/runtime/rpc.py.
_SIGNATURE = "4dabf18193072939515e22adb298388d"
_SECRET = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105

#: A run takes a tenth of a second; one that waits for ever shall fail.
_LIMIT_SECONDS = 60


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
    property_dependencies: Mapping[str, frozenset[str]]
    """By input, the resources of which it is made."""
    deleted_with: str
    replace_with: tuple[str, ...]
    delete_before_replace: bool | None
    """None leaves it to the provider."""
    ignore_changes: tuple[str, ...]
    replace_on_changes: tuple[str, ...]
    additional_secret_outputs: tuple[str, ...]
    aliases: tuple[str, ...]
    """The references that it had before."""

    @property
    def reference(self) -> str:
        """`<type>::<name>`."""
        return f"{self.type}::{self.name}"

    @classmethod
    def of(cls, request: RegisterResourceRequest) -> Self:
        """What a request says."""
        return cls(
            type=request.type,
            name=request.name,
            inputs=fields(request.object),
            parent=reference(request.parent),
            custom=request.custom,
            protect=request.protect,
            provider=reference(request.provider.rpartition("::")[0]),
            dependencies=frozenset(map(reference, request.dependencies)),
            property_dependencies={
                key: frozenset(map(reference, each.urns)) for key, each in sorted(request.propertyDependencies.items())
            },
            deleted_with=reference(request.deletedWith),
            replace_with=tuple(map(reference, request.replace_with)),
            delete_before_replace=request.deleteBeforeReplace if request.deleteBeforeReplaceDefined else None,
            ignore_changes=tuple(request.ignoreChanges),
            replace_on_changes=tuple(request.replaceOnChanges),
            additional_secret_outputs=tuple(request.additionalSecretOutputs),
            aliases=tuple(_former(alias, request) for alias in request.aliases),
        )


class _NoProvider(Mocks):
    def call(self, args: MockCallArgs) -> Any:
        raise AssertionError(f"{args.token} was invoked; a preview must not need the node or the hypervisor")

    def new_resource(self, args: MockResourceArgs) -> Any:
        raise AssertionError(f"{args.name} was read; nothing here is imported")


class Recording(MockMonitor):
    """What one run of a program registered.

    Attributes:
        requests: as they came, parents and what others depend on first.
        outputs: what components and the stack registered as their outputs, by reference.
    """

    def __init__(
        self, project: str, stack: str, *, preview: bool, computed: Callable[[Registered], Mapping[str, Any]]
    ) -> None:
        """Prepare a run.

        Args:
            project: the project's name.
            stack: the stack's name.
            preview: whether the program is told that nothing will be done.
            computed: what a provider adds to a resource's inputs, its `id` among it; what is left out is unknown.
        """
        super().__init__(_NoProvider())
        self.project = project
        self.stack = stack
        self.preview = preview
        self._computed = computed
        self.requests: list[RegisterResourceRequest] = []
        self.outputs: dict[str, Mapping[str, Any]] = {}

    def run(self, program: Callable[[], object], config: Mapping[str, str], secret_keys: Sequence[str]) -> Self:
        """Run a program in a context of its own, so that no two runs share a setting.

        Raises:
            pulumi.RunError: the program refused its config.
        """
        contextvars.Context().run(asyncio.run, self._run(program, config, secret_keys))
        return self

    async def _run(self, program: Callable[[], object], config: Mapping[str, str], secret_keys: Sequence[str]) -> None:
        set_all_config(dict(config), list(secret_keys))
        configure(
            Settings(
                monitor=self,
                engine=MockEngine(logging.getLogger("pulumi")),
                project=self.project,
                stack=self.stack,
                dry_run=self.preview,
            )
        )

        def without_result() -> None:
            program()

        async with asyncio.timeout(_LIMIT_SECONDS):
            await run_in_stack(without_result)

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802  the engine's name
        """Keep the request, and answer as the engine would."""
        urn = self.make_urn(request.parent, request.type, request.name)
        if request.type == "pulumi:pulumi:Stack":
            return RegisterResourceResponse(urn=urn)
        self.requests.append(request)
        computed = dict(self._computed(Registered.of(request))) if request.custom else {}
        response = RegisterResourceResponse(urn=urn, id=computed.pop("id", ""))
        response.object.CopyFrom(request.object)
        response.object.update(computed)
        return response

    def RegisterResourceOutputs(self, request: Any) -> Any:  # noqa: N802  the engine's name
        """Keep the outputs."""
        self.outputs[reference(request.urn)] = fields(request.outputs)
        return super().RegisterResourceOutputs(request)  # type: ignore[no-untyped-call]


def fields(message: Any) -> dict[str, Any]:
    """A protobuf Struct as Python values, its secrets marked where they are, not the whole of what holds them."""
    return {key: _value(value) for key, value in sorted(message.fields.items())}


def _value(message: Any) -> Any:
    match message.WhichOneof("kind"):
        case "struct_value":
            inner = fields(message.struct_value)
            return Secret(inner["value"]) if inner.get(_SIGNATURE) == _SECRET else inner
        case "list_value":
            return [_value(item) for item in message.list_value.values]
        case "null_value":
            return None
        case "number_value":
            number = message.number_value
            return int(number) if number.is_integer() else number
        case kind:
            return getattr(message, kind)


def reference(urn: str) -> str:
    """What `Registered.reference` is, of a URN."""
    return "::".join(part.rpartition("$")[2] for part in urn.split("::")[2:])


def _former(alias: Alias, request: RegisterResourceRequest) -> str:
    if alias.urn:
        return reference(alias.urn)
    return f"{alias.spec.type or request.type}::{alias.spec.name or request.name}"
