"""An alarm as its message tells it."""

import pytest

from services.alarms.alarm import Alarm


def test_an_alarm_is_the_same_after_its_message() -> None:
    alarm = Alarm(rule="low", sensor="o2", limit=6.0, value=5.5, since=1, raised=2, before=((1, 5.5),))
    assert Alarm.parse(alarm.payload()) == alarm


@pytest.mark.parametrize(
    "payload", [b"", b"garbage", b"[]", b"7", b'{"rule": "low"}', b'{"rule": 1, "since": 1, "raised": 2}']
)
def test_what_is_no_alarm_is_refused(payload: bytes) -> None:
    with pytest.raises(ValueError, match=r"no alarm|Expecting"):
        Alarm.parse(payload)
