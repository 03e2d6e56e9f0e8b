import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.struct_pb2 import Struct
from pulumi.runtime.proto import language_pb2, language_pb2_grpc

from lab.toolchain import language_host, source

HERE = Path(sys.prefix)
PATIENCE = 20.0


def environment_at(folder: Path) -> Path:
    python = folder / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.touch()
    return python


def test_the_named_virtual_environment_is_found_from_the_projects_root(tmp_path: Path) -> None:
    python = environment_at(tmp_path / ".venv")
    assert language_host.interpreter(tmp_path, {"toolchain": "pip", "virtualenv": ".venv"}) == python
    assert language_host.interpreter(Path("/"), {"virtualenv": str(tmp_path / ".venv")}) == python


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"virtualenv": ".venv", "typechecker": "mypy"}, "'typechecker'"),
        ({"virtualenv": ".venv", "toolchain": "uv"}, "'uv'"),
        ({}, "'virtualenv'"),
        ({"virtualenv": "nowhere"}, "nowhere"),
    ],
)
def test_an_option_that_cannot_be_followed_is_refused_by_name(
    tmp_path: Path, options: dict[str, object], named: str
) -> None:
    environment_at(tmp_path / ".venv")
    with pytest.raises(language_host.OptionError, match=named):
        language_host.interpreter(tmp_path, options)


def test_a_program_runs_with_its_virtual_environment_active() -> None:
    active = language_host.environment(Path("/p/.venv/bin/python"), {"PATH": "/bin", "PYTHONHOME": "/usr", "A": "b"})
    assert active == {"PATH": "/p/.venv/bin:/bin", "VIRTUAL_ENV": "/p/.venv", "A": "b"}


@dataclass
class Running:
    process: subprocess.Popen[str]
    folder: Path
    stub: Any

    def info(self, **options: str) -> language_pb2.ProgramInfo:
        chosen = Struct()
        chosen.update({"virtualenv": str(HERE)} | options)
        folder = str(self.folder)
        return language_pb2.ProgramInfo(
            root_directory=folder, program_directory=folder, entry_point=".", options=chosen
        )

    def run_plugin(self, *arguments: str) -> Any:
        request = language_pb2.RunPluginRequest(
            pwd=str(self.folder), args=arguments, env=["PATH=/bin", "COLOUR=red=ish"], info=self.info()
        )
        return self.stub.RunPlugin(request, timeout=PATIENCE)


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Running]:
    """A running host, with an executor beside it that prints the words and the config it was given."""
    script = tmp_path / "pulumi-language-python"
    shutil.copyfile(source.LANGUAGE_HOST, script)
    (tmp_path / "pulumi-language-python-exec").write_text(
        "import json, os, sys\n"
        "json.dump([sys.argv[1:], os.environ['PULUMI_CONFIG'], os.getcwd()], open('ran.json', 'w'))\n"
        "sys.exit(int(open('code').read()))\n"
    )
    process = subprocess.Popen(
        [sys.executable, script, "-v=9", "127.0.0.1:1"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    port = int(process.stdout.readline())
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield Running(process, tmp_path, language_pb2_grpc.LanguageRuntimeStub(channel))
    process.kill()
    process.communicate()


@pytest.mark.parametrize(("code", "error", "bail"), [(0, "", False), (32, "", True), (3, "exit code: 3", False)])
def test_a_programs_exit_code_tells_the_engine_how_it_ended(host: Running, code: int, error: str, bail: bool) -> None:
    (host.folder / "code").write_text(str(code))
    request = language_pb2.RunRequest(
        project="p", stack="s", pwd=str(host.folder), info=host.info(), config={"p:k": "v"}, dryRun=True, parallel=4
    )
    response = host.stub.Run(request, timeout=PATIENCE)
    assert error in response.error
    assert bool(response.error) == bool(error)
    assert response.bail == bail


def test_a_program_gets_the_engines_address_its_stack_and_its_config(host: Running) -> None:
    (host.folder / "code").write_text("0")
    request = language_pb2.RunRequest(
        project="p", stack="s", pwd=str(host.folder), info=host.info(), config={"p:k": "v"}, dryRun=True, parallel=4
    )
    host.stub.Run(request, timeout=PATIENCE)
    words, config, folder = json.loads((host.folder / "ran.json").read_text())
    options = dict(zip(words[::2], words[1::2], strict=False))
    assert options["--engine"] == "127.0.0.1:1"
    assert (options["--project"], options["--stack"], options["--parallel"]) == ("p", "s", "4")
    assert options["--dry_run"] == "true"
    assert words[-1] == "."
    assert json.loads(config) == {"p:k": "v"}
    assert folder == str(host.folder)


def test_an_unknown_runtime_option_fails_the_run_by_name(host: Running) -> None:
    request = language_pb2.RunRequest(pwd=str(host.folder), info=host.info(typechecker="mypy"))
    with pytest.raises(grpc.RpcError, match="typechecker"):
        host.stub.Run(request, timeout=PATIENCE)


def test_a_plugins_output_and_exit_code_are_passed_on(host: Running) -> None:
    (host.folder / "__main__.py").write_text(
        "import os, sys\nprint(sys.argv[1], os.environ['COLOUR'])\nprint('a warning', file=sys.stderr)\nsys.exit(7)\n"
    )
    responses = list(host.run_plugin("engine:1"))
    assert b"".join(response.stdout for response in responses) == b"engine:1 red=ish\n"
    assert b"".join(response.stderr for response in responses) == b"a warning\n"
    assert responses[-1].exitcode == 7


def sleeping(host: Running) -> tuple[Any, Path]:
    """Start a plugin that says when it runs and then sleeps; return its call and its entry in /proc."""
    (host.folder / "__main__.py").write_text("import os, time\nprint(os.getpid())\ntime.sleep(600)\n")
    call = host.run_plugin()
    return call, Path("/proc") / next(call).stdout.decode().strip()


def gone(process: Path) -> bool:
    status = process / "stat"
    deadline = PATIENCE
    while status.exists() and status.read_text().rsplit(") ", 1)[1][0] != "Z" and deadline > 0:
        time.sleep(0.05)
        deadline -= 0.05
    return deadline > 0


def test_a_plugin_whose_call_is_cancelled_is_killed(host: Running) -> None:
    call, plugin = sleeping(host)
    call.cancel()
    assert gone(plugin)
    assert host.process.poll() is None


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_the_host_ends_quietly_and_takes_its_children_with_it(host: Running, ending: signal.Signals) -> None:
    _, plugin = sleeping(host)
    host.process.send_signal(ending)
    _, errors = host.process.communicate(timeout=PATIENCE)
    assert host.process.returncode == 0
    assert errors == ""
    assert gone(plugin)
