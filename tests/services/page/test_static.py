"""The page's own files: complete in both languages, and asking nobody else."""

import hashlib
import json
import re
from pathlib import Path

import pytest

from lab.paths import CHECKOUT
from services.page.web import STATIC
from services.uplink.allowed import RULES

APP = (STATIC / "app.js").read_text()
TEXTS = {path.stem: json.loads(path.read_text()) for path in (STATIC / "texts").glob("*.json")}
FILES = [path for path in STATIC.rglob("*") if path.is_file()]


def test_both_languages_say_the_same() -> None:
    assert set(TEXTS) == {"en", "nb"}
    assert list(TEXTS["en"]) == list(TEXTS["nb"])
    assert all(text.strip() for texts in TEXTS.values() for text in texts.values())


def test_both_languages_fill_in_the_same_words() -> None:
    words = {key: set(re.findall(r"\{(\w+)\}", text)) for key, text in TEXTS["en"].items()}
    assert words == {key: set(re.findall(r"\{(\w+)\}", text)) for key, text in TEXTS["nb"].items()}


def test_every_text_that_is_asked_for_is_there_and_every_other_is_gone() -> None:
    whole = set(re.findall(r'"([a-z]+(?:\.[a-z0-9]+)*)"', APP))
    begun = tuple(re.findall(r"`([a-z.]+\.)\$\{", APP))
    assert set(re.findall(r'\bt\("([^"]+)"', APP)) <= set(TEXTS["en"])
    assert [key for key in TEXTS["en"] if key not in whole and not key.startswith(begun)] == []


def test_every_rule_by_which_an_alarm_is_raised_has_its_words() -> None:
    for begin in ("rule.", "short."):
        assert {key.removeprefix(begin) for key in TEXTS["en"] if key.startswith(begin)} == RULES


def test_every_reason_why_a_message_is_no_reading_has_its_words() -> None:
    program = (CHECKOUT / "components/iot_stack/readings.star").read_text()
    reasons = set(re.findall(r'return "([^"]+)"', program))
    assert len(reasons) == 7
    assert {key.removeprefix("reason.") for key in TEXTS["en"] if key.startswith("reason.")} == reasons


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_no_file_names_another_server(path: Path) -> None:
    text = path.read_text()
    known = {"https://github.com/leeoniya/uPlot", "http://www.w3.org/2000/svg"}
    assert set(re.findall(r"https?://[\w./-]+", text)) <= known
    assert not re.search(r"""(src|href)=["']//""", text)


def test_the_charting_library_is_as_it_was_published() -> None:
    lines = re.findall(r"^([0-9a-f]{64})  (\S+)$", (STATIC / "vendor/README.md").read_text(), re.MULTILINE)
    assert {name for _, name in lines} == {"uPlot.iife.min.js", "uPlot.min.css", "LICENSE"}
    for digest, name in lines:
        assert hashlib.sha256((STATIC / "vendor" / name).read_bytes()).hexdigest() == digest


def test_nothing_in_the_page_is_inline_or_written_as_markup() -> None:
    index = (STATIC / "index.html").read_text()
    assert not re.search(r"\son\w+=|style=|<script>|<style", index)
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(", APP)
