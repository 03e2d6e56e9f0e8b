from pathlib import Path

import pytest

from lab.cache import built, fingerprint
from lab.debian import pack


def test_a_fingerprint_changes_with_a_files_content_its_name_and_its_execute_bit(tmp_path: Path) -> None:
    file = tmp_path / "tree" / "script"
    file.parent.mkdir()
    file.write_text("one")
    seen = [fingerprint("recipe", file.parent)]
    file.write_text("two")
    seen.append(fingerprint("recipe", file.parent))
    file.chmod(0o755)
    seen.append(fingerprint("recipe", file.parent))
    file.rename(file.with_name("renamed"))
    seen.append(fingerprint("recipe", file.parent))
    assert len(set(seen)) == 4
    assert fingerprint("recipe", file.parent) == seen[-1]


def test_what_is_there_is_not_built_again(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "target"
    assert built(target, lambda partial: partial.write_text("first") and None) == target
    built(target, lambda partial: partial.write_text("second") and None)
    assert target.read_text() == "first"


def test_a_build_that_was_killed_leaves_nothing_that_the_next_one_takes_for_whole(tmp_path: Path) -> None:
    target = tmp_path / "target"

    def killed(partial: Path) -> None:
        partial.mkdir()
        (partial / "half").touch()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        built(target, killed)
    assert not target.exists()
    built(target, lambda partial: partial.mkdir())
    assert list(target.iterdir()) == []


def test_every_checkout_packs_to_the_same_bytes(tmp_path: Path) -> None:
    archives = []
    for checkout, mode in (("a", 0o644), ("b", 0o600)):
        file = tmp_path / checkout / "etc" / "file"
        file.parent.mkdir(parents=True)
        file.write_text("text")
        file.chmod(mode)
        pack(tmp_path / checkout, tmp_path / f"{checkout}.tar")
        archives.append((tmp_path / f"{checkout}.tar").read_bytes())
    assert archives[0] == archives[1]
