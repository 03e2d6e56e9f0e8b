"""What the kill of one program costs, natively: of ours nothing, of the seed's something."""

from pathlib import Path

import pytest

from lab.pipeline.loss import PROGRAMS, lose


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_kill_loses_nothing_that_was_acknowledged(program: str, tmp_path: Path) -> None:
    found = lose("ours", program, tmp_path)
    assert found.in_flight > 0
    assert (found.missing, found.stored) == (0, found.acknowledged)


def test_the_drill_sees_the_seed_lose(tmp_path: Path) -> None:
    assert lose("seed", "telegraf", tmp_path).missing > 0
