"""What brings files onto the node leaves nothing half done."""

import subprocess
from pathlib import Path

from components._files import Directory, File, archive
from node_image.build import HERE

PROGRAM = (HERE / "rootfs/usr/local/lib/fjord-edge/install-files").read_text()

#: Of all file systems: some of the files are on the data disk.
SYNC = "sync\n"


def install(
    root: Path, command: str, *entries: File | Directory, sync: str = SYNC
) -> "subprocess.CompletedProcess[str]":
    """Run the program with another folder in the place of the root directory, and another line in that of `sync`."""
    program = PROGRAM.replace("cd /\n", f"cd '{root}'\n").replace(SYNC, sync)
    assert program.count(sync) == 2
    return subprocess.run(
        ["sh", "-c", program, "install-files", command],
        input=archive(entries),
        capture_output=True,
        text=True,
        check=False,
    )


def test_files_are_there_when_the_command_runs_and_its_words_are_passed_on(tmp_path: Path) -> None:
    done = install(tmp_path, "cat etc/new", Directory(path="/etc"), File(path="/etc/new", contents="æ\n", mode=0o600))
    assert (done.returncode, done.stdout, done.stderr) == (0, "æ\n", "")
    assert (tmp_path / "etc/new").stat().st_mode & 0o777 == 0o600


def test_a_failed_command_runs_again_on_the_files_as_they_were(tmp_path: Path) -> None:
    for name in ("kept", "with space"):
        (tmp_path / name).write_text("old")
    command = "cat kept added >>seen; echo >>seen; test old = $(cat kept)"
    changed = [File(path=f"/{name}", contents="new") for name in ("kept", "with space", "added")]
    done = install(tmp_path, command, *changed, Directory(path="/made"))
    assert done.returncode == 1
    assert done.stderr == "failed; the files of this step are as they were before\n"
    assert [(tmp_path / name).read_text() for name in ("kept", "with space")] == ["old", "old"]
    assert not (tmp_path / "added").exists()
    assert (tmp_path / "seen").read_text() == "newnew\nold\n"


def test_what_it_leaves_is_on_the_disk_when_it_ends(tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("old\n")
    for content, command in (("new\n", "echo ran >>log"), ("newer\n", "echo ran >>log; false")):
        install(tmp_path, command, File(path="/kept", contents=content), sync="cat kept >>log\n")
    assert (tmp_path / "log").read_text().split() == ["ran", "new", "ran", "ran", "new"]


def test_what_was_never_there_is_taken_away_again_and_the_command_is_not_repeated(tmp_path: Path) -> None:
    done = install(tmp_path, "echo ran >>times; false", File(path="/first", contents="x"))
    assert done.returncode == 1
    assert {path.name for path in tmp_path.iterdir()} == {"times"}
    assert (tmp_path / "times").read_text() == "ran\n"


def test_an_archive_that_did_not_arrive_whole_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("old")
    program = PROGRAM.replace("cd /\n", f"cd '{tmp_path}'\n")
    half = archive([File(path="/kept", contents="new" * 9000)])[:-20000]
    done = subprocess.run(["sh", "-c", program, "x", "true"], input=half, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert (tmp_path / "kept").read_text() == "old"
