#!/usr/bin/env python3
"""Runs on the node before a container is replaced: does the new image work with the new files?

It gets scratch data and no network, so that the old container and its data are not touched. Where none runs yet, there
is nothing to protect.
"""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

#: An emulated node needs a minute to start Python, at worst.
LIMIT_SECONDS = 150

#: A service that only seems to have started has ended by then.
SETTLE_SECONDS = 3


def main(file: str) -> int:
    """Try one service; the status is 1, and what it said is told, when it does not become healthy."""
    service = json.loads(Path(file).read_text())
    if docker("inspect", "--type=container", service["name"]).returncode != 0:
        return 0
    name = f"canary-{service['name']}"
    docker("rm", "--force", name)
    try:
        return tried(name, service)
    finally:
        docker("rm", "--force", name)


def tried(name: str, service: dict[str, Any]) -> int:
    """Start it, and ask until its health check succeeds."""
    started = docker(*run_words(name, service))
    if started.returncode != 0:
        return failed(service, started.stderr)
    deadline = time.monotonic() + LIMIT_SECONDS
    while docker("exec", name, *service["healthCheck"]).returncode != 0:
        if time.monotonic() > deadline or not runs(name):
            return failed(service, last_words(name))
        time.sleep(1)
    time.sleep(SETTLE_SECONDS)
    return 0 if runs(name) else failed(service, last_words(name))


def run_words(name: str, service: dict[str, Any]) -> list[str]:
    """Docker's words for a container like the service's own, but for data, ports and network."""
    user = f"{service['user']}:{service['user']}"
    words = [
        "run",
        "--detach",
        "--name",
        name,
        "--network=none",
        "--read-only",
        "--tmpfs=/tmp:rw,noexec,nosuid,size=16m",
    ]
    words += ["--cap-drop=ALL", "--security-opt=no-new-privileges:true", f"--user={user}"]
    words += [f"--memory={service['memoryMib']}m", f"--memory-swap={service['memoryMib']}m"]
    words += [f"--cgroup-parent={service['slice']}"]
    words += [f"--cap-add={capability}" for capability in service["capabilities"]]
    words += [f"--env={variable}" for variable in service["environment"]]
    words += [f"--volume={service['files']}:{service['configuration']}:ro"]
    if service["data"]:
        owner = f"uid={service['user']},gid={service['user']}"
        words += [f"--tmpfs={service['data']}:rw,size=64m,mode=0700,{owner}"]
    first, *rest = service["command"]
    return [*words, f"--entrypoint={first}", service["image"], *rest]


def runs(name: str) -> bool:
    """Whether it has not ended."""
    return docker("inspect", "--format={{.State.Running}}", name).stdout.strip() == "true"


def last_words(name: str) -> str:
    """The end of its log."""
    said = docker("logs", "--tail=5", name)
    return said.stdout + said.stderr


def failed(service: dict[str, Any], said: str) -> int:
    """Tell it."""
    print(
        f"{service['name']}: {service['image']} did not prove itself with these files; the old container runs on.\n"
        f"{said.strip()}",
        file=sys.stderr,
    )
    return 1


def docker(*words: str) -> "subprocess.CompletedProcess[str]":
    """Ask Docker."""
    return subprocess.run(["docker", *words], capture_output=True, text=True, check=False)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
