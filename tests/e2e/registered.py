"""Another registry for a while: the checkout's own files, which the program reads."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import yaml

from config.loader import REGISTRY


@contextmanager
def registered(**changed: dict[str, Any]) -> Iterator[None]:
    """Change or add keys of sites' files, or add sites; a key that is None goes. Deploying is the caller's.

    Whatever happens to the files meanwhile, they are as before afterwards.
    """
    before = {path: path.read_text() for path in REGISTRY.glob("*.yaml")}
    try:
        for site, keys in changed.items():
            path = REGISTRY / f"{site}.yaml"
            entry = (yaml.safe_load(path.read_text()) if path.exists() else {}) | keys
            present = {key: value for key, value in entry.items() if value is not None}
            path.write_text(yaml.safe_dump(present, sort_keys=False))
        yield
    finally:
        for path in REGISTRY.glob("*.yaml"):
            if path not in before:
                path.unlink()
        for path, text in before.items():
            path.write_text(text)
