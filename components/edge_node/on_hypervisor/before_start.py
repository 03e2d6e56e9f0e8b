#!/usr/bin/env python3
"""Runs on the hypervisor before the domain is made or made anew: the old guest is shut down in order.

The provider alone would pull the plug.
"""

import base64
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

#: What the node runs before it goes down, installed by the program: looks at alarms and backlog, stops the services.
BEFORE_SHUTDOWN = "/usr/local/lib/fjord-edge/before-shutdown"

#: What virsh says of a name that is no domain's.
NO_DOMAIN = "failed to get domain"

AGENT_SECONDS = 180
SHUTDOWN_SECONDS = 180


def main(asked: dict[str, Any]) -> int:
    """Shut the domain down if it runs with other hardware than is asked; the status is 1 when it must not go down."""
    Path(asked["firstBoot"]).chmod(0o600)
    domain = asked["domain"]
    if made_of(Path(asked["record"])) in (None, asked["vm"]):
        print(f"{domain} stays as it is")
        return 0
    return take_down(asked)


def take_down(asked: dict[str, Any]) -> int:
    """Shut the domain down in order, if it runs; the status is 1 when it must not or does not go down."""
    domain = asked["domain"]
    try:
        if state(domain) != "running":
            print(f"{domain} does not run")
            return 0
        prepare(domain)
        shut_down(domain)
    except RefusedError as refused:
        print(f"{domain} was not taken down: {refused}", file=sys.stderr)
        return 1
    return 0


def state(domain: str) -> str | None:
    """Libvirt's word for how a domain is; None where there is none.

    Raises:
        RefusedError: libvirt does not say. The guest may run, and nothing may be done as if it were off.
    """
    done = virsh("domstate", domain)
    if done.returncode == 0:
        return done.stdout.strip()
    if NO_DOMAIN in done.stderr:
        return None
    raise RefusedError(f"libvirt does not say how it is: {done.stderr.strip()}. Look at systemctl status libvirtd")


class RefusedError(Exception):
    """Why a node must not or does not go down, and what to do."""


def made_of(record: Path) -> str | None:
    """The root disk of the running domain, written down after its start: another VM has another one."""
    return json.loads(record.read_text()) if record.exists() else None


def prepare(domain: str) -> None:
    """Let the node look at its alarms and backlog, stop its services and write everything to disk.

    A guest whose agent does not answer is shut down without it: there is nobody to ask.
    """
    if virsh("qemu-agent-command", domain, '{"execute": "guest-ping"}').returncode != 0:
        print(f"the agent of {domain} does not answer: it is shut down without a look at its services", file=sys.stderr)
        return
    status, said = in_guest(domain, BEFORE_SHUTDOWN)
    if status != 0:
        raise RefusedError(f"{said.strip() or f'{BEFORE_SHUTDOWN} exited with {status}'}. The node runs on as it was.")


def in_guest(domain: str, program: str) -> tuple[int, str]:
    """Run a program in the guest through its agent; its exit status and what it said."""
    call = {"execute": "guest-exec", "arguments": {"path": program, "capture-output": True}}
    begun = virsh("qemu-agent-command", domain, json.dumps(call))
    if begun.returncode != 0:
        # A node of before this program was there has nothing to say.
        return 0, ""
    question = {"execute": "guest-exec-status", "arguments": {"pid": json.loads(begun.stdout)["return"]["pid"]}}
    deadline = time.monotonic() + AGENT_SECONDS
    while time.monotonic() < deadline:
        answer = json.loads(virsh("qemu-agent-command", domain, json.dumps(question)).stdout or "{}").get("return", {})
        if answer.get("exited"):
            said = base64.b64decode(answer.get("err-data", "")) + base64.b64decode(answer.get("out-data", ""))
            return answer.get("exitcode", 1), said.decode(errors="replace")
        time.sleep(1)
    raise RefusedError(f"{program} did not end within {AGENT_SECONDS} s. Look at the node, then start the update again")


def shut_down(domain: str) -> None:
    """Shut down by ACPI and wait."""
    virsh("shutdown", domain, "--mode", "acpi")
    deadline = time.monotonic() + SHUTDOWN_SECONDS
    while time.monotonic() < deadline:
        if virsh("domstate", domain).stdout.strip() == "shut off":
            print(f"{domain} is shut down")
            return
        time.sleep(1)
    raise RefusedError(
        f"it did not shut down within {SHUTDOWN_SECONDS} s; its services are stopped, its data is on disk. "
        f"Look at it: virsh console {domain}; or end it: virsh destroy {domain}; then start the update again"
    )


def virsh(*words: str) -> "subprocess.CompletedProcess[str]":
    """Ask libvirt."""
    command = ["virsh", "--connect", "qemu:///system", *words]
    return subprocess.run(
        command, env=os.environ | {"LC_ALL": "C"}, capture_output=True, text=True, timeout=60, check=False
    )
