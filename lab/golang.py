"""Go: the machine's own where it will do, else one that is fetched; and the building of committed modules."""

import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from lab.cache import built, fingerprint
from lab.console import LabError, run, step
from lab.paths import CACHE

#: What the committed modules ask for (the `go` line of each go.mod).
REQUIRED = (1, 26)

#: Fetched through Go's module proxy where the machine's Go is older.
RELEASE = "1.26.8"

#: The first Go that can fetch another one.
BOOTSTRAP = (1, 21)

#: Downloaded modules and compiled packages.
HOME = CACHE / "go"

_PACKAGE = re.compile(r"^golang-1\.(\d+)-go\b", re.MULTILINE)


@dataclass(frozen=True)
class Patch:
    """One place in a required module that is compiled with other words, because its maker has not mended it yet."""

    module: str
    file: str
    old: str
    new: str

    def applied(self, source: str) -> str:
        """Return the file's text with the other words.

        Raises:
            LabError: the words are not there exactly once, so this is not the text that the patch was made for.
        """
        if source.count(self.old) != 1:
            raise LabError(
                f"The patch of {self.module}/{self.file} does not fit: {self.old!r} is not there exactly once",
                "Look whether its maker has mended it, and remove the patch from lab/toolchain/source.py.",
            )
        return source.replace(self.old, self.new)


@dataclass(frozen=True)
class Go:
    """A Go command and, when it is too old itself, the release that it is to run instead (else `local`)."""

    executable: Path
    toolchain: str

    def environment(self) -> dict[str, str]:
        """Return the whole environment for a build; nothing is kept outside the cache."""
        return os.environ | {
            "CGO_ENABLED": "0",
            "GOCACHE": str(HOME / "build"),
            "GOFLAGS": "-mod=readonly -modcacherw -buildvcs=false",
            "GOMODCACHE": str(HOME / "mod"),
            "GOTOOLCHAIN": self.toolchain,
            "GOWORK": "off",
        }


def parse_version(text: str) -> tuple[int, ...]:
    """Return the numbers of a version as Go prints it: `go1.26.8` is (1, 26, 8), `go1.27rc1` is (1, 27).

    Raises:
        ValueError: the text is no version of Go.
    """
    match = re.match(r"go(\d+(?:\.\d+)*)", text)
    if match is None:
        raise ValueError(f"{text!r} is no version of Go")
    return tuple(int(number) for number in match[1].split("."))


def choose(executable: Path, version: tuple[int, ...]) -> Go | None:
    """Return how to use a Go of that version, or None when it is too old even to fetch another."""
    if version >= REQUIRED:
        return Go(executable, "local")
    if version >= BOOTSTRAP:
        return Go(executable, f"go{RELEASE}")
    return None


@cache
def find() -> Go:
    """Return the machine's Go, or one unpacked from Debian packages into the cache.

    Raises:
        LabError: neither is to be had.
    """
    installed = shutil.which("go")
    if installed is not None:
        go = choose(Path(installed), _version(Path(installed)))
        if go is not None:
            return go
    return Go(next(built(CACHE / "golang", _fetch).glob("usr/lib/go-1.*/bin/go")), f"go{RELEASE}")


def build(
    module: Path,
    *,
    name: str,
    package: str = ".",
    tags: Sequence[str] = (),
    variables: Mapping[str, str] | None = None,
    patches: Sequence[Patch] = (),
    why: str,
) -> Path:
    """Build one package of a committed module, once for each content of the module and each set of flags.

    Args:
        module: a folder with a complete go.mod and go.sum.
        name: the executable's name; it lies in a folder of its own.
        package: the import path of the package, by default the module's own.
        tags: build tags.
        variables: string variables that the linker sets, by their full names.
        patches: what is compiled otherwise than its module says.
        why: what it is and how long it takes, for the one who waits.

    Raises:
        LabError: Go is not to be had, or the build failed.
    """
    assignments = [f"-X {variable}={value}" for variable, value in sorted((variables or {}).items())]
    flags = ["-trimpath", f"-tags={','.join(tags)}", f"-ldflags={' '.join(['-s', '-w', *assignments])}"]
    sources = [path for path in sorted(module.rglob("*")) if path.is_file() and not path.name.endswith("_test.go")]

    def compile_into(folder: Path) -> None:
        go = find()
        folder.mkdir()
        with step(f"Building {name}: {why}"), _patched(module, patches) as modfile:
            run(
                [go.executable, "build", *flags, *modfile, "-o", folder / name, package],
                cwd=module,
                env=go.environment(),
                log=f"build-{name}",
                remedy="Check that Go's module proxy can be reached, then run the command again.",
            )

    return (
        built(CACHE / "bin" / f"{name}-{fingerprint(package, *flags, *map(repr, patches), *sources)}", compile_into)
        / name
    )


@contextmanager
def _patched(module: Path, patches: Sequence[Patch]) -> Iterator[list[str]]:
    """Copy the modules that are patched, and return the flag with which `go build` takes them from there."""
    if not patches:
        yield []
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        go_mod = (module / "go.mod").read_text()
        for number, patch in enumerate(patches):
            copy = folder / str(number)
            shutil.copytree(module_folder(module, patch.module), copy)
            (copy / patch.file).write_text(patch.applied((copy / patch.file).read_text()))
            go_mod += f"\nreplace {patch.module} => {copy}\n"
        (folder / "go.mod").write_text(go_mod)
        shutil.copyfile(module / "go.sum", folder / "go.sum")
        yield [f"-modfile={folder / 'go.mod'}"]


def module_folder(module: Path, path: str) -> Path:
    """Return where the sources of a module that `module` requires lie, downloading them if they are not there yet.

    Raises:
        LabError: they are not to be had.
    """
    go = find()
    command = [str(go.executable), "mod", "download", "-json", path]
    done = subprocess.run(command, cwd=module, env=go.environment(), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise LabError(
            f"Go does not get the sources of {path}: {done.stderr.strip()}",
            "Check that Go's module proxy can be reached, then run the command again.",
        )
    return Path(json.loads(done.stdout)["Dir"])


def _version(executable: Path) -> tuple[int, ...]:
    command = [str(executable), "env", "GOVERSION"]
    local = os.environ | {"GOTOOLCHAIN": "local"}
    return parse_version(subprocess.run(command, env=local, capture_output=True, text=True, check=True).stdout)


def _fetch(folder: Path) -> None:
    """Unpack the newest Go of Debian's or Ubuntu's packages; apt's configuration and lists stay as they are."""
    with step("Fetching Go from Debian packages, because this machine has none that is new enough"):
        options: list[str] = []
        minor = newest_packaged(_apt_cache(options))
        if minor is None:
            options = _backports()
            minor = newest_packaged(_apt_cache(options))
        if minor is None:
            raise LabError(
                "no Go from 1.21 on is in this machine's packages, nor in its backports",
                f"Install Go {RELEASE} and put it on PATH, then run the command again.",
            )
        downloads = folder.with_name("golang-packages")
        shutil.rmtree(downloads, ignore_errors=True)
        downloads.mkdir(parents=True)
        names = [f"golang-1.{minor}-go", f"golang-1.{minor}-src"]
        _apt(["download", *names], options, cwd=downloads)
        for package in downloads.glob("*.deb"):
            run(["dpkg", "-x", package, folder], log="apt-golang", remedy="Check the free disk space.")
        shutil.rmtree(downloads)


def newest_packaged(search: str) -> int | None:
    """Return the n of the newest package golang-1.n-go, from 1.21 on, in a listing of `apt-cache search`."""
    minors = [int(minor) for minor in _PACKAGE.findall(search)]
    return max((minor for minor in minors if (1, minor) >= BOOTSTRAP), default=None)


def backports_line(targets: str) -> str | None:
    """Return the source line of Debian's backports beside the release that apt already knows, by the same mirror.

    Args:
        targets: lines `<uri> <codename> <component>` of apt's package lists.
    """
    for uri, codename, component in (line.split(maxsplit=2) for line in targets.splitlines()):
        if component == "main" and "-" not in codename:
            return f"deb {uri} {codename}-backports main\n"
    return None


def _backports() -> list[str]:
    """Return apt's options for a configuration with backports alone, kept in the cache, and fetch its lists."""
    listed = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI) $(CODENAME) $(COMPONENT)", "Created-By: Packages"],
        capture_output=True,
        text=True,
        check=True,
    )
    line = backports_line(listed.stdout)
    if line is None:
        raise LabError("apt knows no Debian release on this machine", f"Install Go {RELEASE} and put it on PATH.")
    apt = CACHE / "apt"
    (apt / "lists" / "partial").mkdir(parents=True, exist_ok=True)
    (apt / "backports.list").write_text(line)
    options = [
        f"-oDir::Etc::SourceList={apt / 'backports.list'}",
        "-oDir::Etc::SourceParts=/dev/null",
        f"-oDir::State::Lists={apt / 'lists'}",
        f"-oDir::Cache={apt}",
    ]
    _apt(["update"], options)
    return options


def _apt_cache(options: Sequence[str]) -> str:
    search = ["apt-cache", *options, "search", "--names-only", r"^golang-1\.[0-9]+-go$"]
    return subprocess.run(search, capture_output=True, text=True, check=True).stdout


def _apt(words: Sequence[str], options: Sequence[str], *, cwd: Path | None = None) -> None:
    # As root: apt's own user may not write below root's home.
    command = ["apt-get", *options, "-oAPT::Sandbox::User=root", *words]
    run(command, cwd=cwd, log="apt-golang", remedy="Check that Debian's packages can be reached from this machine.")
