"""The committed stacks as the lab deploys them: the real engine, on a config file with the overlay merged in."""

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from string import Template
from typing import Any

import yaml

from config.derive import Seed
from config.loader import PROJECT, example_passphrase
from config.site import SiteSection
from lab import hypervisor, toolchain
from lab.console import LabError, stream
from lab.leftovers import ENGINE_HOME
from lab.paths import CHECKOUT, LOGS, STATE
from lab.toolchain import Toolchain

NAMES = ("hq", "oslo")

#: The lab's own backend.
BACKEND = STATE / "backend"

#: What the command provider says at each dial of a node that boots.
_WAITING = "trying again"

#: No operation of the lab's takes a third of it; one that does hangs (ADR 9).
_LIMIT_SECONDS = 900

_OVERLAYS = Path(__file__).parent


@dataclass(frozen=True)
class Stack:
    """One stack in the lab."""

    name: str
    toolchain: Toolchain

    @property
    def config_file(self) -> Path:
        """The stack file with the overlay merged in."""
        return config_file(self.name)

    def configure(self, values: Mapping[str, str]) -> None:
        """Write the config file and make the stack where it is missing."""
        STATE.mkdir(exist_ok=True)
        BACKEND.mkdir(exist_ok=True)
        _passphrase_file(self.name).write_text(example_passphrase(self.name))
        stack_file = yaml.safe_load((CHECKOUT / f"Pulumi.{self.name}.yaml").read_text())
        self.config_file.write_text(yaml.safe_dump(overlaid(stack_file, values), sort_keys=False))
        self._capture("stack", "select", "--create", self.name)
        # The lab's own lock is held: what is locked here was left by an operation that was killed.
        self._capture("cancel", "--yes", "--stack", self.name)

    @contextmanager
    def edited(self, *keys: str, value: object) -> Iterator[None]:
        """Set one value below `fjord-edge:site` in the config file, for a while; deploying is the caller's."""
        before = self.config_file.read_text()
        content = yaml.safe_load(before)
        section = content["config"][f"{PROJECT}:site"]
        for key in keys[:-1]:
            section = section[key]
        section[keys[-1]] = value
        self.config_file.write_text(yaml.safe_dump(content, sort_keys=False))
        try:
            yield
        finally:
            self.config_file.write_text(before)

    def run(self, *words: str) -> None:
        """Run an operation of the engine, each of its lines shown with the stack's name.

        Raises:
            LabError: the operation failed.
        """
        log = _log(self.name)
        command = self._command(*self._with_config(*words))
        status = stream(command, log=log, prefix=self.name, hide=_WAITING, env=self._environment, cwd=CHECKOUT)
        for read_before in ("outputs", "site"):
            self.__dict__.pop(read_before, None)
        if status != 0:
            raise LabError(f"pulumi {words[0]} of {self.name} failed", f"Its output is above and in {log}.")

    @property
    def log(self) -> str:
        """What the engine said in all operations so far."""
        return _log(self.name).read_text()

    def up(self) -> None:
        """Deploy; nothing is asked, since the lab harms nobody."""
        self.run("up", "--yes", "--skip-preview", "--suppress-progress")

    def preview(self, *words: str, environment: Mapping[str, str] | None = None) -> dict[str, int]:
        """Count the operations that a preview announces, by kind."""
        plan = json.loads(self._capture(*self._with_config("preview", "--json", *words), environment=environment))
        summary: dict[str, int] = plan["changeSummary"]
        return summary

    def refused_preview(self, content: str, *words: str) -> str:
        """What the engine says of another config file's content, which it must refuse."""
        with tempfile.NamedTemporaryFile("w", suffix=".yaml", dir=STATE) as file:
            file.write(content)
            file.flush()
            done = self._run("preview", *words, "--stack", self.name, "--config-file", file.name)
        if done.returncode == 0:
            raise LabError(f"pulumi preview of {self.name} accepted what it should refuse", "See config/loader.py.")
        return done.stdout + done.stderr

    def shell(
        self,
        line: str,
        *,
        folder: Path = CHECKOUT,
        environment: Mapping[str, str] | None = None,
        limit_seconds: int = _LIMIT_SECONDS,
    ) -> "subprocess.CompletedProcess[str]":
        """What a shell says to a line that the operator types in a folder; one that takes longer is ended."""
        return subprocess.run(
            hypervisor.operator_command(["timeout", str(limit_seconds), "bash", "-o", "pipefail", "-c", line]),
            env={**self._environment, **(environment or {})},
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    @cached_property
    def outputs(self) -> dict[str, Any]:
        """The stack's outputs."""
        outputs: dict[str, Any] = json.loads(self._capture("stack", "output", "--json", "--stack", self.name))
        return outputs

    def exported_state(self) -> str:
        """The state as the backend holds it, secrets encrypted."""
        return self._capture("stack", "export", "--stack", self.name)

    @cached_property
    def seed(self) -> Seed:
        """The site's seed, decrypted by the engine."""
        return Seed.parse(self._capture(*self._with_config("config", "get", f"{PROJECT}:seed")))

    @cached_property
    def site(self) -> SiteSection:
        """The site's section as deployed."""
        content = yaml.safe_load(self.config_file.read_text())["config"][f"{PROJECT}:site"]
        return SiteSection.parse(content, file=self.config_file.name)

    def _with_config(self, *words: str) -> list[str]:
        return [*words, "--stack", self.name, "--config-file", str(self.config_file)]

    def _capture(self, *words: str, environment: Mapping[str, str] | None = None) -> str:
        done = self._run(*words, environment=environment)
        if done.returncode != 0:
            # With --json the engine says what failed on its standard output.
            told = (done.stderr.strip() or done.stdout.strip())[-1000:]
            raise LabError(f"pulumi {words[0]} of {self.name} failed: {told}", "Run `make up`.")
        return done.stdout

    def _run(self, *words: str, environment: Mapping[str, str] | None = None) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            self._command(*words),
            env={**self._environment, **(environment or {})},
            cwd=CHECKOUT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    def _command(self, *words: str) -> list[str]:
        bounded = ["timeout", "--signal=INT", "--kill-after=30", str(_LIMIT_SECONDS)]
        return hypervisor.operator_command([*bounded, self.toolchain.pulumi, *words, "--non-interactive"])

    @cached_property
    def _environment(self) -> dict[str, str]:
        return environment(self.toolchain, self.name)


def environment(tools: Toolchain, name: str, *, home: Path = ENGINE_HOME) -> dict[str, str]:
    """What the operator's shell holds for a stack; `bin/edge` reads `<site>` as the name of whichever it asks for."""
    return {
        **os.environ,
        **tools.environment(home),
        "PULUMI_BACKEND_URL": f"file://{BACKEND}",
        "PULUMI_CONFIG_PASSPHRASE_FILE": str(_passphrase_file(name)),
        "SSH_AUTH_SOCK": str(hypervisor.AGENT),
    }


def config_file(name: str) -> Path:
    """A stack file with the overlay merged in."""
    return STATE / f"Pulumi.{name}.yaml"


def _passphrase_file(name: str) -> Path:
    return STATE / f"passphrase-{name}"


def _log(name: str) -> Path:
    return LOGS / f"pulumi-{name}.log"


def existing_stacks() -> list[Stack]:
    """The stacks of the lab that runs.

    Raises:
        LabError: there is none.
    """
    stacks = [Stack(name, toolchain.ensure()) for name in NAMES]
    if not all(stack.config_file.exists() for stack in stacks):
        raise LabError("There is no lab", "Run `make up`.")
    return stacks


def overlaid(stack_file: Mapping[str, Any], values: Mapping[str, str]) -> dict[str, Any]:
    """Merge the lab's overlays into a stack file's `fjord-edge:site`."""
    config = dict(stack_file["config"])
    key = f"{PROJECT}:site"
    site = _merged(config[key], _overlay("overlay.yaml", values))
    for section, overlay in (("iot", "overlay-site.yaml"), ("summaries", "overlay-hub.yaml")):
        if section in site:
            site = _merged(site, _overlay(overlay, values))
    config[key] = site
    return {**stack_file, "config": config}


def _overlay(name: str, values: Mapping[str, str]) -> dict[str, Any]:
    overlay: dict[str, Any] = yaml.safe_load((_OVERLAYS / name).read_text())
    return {key: _filled_in(value, values) for key, value in overlay.items()}


def _filled_in(value: Any, values: Mapping[str, str]) -> Any:
    match value:
        case dict():
            return {key: _filled_in(item, values) for key, item in value.items()}
        case list():
            return [_filled_in(item, values) for item in value]
        case str():
            return Template(value).substitute(values)
        case _:
            return value


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Merge sections key by key; anything else above replaces what is below."""
    merged = dict(below)
    for key, value in above.items():
        is_section = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merged(merged[key], value) if is_section else value
    return merged
