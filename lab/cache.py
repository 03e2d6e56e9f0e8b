"""Things built once for each content of their inputs, and never seen half-built."""

import fcntl
import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path


def fingerprint(*inputs: str | Path) -> str:
    """Return 16 hex digits that change with any text, file or folder (names, contents, execute bits) given."""
    digest = hashlib.sha256()
    for item in inputs:
        if isinstance(item, str):
            _add(digest, "text", item.encode())
        elif item.is_dir():
            for path in sorted(path for path in item.rglob("*") if path.is_file() and "__pycache__" not in path.parts):
                _add_file(digest, str(path.relative_to(item)), path)
        else:
            _add_file(digest, item.name, item)
    return digest.hexdigest()[:16]


def built(target: Path, build: Callable[[Path], object]) -> Path:
    """Return `target`; when it is missing, `build` makes it under another name first, and it is renamed when whole.

    What a killed build left is removed by the next one. Two labs that want the same thing build it once.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.with_name(f"{target.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.exists():
            partial = target.with_name(f"{target.name}.partial")
            if partial.is_dir():
                shutil.rmtree(partial)
            partial.unlink(missing_ok=True)
            build(partial)
            partial.rename(target)
    return target


def _add_file(digest: "hashlib._Hash", name: str, path: Path) -> None:
    _add(digest, f"{name} {path.stat().st_mode & 0o100}", path.read_bytes())


def _add(digest: "hashlib._Hash", name: str, content: bytes) -> None:
    digest.update(f"{name}\0{len(content)}\0".encode() + content)
