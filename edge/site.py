"""A site as the edge command sees it: its stack file, its state's outputs, and SSH to its hypervisor and its node."""

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

from components._services import CONFIG_LABEL
from components.edge_node.hypervisor import snapshot
from config import yaml_text
from config.base import ConfigError, Mistake
from config.derive import Seed
from config.loader import CHECKOUT, PROJECT, REGISTRY, no_seed, parse_section
from config.registry import read_entry
from config.site import HostSection, SiteSection
from edge.remembered import recall, remember

#: The site's section in its stack file.
SECTION = f"{PROJECT}:site"

#: Where the engine finds a passphrase; `<site>` in it stands for a site's name.
PASSPHRASE_FILE = "PULUMI_CONFIG_PASSPHRASE_FILE"  # noqa: S105

#: A passphrase itself, which the engine takes before that of a file.
PASSPHRASE = "PULUMI_CONFIG_PASSPHRASE"  # noqa: S105

#: A node under load answers in seconds; a program on it may wait for a VM that shuts down.
CONNECT_SECONDS = 15
LIMIT_SECONDS = 600

#: What ssh ends with where it reached nobody, or was let in by nobody; else it is what the other end said.
NOT_REACHED = 255

#: A backend that does not answer so soon is out of reach.
BACKEND_SECONDS = 60

#: What the engine says of a stack that the backend does not have.
NO_STACK = "no stack named"

#: A node that starts answers after a minute; under emulation after two.
START_SECONDS = 300


class EdgeError(Exception):
    """What could not be done, and what to do."""


class NotInstalledError(EdgeError):
    """A program that is missing here: nobody was asked."""

    def __init__(self, program: str) -> None:
        super().__init__(f"{program} is not installed; README.md says what a site needs")


@dataclass(frozen=True)
class Known:
    """A stack's outputs, and why they may not be the last ones; nothing where they are."""

    outputs: dict[str, Any]
    unsure: str = ""


@dataclass(frozen=True)
class Site:
    """One site, as its stack file says it."""

    name: str
    stack_section: SiteSection | HostSection
    content: dict[str, Any]
    """What the stack file says below `config`; secrets in it are encrypted."""
    config_file: Path
    backend: str | None = None
    """Where its state is; where the shell says if it is not given."""

    @classmethod
    def of(cls, arguments: argparse.Namespace) -> "Site":
        """Read the stack file, and where the registry says that the state is; neither seed nor state is needed.

        Raises:
            ConfigError: what is wrong in a file.
        """
        return cls.named(arguments.site, arguments, _registered_backend(arguments.site))

    @classmethod
    def named(cls, name: str, arguments: argparse.Namespace, backend: str | None = None) -> "Site":
        """The same of one of many sites, which no one shell can be for; `<site>` in the given file's name is each.

        Raises:
            ConfigError: what is wrong in the file.
        """
        path = stack_file(name, arguments.config_file)
        content = read_config(yaml_text.read_text(path, path.name), path.name)
        return cls(name, parse_section(content[SECTION], path.name), content, path, backend)

    @property
    def has_node(self) -> bool:
        """Whether it has a node of its own; else it is a machine that was there already."""
        return isinstance(self.stack_section, SiteSection)

    def list_containers(self, options: str) -> str:
        """The command that lists the node's containers: of somebody else's machine ours, and none without Docker."""
        if self.has_node:
            return f"docker ps --all {options}"
        ours = f"docker ps --all --filter label={CONFIG_LABEL} {options}"
        return ours if self.stack_section.summaries else "true"

    @property
    def section(self) -> SiteSection:
        """The section of a site with a node of its own.

        Raises:
            EdgeError: it is a machine that was there already.
        """
        if isinstance(self.stack_section, HostSection):
            host = self.stack_section.host.address
            raise EdgeError(f"{self.name} has no node: {host} is somebody else's; see what it does there: edge status")
        return self.stack_section

    @cached_property
    def outputs(self) -> dict[str, Any]:
        """The stack's outputs, as of the last update.

        Raises:
            EdgeError: the backend does not answer, or knows no such stack.
        """
        done = self.engine("stack", "output", "--json", "--stack", self.name, limit_seconds=BACKEND_SECONDS)
        if done.returncode != 0:
            raise refused("stack output", self.name, done, self.backend)
        outputs: dict[str, Any] = json.loads(done.stdout)
        remember(self.name, asked_backend(self.backend), outputs)
        return outputs

    @cached_property
    def known(self) -> Known:
        """The same for what needs only the node: a backend that is out of reach told them before.

        Raises:
            EdgeError: it does not answer and never did here, or knows no such stack.
        """
        try:
            return Known(self.outputs)
        except EdgeError as error:
            before = None if NO_STACK in str(error) else recall(self.name, asked_backend(self.backend))
            if before is None:
                raise
            why = str(error).splitlines()[0]
            silence = "was not asked" if isinstance(error, NotInstalledError) else "does not answer"
            return Known(before[0], f"the backend {silence}; known is what it told at {before[1]}: {why}")

    def not_deployed(self, unsure: str = "") -> EdgeError:
        """That there is no node yet; where that may not be so any more, why."""
        if unsure:
            return EdgeError(f"{self.name} was not deployed when its backend last told: {unsure}")
        return EdgeError(f"{self.name} is not deployed; deploy it: pulumi up --stack {self.name}")

    @cached_property
    def operations(self) -> list[dict[str, Any]]:
        """What the engine last did to the stack, the newest first: kind, startTime, result; none of one that is new.

        Raises:
            EdgeError: the backend does not answer, or knows no such stack.
        """
        done = self.engine("stack", "history", "--json", "--page-size", "20", "--stack", self.name)
        if done.returncode != 0:
            raise refused("stack history", self.name, done, self.backend)
        operations: list[dict[str, Any]] = json.loads(done.stdout)
        return operations

    def seed(self, key: str = "seed") -> Seed | None:
        """A seed of the stack, decrypted by the engine; nothing where there is none.

        Raises:
            EdgeError: the engine does not decrypt it, or it is no seed.
        """
        if f"{PROJECT}:{key}" not in self.content:
            return None
        words = ["config", "get", f"{PROJECT}:{key}", "--stack", self.name]
        done = self.engine(*words, "--config-file", str(self.config_file))
        if done.returncode != 0:
            raise refused(f"config get {PROJECT}:{key}", self.name, done, self.backend)
        try:
            return Seed.parse(done.stdout)
        except ValueError as error:
            raise EdgeError(f"{self.config_file.name}: {PROJECT}:{key}: {error}") from None

    def needed_seed(self) -> Seed:
        """The seed.

        Raises:
            ConfigError: there is none.
            EdgeError: the engine does not decrypt it.
        """
        seed = self.seed()
        if seed is None:
            raise no_seed(self.config_file.name, self.name)
        return seed

    def on_hypervisor(
        self, *words: str, stdin: str = "", limit_seconds: int | None = LIMIT_SECONDS
    ) -> "subprocess.CompletedProcess[str]":
        """Run a command on the hypervisor, as root."""
        host = self.section.node.hypervisor
        key = ["-i", str(CHECKOUT / Path(host.key_file).expanduser())] if host.key_file else []
        known_hosts = CHECKOUT / host.known_hosts
        root = [] if host.user == "root" else ["sudo", "-n"]
        command = ["ssh", *key, *_ssh(known_hosts), f"{host.user}@{host.host}", *root, *words]
        return run(command, stdin=stdin, limit_seconds=limit_seconds)

    def ask_hypervisor(self, program: str, *, answer: bool = True) -> Any:
        """Run a Python program on the hypervisor; return the JSON that it prints, if an `answer` is asked for.

        Raises:
            EdgeError: it failed.
        """
        done = self.on_hypervisor("python3", "-", stdin=program, limit_seconds=None)
        self.needs_hypervisor(done)
        if done.returncode != 0:
            raise EdgeError(done.stderr.strip() or f"{self.section.node.hypervisor.host} did not answer")
        return json.loads(done.stdout) if answer else None

    def needs_hypervisor(self, done: "subprocess.CompletedProcess[str]") -> None:
        """Raise where the hypervisor was not reached; what a command on it ended with is another matter."""
        if done.returncode == NOT_REACHED:
            host = self.section.node.hypervisor.host
            said = done.stderr.strip()
            raise EdgeError(f"the hypervisor {host} was not reached: {said}; look at it: edge doctor {self.name}")

    def snapshots(self) -> list[dict[str, Any]]:
        """The snapshots of the data disk, the oldest first: name and size in GiB."""
        found: list[dict[str, Any]] = self.ask_hypervisor(snapshot(self.name, self.section.node, "show"))
        return found

    def engine(
        self,
        *words: str,
        stdin: str = "",
        limit_seconds: int | None = LIMIT_SECONDS,
        environment: Mapping[str, str] = MappingProxyType({}),
    ) -> "subprocess.CompletedProcess[str]":
        """What the engine says, asked where the site's state is, and with the site's passphrase."""
        environment = {**self._engines, **environment}
        return run(["pulumi", *words], stdin=stdin, limit_seconds=limit_seconds, environment=environment)

    def pulumi(self, *words: str) -> int:
        """Run an operation of the engine on this stack, shown as it goes; its exit status.

        Raises:
            NotInstalledError: there is no engine.
        """
        config = ["--config-file", str(self.config_file)] if words[0] in {"up", "destroy"} else []
        line = ["pulumi", *words, "--stack", self.name, *config]
        try:
            return subprocess.run(line, cwd=CHECKOUT, env={**os.environ, **self._engines}, check=False).returncode
        except FileNotFoundError:
            raise NotInstalledError(line[0]) from None

    @property
    def _engines(self) -> dict[str, str]:
        return {**at_backend(self.backend), **at_passphrase(self.name)}

    def needs_backup(self) -> None:
        """Raise where the site has none."""
        if self.section.backup is None:
            key = f"{PROJECT}:site.backup"
            raise ConfigError(
                Mistake(self.config_file.name, key, "", "this section is missing; its keys are in docs/reference.md")
            )

    def node_answers(self) -> bool:
        """Whether anything answers where the node's SSH is."""
        address = str(self.section.node.network.address.ip)
        try:
            with socket.create_connection((address, 22), timeout=CONNECT_SECONDS):
                return True
        except OSError:
            return False

    def wait_for_node(self) -> None:
        """Wait until the node's services could start.

        Raises:
            EdgeError: it does not answer within `START_SECONDS`.
        """
        deadline = time.monotonic() + START_SECONDS
        while self.on_node("docker info").returncode != 0:
            if time.monotonic() > deadline:
                raise EdgeError(f"it did not answer within {START_SECONDS} s; look at it: virsh console {self.name}")
            time.sleep(2)

    def on_node(
        self, command: str, *, stdin: str = "", limit_seconds: int | None = LIMIT_SECONDS
    ) -> "subprocess.CompletedProcess[str]":
        """Run a shell command on the node; its host key is the one of the last update."""
        section = self.stack_section
        if isinstance(section, HostSection):
            user, address = section.host.user, section.host.address
        else:
            user, address = section.node.user, str(section.node.network.address.ip)
        if "hostKey" not in self.known.outputs:
            raise self.not_deployed(self.known.unsure)
        with tempfile.NamedTemporaryFile("w") as known_hosts:
            known_hosts.write(f"{address} {self.known.outputs['hostKey']}\n")
            known_hosts.flush()
            words = ["ssh", *_ssh(Path(known_hosts.name)), f"{user}@{address}", command]
            return run(words, stdin=stdin, limit_seconds=limit_seconds)


def stack_file(site: str, path: Path | None = None) -> Path:
    """Where a site's stack file is: in the checkout, unless a path is given, in which `<site>` stands for its name.

    Raises:
        ConfigError: there is none.
    """
    path = Path(str(path or CHECKOUT / "Pulumi.<site>.yaml").replace("<site>", site))
    if not path.is_file():
        remedy = f"there is no such stack file; `edge new-site {site}` makes one"
        raise ConfigError(Mistake(path.name, "", "", remedy))
    return path


def _registered_backend(site: str) -> str | None:
    """Where a site's registry file says that its state is, if there is one that does."""
    if not (REGISTRY / f"{site}.yaml").is_file():
        return None
    backend = read_entry(REGISTRY, site).content.get("backend")
    return backend if isinstance(backend, str) else None


def read_config(text: str, file: str) -> dict[str, Any]:
    """What a stack file says below `config`, not judged yet.

    Raises:
        ConfigError: the site's section is missing.
    """
    content = read_yaml(text, file).get("config")
    if not isinstance(content, dict) or not isinstance(content.get(SECTION), dict):
        raise ConfigError(Mistake(file, SECTION, "", "this section is missing; its keys are in docs/reference.md"))
    return content


def read_yaml(text: str, file: str) -> dict[str, Any]:
    """All of a stack file, as the engine reads it.

    Raises:
        ConfigError: it is not YAML, or nothing that has keys.
    """
    content = yaml_text.parse(text, file).content
    if not isinstance(content, dict):
        raise ConfigError(Mistake(file, "", "", "this has no keys; docs/reference.md has them"))
    return content


def read_stack_file(path: Path) -> dict[str, Any]:
    """The same of a file.

    Raises:
        ConfigError: it cannot be read, is not YAML, or nothing that has keys.
    """
    return read_yaml(yaml_text.read_text(path, path.name), path.name)


def refused(asked: str, site: str, done: "subprocess.CompletedProcess[str]", backend: str | None = None) -> EdgeError:
    """What the engine said instead of an answer about a site, which backend it asked, and what to look at.

    Args:
        asked: the engine's subcommand.
        site: the stack's name.
        done: how it ended.
        backend: the one that it was given; else the shell's.
    """
    passphrase = passphrase_file(site)
    decrypting = f"the passphrase is the one in {passphrase}" if passphrase else f"its passphrase, in {PASSPHRASE_FILE}"
    return EdgeError(
        f"pulumi {asked} of {site}: {done.stderr.strip()}\n"
        f'{told_backend(backend)}; {decrypting}. The shell of {site}: eval "$(bin/edge env {site})"'
    )


def told_backend(backend: str | None) -> str:
    """Which backend an answer is of, as people are told."""
    place = asked_backend(backend) or "the one of the engine's login"
    return f"The backend asked was {place}"


def asked_backend(backend: str | None) -> str:
    """Which one the engine asks: the given one, else the shell's; empty where it is the engine's login."""
    return backend or os.environ.get("PULUMI_BACKEND_URL", "")


def at_backend(backend: str | None) -> dict[str, str]:
    """What lets the engine work with a backend; nothing for the shell's."""
    return {"PULUMI_BACKEND_URL": backend} if backend else {}


def passphrase_file(site: str) -> str:
    """The shell's file of a site's passphrase, in which `<site>` stands for its name; empty where there is none."""
    return os.environ.get(PASSPHRASE_FILE, "").replace("<site>", site)


def at_passphrase(site: str) -> dict[str, str]:
    """What lets the engine decrypt one of many sites; nothing where the shell has no file."""
    file = passphrase_file(site)
    return {PASSPHRASE_FILE: file} if file else {}


def shell_passphrase(site: str) -> str:
    """The one by which the engine would decrypt a site in this shell; empty where there is none."""
    file = passphrase_file(site)
    try:
        # As the engine reads it, which runs there.
        return os.environ.get(PASSPHRASE) or ((CHECKOUT / file).read_text().strip() if file else "")
    except (OSError, UnicodeDecodeError):
        # Where it is needed, the engine says so.
        return ""


def run(
    words: Sequence[str],
    *,
    stdin: str = "",
    limit_seconds: int | None = LIMIT_SECONDS,
    environment: Mapping[str, str] = MappingProxyType({}),
) -> "subprocess.CompletedProcess[str]":
    """Run a program here, in the checkout; what is in `environment` goes before the shell's.

    Raises:
        NotInstalledError: there is no such program.
        EdgeError: it does not end.
    """
    try:
        return subprocess.run(
            words,
            input=stdin,
            cwd=CHECKOUT,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=limit_seconds,
            check=False,
        )
    except FileNotFoundError:
        raise NotInstalledError(words[0]) from None
    except subprocess.TimeoutExpired:
        raise EdgeError(f"{words[0]} did not end within {limit_seconds} s; look at what it waits for") from None


def confirmed(word: str, arguments: argparse.Namespace) -> bool:
    """Whether a person types the word, or said `--yes`; what nobody can answer is a no."""
    if arguments.yes:
        return True
    try:
        if sys.stdin.isatty() and input(f"Type {word} to go on: ") == word:
            return True
    except EOFError:
        # Behind the question, which Ctrl-D leaves open.
        print()
    print("edge: nothing was done; --yes goes on without asking", file=sys.stderr)
    return False


def _ssh(known_hosts: Path) -> list[str]:
    options = {
        "BatchMode": "yes",
        "ConnectTimeout": str(CONNECT_SECONDS),
        "StrictHostKeyChecking": "yes",
        "UserKnownHostsFile": str(known_hosts),
        "GlobalKnownHostsFile": "none",
        "LogLevel": "ERROR",
    }
    return [word for key, value in options.items() for word in ("-o", f"{key}={value}")]


def table(rows: Sequence[Sequence[object]]) -> str:
    """Rows of text in columns."""
    texts = [[str(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in texts
    )
