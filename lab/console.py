"""What a person sees while the lab works: steps with elapsed time, and failures with a remedy."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from lab.paths import LOGS

HEARTBEAT_SECONDS = 20.0
TAIL_LINES = 20

_started = time.monotonic()


class LabError(Exception):
    """A failure said in one line: what is wrong, and what to do about it."""

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(f"{problem}. {remedy}")


def say(message: str) -> None:
    """Print one line with the minutes and seconds since the command began."""
    minutes, seconds = divmod(int(time.monotonic() - _started), 60)
    print(f"[{minutes:02d}:{seconds:02d}] {message}", flush=True)


@contextmanager
def step(title: str) -> Iterator[None]:
    """Announce a step, say every 20 s that it goes on, and how long it took."""
    begun = time.monotonic()
    finished = threading.Event()

    def heartbeat() -> None:
        while not finished.wait(HEARTBEAT_SECONDS):
            say(f"  … {title}, {time.monotonic() - begun:.0f} s so far")

    say(title)
    thread = threading.Thread(target=heartbeat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        finished.set()
        thread.join()
    say(f"  done: {title} ({time.monotonic() - begun:.0f} s)")


def run(
    command: Sequence[str | Path],
    *,
    log: str,
    remedy: str,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdin: bytes | None = None,
) -> None:
    """Run a command with its output in `.lab/log/<log>.log`.

    Raises:
        LabError: the command failed; the last lines of its output go to stderr.
    """
    LOGS.mkdir(parents=True, exist_ok=True)
    path = LOGS / f"{log}.log"
    with path.open("ab") as output:
        done = subprocess.run(
            [str(word) for word in command],
            env=env,
            cwd=cwd,
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if done.returncode != 0:
        tail = path.read_text(errors="replace").splitlines()[-TAIL_LINES:]
        print("\n".join(tail), file=sys.stderr)
        raise LabError(f"{command[0]} exited with {done.returncode}; its output is in {path}", remedy)


def stream(command: Sequence[str], *, log: Path, prefix: str, hide: str, env: Mapping[str, str], cwd: Path) -> int:
    """Run a command, keep its output in a log, and show each line of it with a prefix, but those that say `hide`.

    Returns:
        The command's exit status.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with (
        log.open("a") as kept,
        subprocess.Popen(
            command,
            env=env,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        ) as process,
    ):
        assert process.stdout is not None  # noqa: S101  PIPE was asked for
        for line in process.stdout:
            kept.write(line)
            if line.strip() and hide not in line:
                say(f"  {prefix}: {line.rstrip()}")
    return process.returncode
