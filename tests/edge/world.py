"""Programs that the edge command calls, which answer as told and remember what they were asked."""

import json
from pathlib import Path

OUTPUTS = {"hostKey": "ecdsa-sha2-nistp256 AAAA", "facts": {"kernel": "6.1.0", "qdiscs": {"eth0": "fq"}}}
LAST = {"kind": "update", "startTime": "2026-11-25T20:26:15.000Z", "result": "succeeded"}

#: The answer to a word of the command line goes before the program's own.
_PROGRAM = """\
#!/bin/sh
printf '%s\\n' "{name} $*" >> {folder}/asked
cat > {folder}/stdin-{name}
printf '%s\\t%s\\n' "$PULUMI_BACKEND_URL" "{name} $*" >> {folder}/asked-at
printf '%s\\t%s\\n' "$PULUMI_CONFIG_PASSPHRASE_FILE" "{name} $*" >> {folder}/asked-with
case "$*" in $(cat {folder}/refuses-{name})*)
    cat {folder}/refusal-{name} >&2
    exit $(cat {folder}/refused-{name}) ;;
esac
key={name}
for word in "$@"; do [ ! -e "{folder}/answer-{name}:$word" ] || key={name}:$word; done
cat "{folder}/answer-$key"
exit $(cat "{folder}/status-$key")
"""


class World:
    """What `ssh` and `pulumi` answer, and what they were asked."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("ssh", "pulumi"):
            program = folder / name
            program.write_text(_PROGRAM.format(name=name, folder=folder))
            (folder / f"refuses-{name}").write_text("nothing")
            program.chmod(0o755)
            self.answer(name, "")
        self.answer("pulumi", json.dumps(OUTPUTS))
        self.answer("pulumi", json.dumps([LAST]), to="history")
        self.answer("pulumi", json.dumps({"url": f"file://{folder}"}), to="whoami")

    def answer(self, name: str, text: str, status: int = 0, *, to: str = "") -> None:
        """Let a program answer so, always or to a command line with one word in it."""
        key = f"{name}:{to}" if to else name
        (self.folder / f"answer-{key}").write_text(text)
        (self.folder / f"status-{key}").write_text(str(status))

    def refuse(self, name: str, words: str, saying: str = "error: refused", status: int = 1) -> None:
        """Let a program fail at what begins with these words, whatever it answers to the rest."""
        (self.folder / f"refusal-{name}").write_text(f"{saying}\n")
        (self.folder / f"refused-{name}").write_text(str(status))
        (self.folder / f"refuses-{name}").write_text(words.replace(" ", "\\ "))

    @property
    def asked(self) -> list[str]:
        return self._lines("asked")

    @property
    def backends(self) -> list[tuple[str, str]]:
        """Which backend the engine was to ask, and what."""
        return self._with("asked-at")

    @property
    def passphrases(self) -> list[tuple[str, str]]:
        """Which file of a passphrase the engine had, and what it was asked."""
        return self._with("asked-with")

    def _with(self, name: str) -> list[tuple[str, str]]:
        lines = [line.partition("\t") for line in self._lines(name)]
        return [(value, words) for value, _, words in lines if words.startswith("pulumi ")]

    def _lines(self, name: str) -> list[str]:
        path = self.folder / name
        return path.read_text().splitlines() if path.exists() else []
