"""Images in the layout of the OCI image specification, 1.0; the same content gives the same digests."""

import hashlib
import io
import json
import shutil
import tarfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

LAYER = "application/vnd.oci.image.layer.v1.tar"
CONFIG = "application/vnd.oci.image.config.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"

PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def normalise(source: Path, layer: Path, *, keep: Callable[[str], bool], links: Mapping[str, str]) -> None:
    """Write a layer of what `keep` wants of a tarball, without times, and of symbolic links (path to target)."""
    with tarfile.open(source) as given, tarfile.open(layer, "w", format=tarfile.GNU_FORMAT) as written:
        for entry in given:
            entry.name = entry.name.removeprefix("./")
            if keep(entry.name):
                entry.mtime = 0
                entry.linkname = entry.linkname.removeprefix("./") if entry.islnk() else entry.linkname
                written.addfile(entry, given.extractfile(entry) if entry.isreg() else None)
        for path, target in sorted(links.items()):
            link = tarfile.TarInfo(path)
            link.type, link.linkname, link.mode = tarfile.SYMTYPE, target, 0o777
            written.addfile(link)


def executable_layer(executable: Path, path: str, layer: Path) -> None:
    """Write a layer of one executable at `path`."""
    content = executable.read_bytes()
    entry = tarfile.TarInfo(path)
    entry.size, entry.mode = len(content), 0o755
    with tarfile.open(layer, "w", format=tarfile.GNU_FORMAT) as written:
        written.addfile(entry, io.BytesIO(content))


def folder_layer(folder: Path, path: str, layer: Path) -> None:
    """Write a layer of a folder's files at `path`, without times and compiled Python."""

    def normalised(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
        entry.uid = entry.gid = entry.mtime = 0
        entry.uname = entry.gname = "root"
        entry.mode = 0o755 if entry.isdir() or entry.mode & 0o100 else 0o644
        return None if "__pycache__" in entry.name else entry

    with tarfile.open(layer, "w", format=tarfile.GNU_FORMAT) as written:
        for file in sorted(folder.rglob("*")):
            written.add(file, f"{path}/{file.relative_to(folder)}", recursive=False, filter=normalised)


def write_layout(folder: Path, layers: Sequence[Path], command: Sequence[str]) -> None:
    """Write an image of these layers, lowest first, to a new folder.

    The layers stay uncompressed: an emulated guest unpacks more slowly than it downloads.
    """
    (folder / "blobs" / "sha256").mkdir(parents=True)
    layer_blobs = [_add_file(folder, layer) for layer in layers]
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Cmd": list(command), "Env": [PATH]},
        "rootfs": {"type": "layers", "diff_ids": [blob["digest"] for blob in layer_blobs]},
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": _add_json(folder, config, CONFIG),
        "layers": layer_blobs,
    }
    index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [_add_json(folder, manifest, MANIFEST)]}
    (folder / "index.json").write_text(json.dumps(index))
    (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')


def manifest_digest(folder: Path) -> str:
    """Return the digest, `sha256:…`, of the image in a layout."""
    digest: str = json.loads((folder / "index.json").read_text())["manifests"][0]["digest"]
    return digest


def _add_json(folder: Path, document: Mapping[str, Any], media_type: str) -> dict[str, Any]:
    content = json.dumps(document, sort_keys=True).encode()
    digest = hashlib.sha256(content).hexdigest()
    (folder / "blobs" / "sha256" / digest).write_bytes(content)
    return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(content)}


def _add_file(folder: Path, layer: Path) -> dict[str, Any]:
    with layer.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    shutil.copyfile(layer, folder / "blobs" / "sha256" / digest)
    return {"mediaType": LAYER, "digest": f"sha256:{digest}", "size": layer.stat().st_size}
