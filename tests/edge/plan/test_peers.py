"""The mesh as a change draws it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from edge.plan.peers import diagram
from edge.plan.revisions import Revision

HQ = {"role": "hub", "address": "10.100.0.1", "tunnelKey": "a"}
OSLO = {"role": "site", "address": "10.100.0.2", "tunnelKey": "b", "owner": "@fjord-edge/oslo"}


def revision(folder: Path, entries: Mapping[str, Any]) -> Revision:
    mesh = folder / "config" / "mesh"
    mesh.mkdir(parents=True)
    for name, entry in entries.items():
        (mesh / f"{name}.yaml").write_text(yaml.safe_dump(entry))
    return Revision(folder)


def drawn(folder: Path, before: Mapping[str, Any], after: Mapping[str, Any]) -> str | None:
    return diagram(revision(folder / "before", before), revision(folder / "after", after))


def test_peers_that_stay_draw_nothing(tmp_path: Path) -> None:
    same = {"hq": HQ, "oslo": OSLO}
    assert drawn(tmp_path, same, {"hq": HQ, "oslo": {**OSLO, "owner": "@fjord-edge/other"}}) is None


def test_a_new_peer_a_lost_one_and_an_edited_one_are_told_apart(tmp_path: Path) -> None:
    before = {"hq": HQ, "oslo": OSLO, "tromso": OSLO, "bodo": OSLO}
    after = {"hq": HQ, "oslo": {**OSLO, "tunnelKey": "c"}, "bergen": OSLO, "bodo": OSLO}
    text = drawn(tmp_path, before, after)
    assert text is not None
    lines = text.splitlines()
    assert '    bergen -- "new" --- hq' in lines
    assert '    tromso -. "gone" .- hq' in lines
    assert '    oslo -- "other tunnelKey" --- hq' in lines
    assert "bodo" not in text


def test_headquarters_own_change_stands_in_its_box(tmp_path: Path) -> None:
    text = drawn(tmp_path, {"hq": HQ}, {"hq": {**HQ, "endpoint": "hq.example.com:51820"}})
    assert text is not None
    assert '"hq<br/>10.100.0.1<br/>other endpoint"' in text


def test_what_a_file_says_is_no_markup(tmp_path: Path) -> None:
    text = drawn(tmp_path, {"hq": HQ}, {"hq": HQ, "oslo": {**OSLO, "address": '10.100.0.2"]\nclick oslo "x'}})
    assert text is not None
    assert 'oslo["oslo<br/>10.100.0.2clickoslox"]' in text


def test_many_peers_are_counted(tmp_path: Path) -> None:
    text = drawn(tmp_path, {"hq": HQ}, {"hq": HQ, **{f"site-{number}": OSLO for number in range(30)}})
    assert text is not None
    assert text.count('"new"') == 20
    assert '"10 peers more"' in text
