"""The hypervisor's process tree: found by its mark, entered, started and ended.

Its first process carries the lab's path in its environment and is process 1 of a PID namespace. There is no PID file
that could be stale, and nothing is ever signalled that does not carry the mark.
"""

import os
import select
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

from lab.console import LabError, run
from lab.hypervisor.keys import AGENT, CLIENT_KEY
from lab.hypervisor.root import ROOT
from lab.paths import LOGS, STATE

LOG = LOGS / "hypervisor.log"

MARK = f"FJORD_EDGE_HYPERVISOR={STATE}"
NAMESPACES = ("--mount", "--net", "--uts", "--ipc", "--pid")
PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

END_SECONDS = 30

_ENTER = Path(__file__).parent / "enter"


def first_process() -> int | None:
    """Return the hypervisor's process 1 by its number on the machine, or None when there is none."""
    return next((int(folder.name) for folder in Path("/proc").glob("[0-9]*") if _is_first_process(folder)), None)


def launch() -> None:
    """Start the process tree, detached from this process and its terminal; its output goes to `LOG`.

    Raises:
        LabError: the machine refuses new namespaces.
    """
    run(
        ["unshare", *NAMESPACES, "--fork", "true"],
        log="hypervisor-namespaces",
        remedy="The machine refuses new namespaces: run the lab in a virtual machine or a privileged container.",
    )
    with LOG.open("wb") as log:
        subprocess.run(
            ["setsid", "--fork", "env", "-i", MARK, PATH, "unshare", *NAMESPACES, "--fork", "--kill-child", "--",
             _ENTER, ROOT, AGENT, CLIENT_KEY],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", check=True,
        )  # fmt: skip


def end() -> None:
    """Kill the process tree, guests and all, and wait until it is gone.

    Raises:
        LabError: the kernel did not end it within `END_SECONDS`.
    """
    pid = first_process()
    if pid is None:
        return
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        # Looked at again now that the handle holds it: the number may have gone to another process in between.
        if not _is_first_process(Path(f"/proc/{pid}")):
            return
        signal.pidfd_send_signal(handle, signal.SIGKILL)
        # Process 1 has ended only when every other process of its namespace has.
        if not select.select([handle], [], [], END_SECONDS)[0]:
            raise LabError(f"Process {pid}, the hypervisor, does not end", "Restart the machine.")
    finally:
        os.close(handle)


def operator_command(words: Sequence[str | Path]) -> list[str]:
    """Return the command that runs `words` with the machine's files in the hypervisor's network.

    Raises:
        LabError: the hypervisor does not run.
    """
    return ["nsenter", f"--net=/proc/{_running()}/ns/net", "--", *map(str, words)]


def inside_command(words: Sequence[str | Path]) -> list[str]:
    """Return the command that runs `words` inside the hypervisor: its files, network and processes.

    Raises:
        LabError: the hypervisor does not run.
    """
    target = f"--target={_running()}"
    return ["nsenter", target, *NAMESPACES, "--root", "--wd", "--", "env", "-i", PATH, *map(str, words)]


def _running() -> int:
    pid = first_process()
    if pid is None:
        raise LabError("The hypervisor does not run", "Run `make up`.")
    return pid


def _is_first_process(folder: Path) -> bool:
    try:
        marked = MARK.encode() in (folder / "environ").read_bytes().split(b"\0")
        return marked and _is_process_one(folder / "status")
    except OSError:  # gone, or of a kind that not even root may look at
        return False


def _is_process_one(status: Path) -> bool:
    numbers = next(line for line in status.read_text().splitlines() if line.startswith("NSpid:")).split()[1:]
    return len(numbers) > 1 and numbers[-1] == "1"
