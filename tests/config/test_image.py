"""An image that is not the pinned one makes no node."""

import hashlib
from pathlib import Path

import pytest

from config.base import ConfigError
from config.image import check_image
from config.site import Image

SHA256 = hashlib.sha256(b"image").hexdigest()


def check(folder: Path, source: str, sha256: str = SHA256) -> None:
    check_image(Image(source=source, sha256=sha256), folder, file="Pulumi.oslo.yaml", key="fjord-edge:site.node.image")


def test_another_image_than_the_pinned_one_is_told_with_its_checksum(tmp_path: Path) -> None:
    (tmp_path / "node.qcow2").write_bytes(b"image")
    check(tmp_path, "node.qcow2")
    with pytest.raises(ConfigError) as refused:
        check(tmp_path, "node.qcow2", 64 * "0")
    assert str(refused.value) == (
        f"Pulumi.oslo.yaml: fjord-edge:site.node.image.sha256 = {64 * '0'}: "
        f"{tmp_path}/node.qcow2 has the checksum {SHA256}; write that if it is the image you mean"
    )


@pytest.mark.parametrize("source", ["no-such.qcow2", "https://images.example.com/node.qcow2"])
def test_an_image_that_is_not_here_is_the_hypervisors_to_check(tmp_path: Path, source: str) -> None:
    check(tmp_path, source)
