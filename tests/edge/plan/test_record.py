"""What a revision's program is given, and what becomes of one that does not run; processes of their own."""

from pathlib import Path

import pytest

from edge.plan.record import record

#: As little as a revision has to have.
LOADER = """
import contextlib

PROJECT = "fjord-edge"

@contextlib.contextmanager
def placeholder(seed):
    yield
"""
DERIVE = """
class Seed:
    @classmethod
    def parse(cls, text):
        return text
"""

#: Tells what it was given.
PROGRAM = """
import pulumi

raise pulumi.RunError("given: " + str(pulumi.Config("fjord-edge").get("site")))
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "loader.py").write_text(LOADER)
    (tmp_path / "config" / "derive.py").write_text(DERIVE)
    (tmp_path / "__main__.py").write_text(PROGRAM)
    return tmp_path


def refused(checkout: Path, **stack_files: bytes) -> dict[str, str]:
    for site, content in stack_files.items():
        (checkout / f"Pulumi.{site}.yaml").write_bytes(content)
    [found] = record([(checkout, [*stack_files])])
    return {site: each.refused for site, each in found.items()}


def section(text: bytes) -> bytes:
    return b"config:\n  fjord-edge:site: " + text


def test_a_program_is_given_what_the_engine_would_hand_over(checkout: Path) -> None:
    assert refused(
        checkout,
        oslo=section(b"{plainMqtt: yes, start: 13:00, mode: 010, share: 1.0}"),
        bergen=section(b"yes"),
        hq=section(b"1.50"),
        tromso=section(b""),
    ) == {
        "oslo": 'given: {"plainMqtt": "yes", "start": "13:00", "mode": 8, "share": 1}',
        "bergen": "given: yes",
        "hq": "given: 1.5",
        "tromso": "given: ",
    }


def test_a_stack_file_that_the_engine_does_not_take_is_refused_and_no_other(checkout: Path) -> None:
    missing = "expected a section `config`; see edge/templates/site.yaml"
    found = refused(
        checkout,
        oslo=section(b"{a: 1}"),
        twice=section(b"{a: 1, a: 2}"),
        date=section(b"{notAfter: 2028-03-30}"),
        latin=section(b"{a: sm\xf8r}"),
        empty=b"",
        bare=b"config:\n",
        list=b"- config\n",
        salt=b"encryptionsalt: v1:abc\n",
        broken=b"config: [\n",
    )
    assert found.pop("broken").startswith("Pulumi.broken.yaml: not YAML: ")
    assert found == {
        "oslo": 'given: {"a": 1}',
        "twice": "Pulumi.twice.yaml:2: config.fjord-edge:site.a: already in line 2; remove one of the two",
        "date": "Pulumi.date.yaml:2: config.fjord-edge:site.notAfter = 2028-03-30: a bare date is no text; "
        'write it in quotes: "2028-03-30"',
        "latin": "Pulumi.latin.yaml:2: not UTF-8: the byte 0xf8; save the file as UTF-8",
        "empty": f"Pulumi.empty.yaml: {missing}",
        "bare": f"Pulumi.bare.yaml: {missing}",
        "list": f"Pulumi.list.yaml: {missing}",
        "salt": f"Pulumi.salt.yaml: {missing}",
    }


def test_a_program_that_cannot_be_imported_is_refused_for_each_site(checkout: Path) -> None:
    (checkout / "config" / "loader.py").write_text("PROJECT = (\n")
    found = refused(checkout, oslo=section(b"1"), bergen=section(b"1"))
    assert set(found) == {"oslo", "bergen"}
    assert all(
        why.startswith("the program fails: SyntaxError: '(' was never closed (loader.py") for why in found.values()
    )


def test_a_program_that_ends_itself_is_refused(checkout: Path) -> None:
    (checkout / "__main__.py").write_text("import sys\n\nsys.exit(3)\n")
    assert refused(checkout, oslo=section(b"1")) == {"oslo": "the program ends itself: sys.exit(3)"}
