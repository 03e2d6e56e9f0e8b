from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.services.uplink.world import World, serving


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with serving() as site, serving() as hq:
        yield World(site, hq, tmp_path)
