"""`python -m config.codeowners` writes `.github/CODEOWNERS`: who approves a change of which file, from the registry."""

from config.loader import CHECKOUT, REGISTRY
from config.registry import Registry, load_registry, shown

CODEOWNERS_FILE = CHECKOUT / ".github" / "CODEOWNERS"

_HEAD = "# Written by `make golden` from config/mesh: headquarters' owner has all files but those of a site's own.\n"


def codeowners_text(registry: Registry) -> str:
    """The file's content: of the lines that match a file, the last one counts."""
    rules = [("*", registry.hub)]
    for site in sorted(registry.entries):
        rules += [(f"/Pulumi.{site}.yaml", site), (f"/{shown(site)}", site)]
    width = max(len(files) for files, _ in rules)
    return _HEAD + "".join(f"{files:{width}} {' '.join(_approvers(registry, site))}\n" for files, site in rules)


def _approvers(registry: Registry, site: str) -> tuple[str, ...]:
    entry = registry.entries[site]
    return entry.approvers or (entry.owner,)


def write() -> None:
    """Write the file as the registry says now.

    Raises:
        ConfigError: the registry is not valid.
    """
    text = codeowners_text(load_registry(REGISTRY))
    CODEOWNERS_FILE.parent.mkdir(exist_ok=True)
    CODEOWNERS_FILE.write_text(text)


if __name__ == "__main__":
    write()
