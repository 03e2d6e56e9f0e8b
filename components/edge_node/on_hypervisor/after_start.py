#!/usr/bin/env python3
"""Runs on the hypervisor once the node is up: its first-boot disk goes, its data disk grows, it is kept running."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

KEEPER = Path("/usr/local/lib/fjord-edge/keep-running")
UNIT = Path("/etc/systemd/system/fjord-edge-keep-running.service")

_UNIT = f"""\
[Unit]
Description=Start fjord-edge nodes whose QEMU has crashed
After=libvirtd.service

[Service]
ExecStart={KEEPER}
Restart=always
RestartSec=5

[Install]
WantedBy=multi-user.target
"""


def main(asked: dict[str, Any]) -> int:
    """Do all of it; each step finds what is already as asked."""
    try:
        eject_first_boot(asked["domain"])
        grow(asked["domain"], Path(asked["dataDisk"]["path"]), asked["dataDisk"]["bytes"])
    except FailedError as failed:
        print(failed, file=sys.stderr)
        return 1
    record = Path(asked["record"])
    record.parent.mkdir(parents=True, exist_ok=True)
    record.write_text(json.dumps(asked["vm"]))
    keep_running(asked["keeper"])
    return 0


class FailedError(Exception):
    """What could not be done."""


def eject_first_boot(domain: str) -> None:
    """Take the first-boot disk, which holds the SSH host key, out of the running node."""
    for line in checked("domblklist", domain, "--details").splitlines():
        words = line.split()
        if len(words) == 4 and words[1] == "cdrom" and words[3] != "-":
            checked("change-media", domain, words[2], "--eject", "--force", "--live", "--config")


def grow(domain: str, path: Path, size: int) -> None:
    """Grow the data disk of the running domain to `size` bytes."""
    for line in checked("domblklist", domain, "--details").splitlines():
        words = line.split()
        if len(words) == 4 and words[3] == path.name:
            information = checked("domblkinfo", domain, words[2])
            now = next(int(line.split()[1]) for line in information.splitlines() if line.startswith("Capacity"))
            if now < size:
                checked("blockresize", domain, words[2], f"{size}B")
                print(f"grew {path} from {now} to {size} bytes")
            return
    raise FailedError(f"{domain} has no disk {path.name}; look at virsh domblklist {domain}")


def keep_running(program: str) -> None:
    """Install the keeper, as a service where systemd runs, else as a process of its own."""
    changed = not KEEPER.exists() or KEEPER.read_text() != program
    if changed:
        KEEPER.parent.mkdir(parents=True, exist_ok=True)
        KEEPER.write_text(program)
        KEEPER.chmod(0o755)
    if Path("/run/systemd/system").is_dir():
        UNIT.write_text(_UNIT)
        subprocess.run(["systemctl", "daemon-reload"], check=True)
        subprocess.run(["systemctl", "--quiet", "enable", UNIT.name], check=True)
        subprocess.run(["systemctl", "restart" if changed else "start", UNIT.name], check=True)
    else:
        command = ["setsid", "--fork", str(KEEPER)]
        subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True
        )


def checked(*words: str) -> str:
    """Ask libvirt, which must agree."""
    command = ["virsh", "--connect", "qemu:///system", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode != 0:
        raise FailedError(f"virsh {' '.join(words)}: {done.stderr.strip()}")
    return done.stdout
