"""The script that must never format a disk with anything on it, run on real file systems in files."""

import shutil
import subprocess
from pathlib import Path

import pytest

from node_image.build import HERE

SCRIPT = HERE / "rootfs/usr/local/lib/fjord-edge/data-disk"
SIZE = 16 * 2**20

pytestmark = pytest.mark.skipif(not shutil.which("mkfs.ext4", path="/usr/sbin:/sbin"), reason="e2fsprogs is missing")

ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    disk = tmp_path / "disk"
    with disk.open("wb") as file:
        file.truncate(SIZE)
    return disk


def _prepare(disk: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([SCRIPT, disk], env=ENVIRONMENT, capture_output=True, text=True, check=False)


def _run(*words: str | Path) -> str:
    return subprocess.run(words, env=ENVIRONMENT, capture_output=True, text=True, check=True).stdout


def _refused_and_untouched(disk: Path) -> str:
    before = disk.read_bytes()
    done = _prepare(disk)
    assert done.returncode == 1
    assert "it was left as it is" in done.stderr
    assert disk.read_bytes() == before
    return done.stderr


def test_a_blank_disk_is_formatted_with_the_label(disk: Path) -> None:
    assert _prepare(disk).returncode == 0
    assert "LABEL=fjord-data" in _run("blkid", "-p", "-o", "export", disk).splitlines()
    assert "TYPE=ext4" in _run("blkid", "-p", "-o", "export", disk).splitlines()


def test_a_data_disk_keeps_its_files(disk: Path, tmp_path: Path) -> None:
    _prepare(disk)
    kept = tmp_path / "kept"
    kept.write_text("a reading")
    _run("debugfs", "-w", "-R", f"write {kept} kept", disk)
    assert _prepare(disk).returncode == 0
    assert _run("debugfs", "-R", "cat kept", disk) == "a reading"


def test_another_file_system_is_refused(disk: Path) -> None:
    _run("mkfs.ext4", "-q", "-L", "other", disk)
    assert "LABEL=other" in _refused_and_untouched(disk)


def test_an_ext4_without_a_label_is_refused(disk: Path) -> None:
    _run("mkfs.ext4", "-q", disk)
    assert "TYPE=ext4" in _refused_and_untouched(disk)


def test_a_longer_label_is_refused(disk: Path) -> None:
    _run("mkfs.ext4", "-q", "-L", "fjord-data2", disk)
    _refused_and_untouched(disk)


def test_another_type_with_the_label_is_refused(disk: Path) -> None:
    _run("mkswap", "-q", "-L", "fjord-data", disk)
    assert "TYPE=swap" in _refused_and_untouched(disk)


def test_a_partition_table_is_refused(disk: Path) -> None:
    with disk.open("r+b") as file:
        file.seek(446)
        file.write(bytes.fromhex("00 000200 83 000000 00080000 00700000"))
        file.seek(510)
        file.write(b"\x55\xaa")
    assert "PTTYPE=dos" in _refused_and_untouched(disk)


def test_signatures_that_contradict_each_other_are_refused(disk: Path) -> None:
    _prepare(disk)
    with disk.open("r+b") as file:
        file.seek(32768)
        file.write(b"\x01CD001")
    assert "contradict" in _refused_and_untouched(disk)


def test_a_disk_that_cannot_be_read_is_not_taken_for_blank(tmp_path: Path) -> None:
    done = _prepare(tmp_path / "missing")
    assert done.returncode == 1
    assert "cannot be read" in done.stderr


def test_a_damaged_data_disk_is_not_formatted(disk: Path) -> None:
    _prepare(disk)
    with disk.open("r+b") as file:
        file.seek(1024 + 0x4C)
        file.write((99).to_bytes(4, "little"))  # a revision nobody knows
    before = disk.read_bytes()
    done = _prepare(disk)
    assert done.returncode == 1
    assert disk.read_bytes() == before
