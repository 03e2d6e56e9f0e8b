"""For how long a site keeps what it has: what is made shorter deletes what is older, though no resource goes."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from components._influxdb.users import USERS_FILE
from components.backup.restic import SETTINGS_FILE
from edge.plan.difference import files_of
from edge.plan.steps import Step
from edge.recorder.recording import Registered

_DAYS = re.compile(r"(\d+)d")
_COUNT = re.compile(r"--keep-(\w+)=(\d+)")


def shortened(steps: Sequence[Step]) -> Iterator[str]:
    """What is deleted by it, a line each; what either revision keeps for ever, or has not, is not told."""
    then = _kept([step.before for step in steps if step.before])
    now = _kept([step.after for step in steps if step.after])
    for what in sorted(then.keys() & now.keys()):
        if now[what] < then[what]:
            yield f"{what} {then[what]} → {now[what]}: what is older is deleted"


def _kept(resources: Sequence[Registered]) -> Mapping[str, int]:
    """Days, or a count of backups, by what they are of."""
    found: dict[str, int] = {}
    for resource in resources:
        files = files_of(resource.inputs.get("stdin")) or {}
        if USERS_FILE in files:
            for database, kept in _json(files[USERS_FILE]).get("retention", {}).items():
                if days := _DAYS.fullmatch(kept["duration"]):
                    found[f"days of `{database}` in the database"] = int(days[1])
        if SETTINGS_FILE in files:
            options = " ".join(_json(files[SETTINGS_FILE])["keep"])
            found |= {f"{unit} backups": int(count) for unit, count in _COUNT.findall(options)}
    return found


def _json(file: str) -> dict[str, Any]:
    """What a file says below the line of its mode and owner."""
    content: dict[str, Any] = json.loads(file.partition("\n")[2])
    return content
