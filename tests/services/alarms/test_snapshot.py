"""What the alarms remember over a restart."""

from pathlib import Path

import pytest

from services.alarms import snapshot
from services.alarms.alarm import Alarm

STATE = {"engine": {"since": {}, "newest": []}, "outbox": [{"event": "raised"}]}


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    assert snapshot.load(tmp_path) == snapshot.EMPTY
    snapshot.save(tmp_path, STATE)
    assert snapshot.load(tmp_path) == STATE
    assert [path.name for path in tmp_path.iterdir()] == [snapshot.NAME]


@pytest.mark.parametrize("broken", ["", "{", "[]", "{}", '{"engine": {}}'])
def test_a_broken_one_is_set_aside_and_told(tmp_path: Path, broken: str, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / snapshot.NAME).write_text(broken)
    assert snapshot.load(tmp_path) == snapshot.EMPTY
    assert (tmp_path / "state.broken").read_text() == broken
    assert "silent sensors are counted anew" in capsys.readouterr().err


def test_an_alarm_is_the_same_after_its_message() -> None:
    alarm = Alarm(rule="low", sensor="o2", limit=6.0, value=5.5, since=1, raised=2, before=((1, 5.5),))
    assert Alarm.parse(alarm.payload()) == alarm


@pytest.mark.parametrize(
    "payload", [b"", b"garbage", b"[]", b"7", b'{"rule": "low"}', b'{"rule": 1, "since": 1, "raised": 2}']
)
def test_what_is_no_alarm_is_refused(payload: bytes) -> None:
    with pytest.raises(ValueError, match=r"no alarm|Expecting"):
        Alarm.parse(payload)
