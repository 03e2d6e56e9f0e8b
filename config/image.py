"""The node image as it lies here, before anything is made of it."""

import hashlib
from pathlib import Path

from config.base import ConfigError, Mistake
from config.site import Image


def check_image(image: Image, checkout: Path, *, file: str, key: str) -> None:
    """Hold a local image against its pinned checksum.

    Whoever updates a site that runs needs no image: one that is not here is not looked at. One at an http(s) address is
    held against the checksum on the hypervisor, before a root disk is made of it.

    Args:
        image: the section of the stack file.
        checkout: what a relative path is relative to.
        file: the stack file, for messages.
        key: the section's key in it, for messages.

    Raises:
        ConfigError: it is another image.
    """
    path = checkout / image.source
    if not path.is_file():
        return
    with path.open("rb") as content:
        found = hashlib.file_digest(content, "sha256").hexdigest()
    if found != image.sha256:
        remedy = f"{path} has the checksum {found}; write that if it is the image you mean"
        raise ConfigError(Mistake(file, f"{key}.sha256", image.sha256, remedy))
