"""What a service is told, as it was rendered."""

from dataclasses import replace
from pathlib import Path

import pytest

from services._settings import Broker, read, render
from services.alarms.settings import Settings
from tests.services.alarms.test_engine import settings


def test_what_was_rendered_is_read(tmp_path: Path) -> None:
    (tmp_path / "settings.json").write_text(render(settings(high=9.0)))
    assert read(tmp_path / "settings.json", Settings) == settings(high=9.0)


def test_what_has_another_shape_is_refused_without_its_value(tmp_path: Path) -> None:
    secret = replace(settings(), broker=Broker(host="h", port=1, user="u", password="secret"))
    (tmp_path / "settings.json").write_text(render(secret).replace('"port": 1', '"port": "secret"'))
    with pytest.raises(ValueError, match=r"broker\.port") as error:
        read(tmp_path / "settings.json", Settings)
    assert "secret" not in str(error.value)
    assert "secret" not in repr(secret)
