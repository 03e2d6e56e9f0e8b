#!/usr/bin/env python3
"""Runs on the node before it is taken down on purpose: may it go down, then its services stop and all is on disk.

Each program in the directory is asked twice: with `check` whether it has a reason to stay up, then with `stop`.
"""

import os
import subprocess
import sys
from pathlib import Path

PROGRAMS = Path("/etc/fjord-edge/before-shutdown.d")

#: Whoever makes this file takes the node down against all reasons; it is gone with the next boot.
REGARDLESS = Path("/run/fjord-edge-shut-down-regardless")


def main() -> int:
    """The status is 1 when there is a reason to stay up; nothing was stopped then."""
    programs = sorted(PROGRAMS.glob("*"))
    reasons = [reason for program in programs for reason in ask(program, "check")]
    if reasons and not REGARDLESS.exists():
        print("; ".join(reasons), f"Wait until that is over, or on the node: sudo touch {REGARDLESS}", sep=". ")
        return 1
    for program in programs:
        ask(program, "stop")
    os.sync()
    return 0


def ask(program: Path, word: str) -> list[str]:
    """Run a program with one word; when it fails, what it said."""
    done = subprocess.run([program, word], capture_output=True, text=True, check=False)
    said = (done.stderr or done.stdout).strip().splitlines()
    return [] if done.returncode == 0 else said or [f"{program} {word} exited with {done.returncode}"]


if __name__ == "__main__":
    sys.exit(main())
