"""Programs that the edge command calls, which answer as told and remember what they were asked."""

import json
from pathlib import Path

OUTPUTS = {"hostKey": "ecdsa-sha2-nistp256 AAAA", "facts": {"kernel": "6.1.0", "qdiscs": {"eth0": "fq"}}}


class World:
    """What `ssh` and `pulumi` answer, and what they were asked."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("ssh", "pulumi"):
            program = folder / name
            program.write_text(
                f"#!/bin/sh\nprintf '%s\\n' \"{name} $*\" >> {folder}/asked\ncat > {folder}/stdin-{name}\n"
                f"case \"$*\" in $(cat {folder}/refuses-{name})*) echo 'error: refused' >&2; exit 1 ;; esac\n"
                f"cat {folder}/answer-{name}\nexit $(cat {folder}/status-{name})\n"
            )
            (folder / f"refuses-{name}").write_text("nothing")
            program.chmod(0o755)
            self.answer(name, "")
        self.answer("pulumi", json.dumps(OUTPUTS))

    def answer(self, name: str, text: str, status: int = 0) -> None:
        (self.folder / f"answer-{name}").write_text(text)
        (self.folder / f"status-{name}").write_text(str(status))

    def refuse(self, name: str, words: str) -> None:
        """Let a program fail at what begins with these words, whatever it answers to the rest."""
        (self.folder / f"refuses-{name}").write_text(words.replace(" ", "\\ "))

    @property
    def asked(self) -> list[str]:
        path = self.folder / "asked"
        return path.read_text().splitlines() if path.exists() else []
