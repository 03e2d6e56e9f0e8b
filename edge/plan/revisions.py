"""The two revisions that a plan compares: what git says of them, and which sites a change can touch."""

import io
import re
import subprocess
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

from config import yaml_text
from config.base import ConfigError
from config.loader import PROJECT
from edge.plan.approvals import FILE as CODEOWNERS
from edge.site import SECTION, EdgeError

#: What no site is made of.
_INERT_FOLDERS = {".ci", ".github", "bin", "docs", "edge", "lab", "policy", "tests"}
_INERT_FILES = {
    ".gitignore",
    ".gitlab-ci.yml",
    "CODEOWNERS",
    "LICENSE",
    "Makefile",
    "pyproject.toml",
    "requirements-dev.txt",
}

#: A site's stack file.
_STACK_FILE = re.compile(r"^Pulumi\.([^.]+)\.yaml$")

#: A pinned package of the engine.
_PROVIDER = re.compile(r"^(pulumi\S*)==(\S+)", re.MULTILINE)

#: In any revision.
_REGISTRY = PurePosixPath("config/mesh")


@dataclass(frozen=True)
class Revision:
    """A checkout, read as text: what is wrong in it must not end a plan."""

    folder: Path

    @cached_property
    def sites(self) -> set[str]:
        """Those that have a stack file."""
        found = (_STACK_FILE.fullmatch(path.name) for path in self.folder.glob("Pulumi.*.yaml"))
        return {match[1] for match in found if match}

    @cached_property
    def registry(self) -> Mapping[str, Mapping[str, Any]]:
        """The registry's files by site; what cannot be read is empty."""
        return {path.stem: _read(path) for path in sorted((self.folder / _REGISTRY).glob("*.yaml"))}

    @property
    def hubs(self) -> set[str]:
        """Headquarters."""
        return {name for name, entry in self.registry.items() if entry.get("role") == "hub"}

    def owner(self, site: str) -> str | None:
        """The team that owns a site."""
        owner = self.registry.get(site, {}).get("owner")
        return owner if isinstance(owner, str) else None

    def backend(self, site: str) -> str | None:
        """Where a site's state is, if its registry file says so."""
        backend = self.registry.get(site, {}).get("backend")
        return backend if isinstance(backend, str) else None

    @property
    def codeowners(self) -> str:
        """Who approves a change of which file; empty where nobody is named."""
        path = self.folder / CODEOWNERS
        return path.read_text(errors="replace") if path.is_file() else ""

    @property
    def providers(self) -> Mapping[str, str]:
        """The versions of the engine's packages, by name."""
        path = self.folder / "requirements.txt"
        return dict(_PROVIDER.findall(path.read_text(errors="replace"))) if path.is_file() else {}

    @cached_property
    def project(self) -> Mapping[str, Any]:
        """What the engine reads before it runs the program: Pulumi.yaml."""
        return _read(self.folder / "Pulumi.yaml")

    @property
    def project_backend(self) -> str | None:
        """Where Pulumi.yaml says that all states are, if it does."""
        backend = self.project.get("backend")
        url = backend.get("url") if isinstance(backend, dict) else None
        return url if isinstance(url, str) else None

    def encrypted_seed(self, site: str) -> dict[str, Any]:
        """The seed as its stack file has it, and the lines outside `config`, which say by what it is encrypted."""
        content = self._stack_file(site)
        seed = (content.get("config") or {}).get(f"{PROJECT}:seed")
        return {"seed": seed} | {key: value for key, value in content.items() if key != "config"}

    def in_section(self, site: str, *keys: str) -> object:
        """A value of the site's section; None where it is not there."""
        found = self._stack_file(site).get("config")
        for key in (SECTION, *keys):
            found = found.get(key) if isinstance(found, dict) else None
        return found

    @cached_property
    def _stack_files(self) -> dict[str, Mapping[str, Any]]:
        """Those that were read already."""
        return {}

    def _stack_file(self, site: str) -> Mapping[str, Any]:
        if site not in self._stack_files:
            self._stack_files[site] = _read(self.folder / f"Pulumi.{site}.yaml")
        return self._stack_files[site]


def _read(path: Path) -> Mapping[str, Any]:
    try:
        content = yaml_text.read(path, path.name).content
    except ConfigError:
        return {}
    return content if isinstance(content, dict) else {}


def touched(paths: Iterable[str], before: Revision, after: Revision) -> set[str]:
    """The sites for which an update would read something new, if these files change.

    Its own stack file touches a site; its registry file touches headquarters too, whose own touches all. Whatever else
    a site may be made of touches all.
    """
    everything = before.sites | after.sites
    hubs = before.hubs | after.hubs
    found: set[str] = set()
    for path in map(PurePosixPath, paths):
        if path.parent == _REGISTRY and path.suffix == ".yaml":
            found |= everything if path.stem in hubs else {path.stem} | hubs
        elif path.match("Pulumi.*.yaml") and len(path.parts) == 1:
            # With another dot in its name it is no stack's file, and nothing reads it.
            found |= set(_STACK_FILE.findall(path.name))
        elif not (path.parts[0] in _INERT_FOLDERS or path.name in _INERT_FILES or path.suffix == ".md"):
            return everything
    return found & everything


def judged_anew(paths: Iterable[str], after: Revision) -> set[str]:
    """The sites that other rules judge, if these files change: all, though an update would read nothing new."""
    return after.sites if any(_is_rule(PurePosixPath(path)) for path in paths) else set()


def _is_rule(path: PurePosixPath) -> bool:
    return path.parts[0] == "policy" and path.suffix != ".md"


def refusable(before: Revision, after: Revision) -> set[str]:
    """The sites that a change may refuse: all where networks change, against which each checks its own."""
    names = before.registry.keys() | after.registry.keys()
    differ = any(_networks(before, name) != _networks(after, name) for name in names)
    return before.sites | after.sites if differ else set()


def _networks(revision: Revision, site: str) -> object:
    return revision.registry.get(site, {}).get("networks")


def _within(member: tarfile.TarInfo, folder: str) -> tarfile.TarInfo | None:
    """What may be extracted; without a link that leads out of the commit, of which no site is made."""
    try:
        return tarfile.data_filter(member, folder)
    except (tarfile.AbsoluteLinkError, tarfile.LinkOutsideDestinationError):
        return None


@dataclass(frozen=True)
class Repository:
    """A git repository."""

    folder: Path

    def common(self, base: str) -> str:
        """The commit from which the checkout and `base` went apart: what others merged since is no part of a change."""
        fetch = "in a shallow clone: git fetch --unshallow origin"
        words = ("rev-parse", "--verify", "--quiet", "--end-of-options", f"{base}^{{commit}}")
        commit = self._git(*words, silent=f"there is no commit {base}; {fetch}").decode().strip()
        silent = f"{base} and HEAD have no common ancestor; {fetch}"
        return self._git("merge-base", commit, "HEAD", silent=silent).decode().strip()

    def changed(self, commit: str) -> list[str]:
        """The files in which the working tree is not as in the commit, those that git does not know yet among them."""
        known = self._git("diff", "--name-only", "--no-renames", "-z", commit, "--")
        new = self._git("ls-files", "--others", "--exclude-standard", "-z")
        return sorted({path for path in (known + new).decode().split("\0") if path})

    def text(self, revision: str, path: str) -> str:
        """A file as a revision has it; empty where there is none."""
        there = self._git("ls-tree", "--name-only", revision, "--", path)
        return self._git("show", f"{revision}:{path}").decode() if there else ""

    def extract(self, commit: str, folder: Path) -> Revision:
        """Put a commit's files into a folder."""
        with tarfile.open(fileobj=io.BytesIO(self._git("archive", "--format=tar", commit))) as tar:
            tar.extractall(folder, filter=_within)  # noqa: S202  by the filter "data"
        return Revision(folder)

    def _git(self, *words: str, silent: str = "") -> bytes:
        """What git prints; `silent` is what it means where it fails without a word."""
        done = subprocess.run(["git", *words], cwd=self.folder, capture_output=True, check=False)
        if done.returncode != 0:
            raise EdgeError(f"git {words[0]}: {done.stderr.decode().strip() or silent}")
        return done.stdout
