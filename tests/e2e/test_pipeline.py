"""What harm under load costs, natively: of ours nothing, of the seed's something."""

from pathlib import Path

import pytest

from lab.pipeline.loss import DRILLS, RATE, lose


@pytest.mark.parametrize("drill", DRILLS)
def test_nothing_that_was_acknowledged_is_missing(drill: str, tmp_path: Path) -> None:
    found = lose("ours", drill, tmp_path)
    assert found.in_flight > 0
    assert found.missing == found.excused, found
    assert found.acknowledged > 3 * RATE


def test_the_drill_sees_the_seed_lose(tmp_path: Path) -> None:
    assert lose("seed", "telegraf killed", tmp_path).missing > 0
