"""What a site's backend last told, for when it does not answer: the fibre is cut, and the node stands beside you.

Outputs without their secrets, one file for each site and backend, in the user's state folder (XDG base directories).
"""

import hashlib
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


def remember(site: str, backend: str, outputs: dict[str, Any]) -> None:
    """Keep them; of a site that is not deployed, and where there is no place for them, nothing is kept."""
    path = _path(site, backend)
    try:
        if "hostKey" not in outputs:
            path.unlink(missing_ok=True)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        made = path.with_suffix(f".{os.getpid()}")
        made.write_text(json.dumps(outputs))
        made.replace(path)
    except OSError:
        return


def recall(site: str, backend: str) -> tuple[dict[str, Any], str] | None:
    """The outputs, and when they were told (UTC); nothing where none are kept."""
    path = _path(site, backend)
    try:
        outputs: dict[str, Any] = json.loads(path.read_text())
        return outputs, f"{datetime.fromtimestamp(path.stat().st_mtime, UTC):%Y-%m-%d %H:%M} UTC"
    except (OSError, ValueError):
        return None


def _path(site: str, backend: str) -> Path:
    base = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    return base / "fjord-edge" / f"{site}-{hashlib.sha256(backend.encode()).hexdigest()[:8]}.json"
