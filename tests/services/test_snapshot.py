"""What a service remembers over a restart."""

from pathlib import Path

import pytest

from services import _snapshot

EMPTY: dict[str, object] = {"engine": {}, "outbox": []}
STATE = {"engine": {"since": {}, "newest": []}, "outbox": [{"event": "raised"}]}


def load(folder: Path) -> dict[str, object]:
    return _snapshot.load(folder, EMPTY, lost="all is counted anew")


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    assert load(tmp_path) == EMPTY
    _snapshot.save(tmp_path, STATE)
    assert load(tmp_path) == STATE
    assert [path.name for path in tmp_path.iterdir()] == [_snapshot.NAME]


@pytest.mark.parametrize("broken", ["", "{", "[]", "{}", '{"engine": {}}'])
def test_a_broken_one_is_set_aside_and_told(tmp_path: Path, broken: str, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / _snapshot.NAME).write_text(broken)
    assert load(tmp_path) == EMPTY
    assert (tmp_path / "state.broken").read_text() == broken
    assert "all is counted anew" in capsys.readouterr().err
