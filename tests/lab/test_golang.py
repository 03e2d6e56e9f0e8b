import stat
from pathlib import Path

import pytest

from lab import golang
from lab.console import LabError
from lab.golang import Go

GO = Path("/usr/bin/go")


@pytest.mark.parametrize(("text", "version"), [("go1.26.8\n", (1, 26, 8)), ("go1.19", (1, 19)), ("go1.27rc1", (1, 27))])
def test_a_version_is_read_as_go_prints_it(text: str, version: tuple[int, ...]) -> None:
    assert golang.parse_version(text) == version


def test_what_is_no_version_of_go_is_refused() -> None:
    with pytest.raises(ValueError, match="devel"):
        golang.parse_version("devel +abc")


def test_a_go_that_is_new_enough_is_used_as_it_is() -> None:
    assert golang.choose(GO, (1, 26, 0)) == Go(GO, "local")
    assert golang.choose(GO, (1, 27)) == Go(GO, "local")


def test_an_older_go_fetches_the_pinned_release() -> None:
    assert golang.choose(GO, (1, 25, 11)) == Go(GO, f"go{golang.RELEASE}")
    assert golang.choose(GO, (1, 21)) == Go(GO, f"go{golang.RELEASE}")


def test_a_go_that_cannot_fetch_another_is_not_used() -> None:
    assert golang.choose(GO, (1, 20, 14)) is None


def test_the_pinned_release_is_new_enough() -> None:
    assert golang.parse_version(f"go{golang.RELEASE}") >= golang.REQUIRED


def test_the_newest_packaged_go_that_can_fetch_another_is_taken() -> None:
    search = "golang-1.19-go - Go\ngolang-1.23-go - Go\ngolang-1.9-go - Go\ngolang-1.22-go - Go\n"
    assert golang.newest_packaged(search) == 23
    assert golang.newest_packaged("golang-1.19-go - Go programming language compiler\n") is None


def test_backports_come_by_the_mirror_that_apt_already_knows() -> None:
    targets = (
        "http://mirror.example/debian-security/ bookworm-security main\n"
        "http://mirror.example/debian/ bookworm contrib\n"
        "http://mirror.example/debian/ bookworm main\n"
    )
    assert golang.backports_line(targets) == "deb http://mirror.example/debian/ bookworm-backports main\n"
    assert golang.backports_line("") is None


def test_builds_keep_everything_in_the_cache_and_never_edit_a_module() -> None:
    environment = Go(GO, "local").environment()
    assert environment["GOMODCACHE"].startswith(str(golang.CACHE))
    assert environment["GOCACHE"].startswith(str(golang.CACHE))
    assert "-mod=readonly" in environment["GOFLAGS"]


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module, and a Go that counts its builds in a file beside it and writes their words into the executable."""
    fake = tmp_path / "go"
    fake.write_text(
        f'#!/bin/sh\necho built >> {tmp_path}/builds\nfor word; do last=$out; out=$word; done\necho "$@" > "$last"\n'
    )
    fake.chmod(fake.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(golang, "CACHE", tmp_path / "cache")
    monkeypatch.setattr("lab.console.LOGS", tmp_path / "log")
    monkeypatch.setattr(golang, "find", lambda: Go(fake, "local"))
    folder = tmp_path / "module"
    folder.mkdir()
    (folder / "go.mod").write_text("module example\n")
    (folder / "main.go").write_text("package main\n")
    (folder / "main_test.go").write_text("package main\n")
    return folder


def builds(module: Path) -> int:
    return len((module.parent / "builds").read_text().splitlines())


def test_a_module_is_built_once(module: Path) -> None:
    first = golang.build(module, name="example", why="a test")
    assert golang.build(module, name="example", why="a test") == first
    assert first.name == "example"
    assert builds(module) == 1


@pytest.mark.parametrize("changed", ["go.mod", "main.go"])
def test_an_edit_of_a_source_builds_anew(module: Path, changed: str) -> None:
    first = golang.build(module, name="example", why="a test")
    (module / changed).write_text("// changed\n")
    assert golang.build(module, name="example", why="a test") != first
    assert builds(module) == 2


def test_an_edit_of_a_test_builds_nothing(module: Path) -> None:
    first = golang.build(module, name="example", why="a test")
    (module / "main_test.go").write_text("// changed\n")
    assert golang.build(module, name="example", why="a test") == first


def test_other_tags_and_variables_are_another_build(module: Path) -> None:
    built = {
        golang.build(module, name="example", why="a test"),
        golang.build(module, name="example", tags=("custom",), why="a test"),
        golang.build(module, name="example", variables={"main.version": "1"}, why="a test"),
    }
    assert len(built) == 3
    words = [executable.read_text() for executable in built]
    assert any("-tags=custom" in text for text in words)
    assert any("-X main.version=1" in text for text in words)


PATCH = golang.Patch(module="example.com/m", file="m.go", old="a := 1", new="a := 2")


def test_a_patch_changes_one_place() -> None:
    assert PATCH.applied("x\na := 1\n") == "x\na := 2\n"


@pytest.mark.parametrize("source", ["", "a := 1; a := 1"])
def test_a_patch_that_does_not_fit_is_refused(source: str) -> None:
    with pytest.raises(LabError, match=r"does not fit"):
        PATCH.applied(source)
