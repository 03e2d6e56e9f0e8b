"""The lab's stand-in for Pulumi's Python language host: it starts programs and plugins, and nothing else.

The engine starts it anew for each operation with its own address as the argument, reads the port from the first line
of its output, and interrupts it when done. The file is copied to where the engine looks for it; it imports nothing of
the lab.
"""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from types import FrameType, ModuleType
from typing import IO, TYPE_CHECKING

import grpc

if not TYPE_CHECKING and "pulumi" not in sys.modules:
    # The messages alone take a fifth of the time of the whole SDK, which `import pulumi` would load.
    _sdk = Path(find_spec("pulumi").origin).parent
    for _name, _folder in (("pulumi", _sdk), ("pulumi.runtime", _sdk / "runtime")):
        sys.modules[_name] = ModuleType(_name)
        sys.modules[_name].__path__ = [str(_folder)]

from pulumi.runtime.proto import language_pb2, language_pb2_grpc, plugin_pb2

#: Pulumi's own script around a program; it lies beside this host.
EXECUTOR = Path(__file__).with_name("pulumi-language-python-exec")

#: With this exit code the executor says that it has told the user already.
BAIL = 32

#: Seconds between two looks at whether the engine is still there.
WATCH_SECONDS = 1.0


class OptionError(Exception):
    """A runtime option in Pulumi.yaml or PulumiPolicy.yaml that this host does not know, or cannot follow."""


def interpreter(root: Path, options: Mapping[str, object]) -> Path:
    """Return the Python of the virtual environment that the project's runtime options name.

    Args:
        root: the folder of Pulumi.yaml, which a relative `virtualenv` starts from.
        options: `runtime.options` of that file.

    Raises:
        OptionError: an option, or its value, is not known here, or the environment is not there.
    """
    unknown = sorted(options.keys() - {"toolchain", "virtualenv"})
    if unknown:
        raise OptionError(f"runtime option {unknown[0]!r} is not known to the lab's language host; remove it")
    if options.get("toolchain", "pip") != "pip":
        raise OptionError(f"toolchain {options['toolchain']!r} is not known to the lab's language host; use pip")
    if "virtualenv" not in options:
        raise OptionError("the runtime option 'virtualenv' is missing; name the folder, for instance .venv")
    python = root / str(options["virtualenv"]) / "bin" / "python"
    if not python.exists():
        raise OptionError(f"{python} does not exist; make the environment with python3 -m venv")
    return python


def environment(python: Path, base: Mapping[str, str]) -> dict[str, str]:
    """Return `base` with the virtual environment of `python` active, as its `activate` script would."""
    active = {name: value for name, value in base.items() if name != "PYTHONHOME"}
    active["VIRTUAL_ENV"] = str(python.parent.parent)
    active["PATH"] = f"{python.parent}{os.pathsep}{base.get('PATH', os.defpath)}"
    return active


def run_command(python: Path, engine: str, request: language_pb2.RunRequest) -> list[str]:
    """Return the words that run a program under the executor."""
    words = [str(python), "-u", str(EXECUTOR), "--engine", engine, "--monitor", request.monitor_address]
    words += ["--project", request.project, "--stack", request.stack, "--organization", request.organization]
    words += ["--root_directory", request.info.root_directory, "--pwd", request.info.program_directory]
    words += ["--parallel", str(request.parallel)]
    if request.dryRun:
        words += ["--dry_run", "true"]
    return [*words, request.info.entry_point, *request.args]


class Host(language_pb2_grpc.LanguageRuntimeServicer):
    """What the engine asks of a language, as far as running programs, policy packs and dynamic providers needs it."""

    def __init__(self, engine: str) -> None:
        self._engine = engine
        self._children: set[subprocess.Popen[bytes]] = set()

    def Handshake(  # noqa: N802
        self, request: language_pb2.LanguageHandshakeRequest, _: grpc.ServicerContext
    ) -> language_pb2.LanguageHandshakeResponse:
        """Learn the engine's address."""
        self._engine = request.engine_address
        return language_pb2.LanguageHandshakeResponse()

    def GetPluginInfo(self, _request: object, _: grpc.ServicerContext) -> plugin_pb2.PluginInfo:  # noqa: N802
        """Give the version of the SDK."""
        from importlib.metadata import version

        return plugin_pb2.PluginInfo(version=version("pulumi"))

    def GetRequiredPackages(  # noqa: N802
        self, _request: language_pb2.GetRequiredPackagesRequest, _: grpc.ServicerContext
    ) -> language_pb2.GetRequiredPackagesResponse:
        """Name none: the engine finds each plugin when a resource asks for it."""
        return language_pb2.GetRequiredPackagesResponse()

    def GetRequiredPlugins(  # noqa: N802
        self, _request: language_pb2.GetRequiredPluginsRequest, _: grpc.ServicerContext
    ) -> language_pb2.GetRequiredPluginsResponse:
        """Name none, as GetRequiredPackages."""
        return language_pb2.GetRequiredPluginsResponse()

    def About(  # noqa: N802
        self, request: language_pb2.AboutRequest, context: grpc.ServicerContext
    ) -> language_pb2.AboutResponse:
        """Name the project's Python."""
        python = self._interpreter(request.info, context)
        version = subprocess.run([python, "--version"], capture_output=True, text=True, check=True).stdout.split()[-1]
        return language_pb2.AboutResponse(executable=str(python), version=version)

    def Run(self, request: language_pb2.RunRequest, context: grpc.ServicerContext) -> language_pb2.RunResponse:  # noqa: N802
        """Run a program to its end; what it prints goes to the engine through this process's own output."""
        python = self._interpreter(request.info, context)
        config = {
            "PULUMI_CONFIG": json.dumps(dict(request.config)),
            "PULUMI_CONFIG_SECRET_KEYS": json.dumps(list(request.configSecretKeys)),
        }
        child = self._start(
            run_command(python, self._engine, request),
            folder=request.pwd,
            environment=environment(python, os.environ) | config,
        )
        code = self._wait(child)
        if code == BAIL:
            return language_pb2.RunResponse(bail=True)
        return language_pb2.RunResponse(error="" if code == 0 else f"Program exited with non-zero exit code: {code}")

    def RunPlugin(  # noqa: N802
        self, request: language_pb2.RunPluginRequest, context: grpc.ServicerContext
    ) -> Iterator[language_pb2.RunPluginResponse]:
        """Run a policy pack or another plugin written in Python, passing on its output until it ends."""
        python = self._interpreter(request.info, context)
        child = self._start(
            [str(python), "-u", request.info.program_directory, *request.args],
            folder=request.pwd,
            environment=environment(python, dict(entry.split("=", 1) for entry in request.env)),
            pipes=True,
        )
        context.add_callback(child.kill)
        yield from _output(child)
        yield language_pb2.RunPluginResponse(exitcode=self._wait(child))

    def kill_children(self) -> None:
        """End what this host has started."""
        for child in self._children:
            child.kill()

    def _interpreter(self, info: language_pb2.ProgramInfo, context: grpc.ServicerContext) -> Path:
        from google.protobuf.json_format import MessageToDict

        try:
            return interpreter(Path(info.root_directory), MessageToDict(info.options))
        except OptionError as error:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
            raise

    def _start(
        self, command: list[str], *, folder: str, environment: Mapping[str, str], pipes: bool = False
    ) -> subprocess.Popen[bytes]:
        output = subprocess.PIPE if pipes else None
        child = subprocess.Popen(
            command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
        self._children.add(child)
        return child

    def _wait(self, child: subprocess.Popen[bytes]) -> int:
        code = child.wait()
        self._children.discard(child)
        return code


def _output(child: subprocess.Popen[bytes]) -> Iterator[language_pb2.RunPluginResponse]:
    """Yield what a child writes to either stream, as it comes, until both are closed."""
    chunks: queue.SimpleQueue[language_pb2.RunPluginResponse | None] = queue.SimpleQueue()

    def forward(stream: IO[bytes], respond: Callable[[bytes], language_pb2.RunPluginResponse]) -> None:
        while chunk := os.read(stream.fileno(), 65536):
            chunks.put(respond(chunk))
        chunks.put(None)

    streams = (
        (child.stdout, lambda chunk: language_pb2.RunPluginResponse(stdout=chunk)),
        (child.stderr, lambda chunk: language_pb2.RunPluginResponse(stderr=chunk)),
    )
    for stream, respond in streams:
        threading.Thread(target=forward, args=(stream, respond), daemon=True).start()
    for _ in streams:
        yield from iter(chunks.get, None)


def main(arguments: list[str]) -> None:
    """Serve until interrupted, or until the engine, which is the parent process, has gone."""
    engine = [argument for argument in arguments if not argument.startswith("-")]
    host = Host(engine[-1] if engine else "")

    def end(_signal: int, _frame: FrameType | None) -> None:
        host.kill_children()
        os._exit(0)

    signal.signal(signal.SIGINT, end)
    signal.signal(signal.SIGTERM, end)
    parent = os.getppid()
    server = grpc.server(ThreadPoolExecutor(max_workers=16))
    language_pb2_grpc.add_LanguageRuntimeServicer_to_server(host, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    while os.getppid() == parent:
        server.wait_for_termination(timeout=WATCH_SECONDS)
    host.kill_children()


if __name__ == "__main__":
    main(sys.argv[1:])
