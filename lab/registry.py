"""The services' images in the lab's registry."""

import json
import shutil
from pathlib import Path

from config.versions import IMAGES
from lab.hypervisor.root import ROOT
from lab.hypervisor.service import REGISTRY
from lab.services.images import images
from lab.services.oci import manifest_digest

STORAGE = ROOT / "var/lib/docker-registry/docker/registry/v2"


def publish() -> dict[str, str]:
    """Make the services' images known to the registry, building them when they are not in the cache.

    Written where the registry reads (storage layout v2 of CNCF distribution), so that it may run or not.

    Returns:
        For each of mosquitto, influxdb and telegraf the reference by digest, `host:port/name@sha256:…`.
    """
    return {name: f"{REGISTRY}/{name}@{_store(name, layout)}" for name, layout in images().items()}


def _store(name: str, layout: Path) -> str:
    for blob in (layout / "blobs" / "sha256").iterdir():
        _write(STORAGE / "blobs" / "sha256" / blob.name[:2] / blob.name / "data", blob)
    manifest = manifest_digest(layout)
    content = json.loads((layout / "blobs" / manifest.replace(":", "/")).read_text())
    repository = STORAGE / "repositories" / name
    for part in (content["config"], *content["layers"]):
        _link(repository / "_layers", part["digest"])
    _link(repository / "_manifests" / "revisions", manifest)
    tag = repository / "_manifests" / "tags" / IMAGES[name].rpartition(":")[2]
    _link(tag / "index", manifest)
    (tag / "current").mkdir(exist_ok=True)
    (tag / "current" / "link").write_text(manifest)
    return manifest


def _link(folder: Path, digest: str) -> None:
    link = folder / digest.replace(":", "/") / "link"
    link.parent.mkdir(parents=True, exist_ok=True)
    link.write_text(digest)


def _write(target: Path, source: Path) -> None:
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name("partial")
        shutil.copyfile(source, partial)
        partial.rename(target)
