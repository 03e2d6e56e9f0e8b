import hashlib
import io
import json
import tarfile
from pathlib import Path

import pytest

from config.versions import IMAGES
from lab import registry
from lab.services import oci


def _tarball(path: Path, *, mtime: int) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, content in (("./usr/bin/tool", b"tool"), ("./usr/share/doc/tool", b"unread")):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mtime = len(content), mtime
            archive.addfile(entry, io.BytesIO(content))
        link = tarfile.TarInfo("./usr/bin/same")
        link.type, link.linkname = tarfile.LNKTYPE, "./usr/bin/tool"
        archive.addfile(link)
    return path


def _layer(folder: Path, *, mtime: int) -> Path:
    layer = folder / f"layer-{mtime}.tar"
    oci.normalise(
        _tarball(folder / "packages.tar", mtime=mtime),
        layer,
        keep=lambda path: not path.startswith("usr/share"),
        links={"usr/lib/plugin.so": "x86_64-linux-gnu/plugin.so"},
    )
    return layer


def _layout(folder: Path) -> Path:
    layout = folder / "layout"
    oci.write_layout(layout, [_layer(folder, mtime=1)], ["tool"])
    return layout


def test_a_layer_has_what_is_wanted_of_the_packages_and_the_links(tmp_path: Path) -> None:
    with tarfile.open(_layer(tmp_path, mtime=1)) as archive:
        assert archive.getnames() == ["usr/bin/tool", "usr/bin/same", "usr/lib/plugin.so"]
        assert archive.getmember("usr/lib/plugin.so").linkname == "x86_64-linux-gnu/plugin.so"
        same = archive.extractfile("usr/bin/same")
        assert same is not None
        assert same.read() == b"tool"


def test_the_same_content_gives_the_same_layer_whenever_it_was_installed(tmp_path: Path) -> None:
    assert _layer(tmp_path, mtime=1).read_bytes() == _layer(tmp_path, mtime=2).read_bytes()


def test_an_image_refers_to_its_parts_by_their_digests(tmp_path: Path) -> None:
    layout = _layout(tmp_path)
    blobs = {blob.name: blob.read_bytes() for blob in (layout / "blobs/sha256").iterdir()}
    assert all(hashlib.sha256(content).hexdigest() == name for name, content in blobs.items())
    manifest = json.loads(blobs[oci.manifest_digest(layout).removeprefix("sha256:")])
    config = json.loads(blobs[manifest["config"]["digest"].removeprefix("sha256:")])
    assert config["rootfs"]["diff_ids"] == [layer["digest"] for layer in manifest["layers"]]
    for part in (manifest["config"], *manifest["layers"]):
        assert len(blobs[part["digest"].removeprefix("sha256:")]) == part["size"]


def test_a_published_image_is_where_the_registry_looks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    layout = _layout(tmp_path)
    monkeypatch.setattr(registry, "STORAGE", tmp_path / "v2")
    monkeypatch.setattr(registry, "images", lambda: {"telegraf": layout})
    digest = oci.manifest_digest(layout)
    for _ in ("the first time", "again"):
        assert registry.publish() == {"telegraf": f"10.20.0.1:5000/telegraf@{digest}"}
    stored = {path.parent.name for path in (tmp_path / "v2/blobs").rglob("data")}
    assert stored == {blob.name for blob in (layout / "blobs/sha256").iterdir()}
    links = {path.relative_to(tmp_path / "v2/repositories/telegraf").parts[0]: path.read_text()
             for path in (tmp_path / "v2/repositories/telegraf").rglob("link")}  # fmt: skip
    assert links["_manifests"] == digest
    assert len(list((tmp_path / "v2/repositories/telegraf/_layers").rglob("link"))) == 2
    tags = tmp_path / "v2/repositories/telegraf/_manifests/tags"
    assert [tag.name for tag in tags.iterdir()] == [IMAGES["telegraf"].rpartition(":")[2]]
    assert next(tags.glob("*/current/link")).read_text() == digest


def test_a_tag_leads_to_the_image_that_was_published_last(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(registry, "STORAGE", tmp_path / "v2")
    current = tmp_path / "v2/repositories/telegraf/_manifests/tags/1.39/current/link"
    for command in ("before", "after"):
        layout = tmp_path / command
        oci.write_layout(layout, [_layer(tmp_path, mtime=1)], [command])
        monkeypatch.setattr(registry, "images", lambda layout=layout: {"telegraf": layout})
        registry.publish()
        assert current.read_text() == oci.manifest_digest(layout)
