"""Who approves what is written from the registry."""

from pathlib import Path

from config.codeowners import CODEOWNERS_FILE, codeowners_text
from config.loader import REGISTRY
from config.registry import load_registry
from lab.paths import CHECKOUT
from tests.sites import EXAMPLES, edited, entries, write_registry


def owners(text: str, file: str) -> list[str]:
    """Of the lines that match a file, the last one counts; the patterns here are whole paths, or all files."""
    rules = [line.split() for line in text.splitlines() if not line.startswith("#")]
    return [names for pattern, *names in rules if pattern in ("*", f"/{file}")][-1]


def test_the_file_is_the_registrys() -> None:
    assert CODEOWNERS_FILE.read_text() == codeowners_text(load_registry(REGISTRY)), "run `make golden`"


def test_a_sites_files_are_its_owners_and_all_others_headquarters() -> None:
    text = CODEOWNERS_FILE.read_text()
    for file in ("Pulumi.tromso.yaml", "config/mesh/tromso.yaml"):
        assert owners(text, file) == ["@havbruk-nord"]
    for file in ("Pulumi.hq.yaml", "config/site.py", ".github/CODEOWNERS", "Pulumi.yaml"):
        assert owners(text, file) == ["@fjord-edge/platform"]


def test_approvers_take_the_owners_place(tmp_path: Path) -> None:
    write_registry(tmp_path, edited(entries(), "oslo", "approvers", value=["@havbruk/drift", "@kari"]))
    text = codeowners_text(load_registry(tmp_path))
    assert owners(text, "Pulumi.oslo.yaml") == owners(text, "config/mesh/oslo.yaml") == ["@havbruk/drift", "@kari"]


def test_every_path_in_it_is_a_file() -> None:
    paths = [line.split()[0] for line in CODEOWNERS_FILE.read_text().splitlines() if line.startswith("/")]
    assert len(paths) == 2 * len(EXAMPLES)
    assert [path for path in paths if not (CHECKOUT / path[1:]).is_file()] == []
