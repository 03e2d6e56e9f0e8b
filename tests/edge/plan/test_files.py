"""What a plan says of a site's files alone."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from config.loader import PUBLISHED_SALTS
from edge.plan.files import by_files
from edge.plan.revisions import Revision
from edge.plan.verdict import Verdict
from edge.site import SECTION
from tests.edge.salts import EMPTY, OF_A_TEAM

SITE: dict[str, Any] = {"node": {"dataDiskGib": 16}, "iot": {"storage": {"retentionDays": 300}}}
BACKEND = "s3://vest?region=eu-north-1"


def revision(
    folder: Path, site: dict[str, Any] | None, *, backend: str | None = None, seed: str = "v1:a:b", **lines: str
) -> Revision:
    """One with this site, or none."""
    (folder / "config" / "mesh").mkdir(parents=True)
    if site is not None:
        content = {"config": {SECTION: site, "fjord-edge:seed": {"secure": seed}}, **lines}
        (folder / "Pulumi.oslo.yaml").write_text(yaml.safe_dump(content))
        entry = {"role": "site"} | ({"backend": backend} if backend else {})
        (folder / "config" / "mesh" / "oslo.yaml").write_text(yaml.safe_dump(entry))
    return Revision(folder)


def told(
    folder: Path, before: dict[str, Any] | None, after: dict[str, Any], then: Any = None, now: Any = None
) -> dict[Verdict, str]:
    """What is told of two sections, with further arguments of their revisions."""
    revisions = (revision(folder / "a", before, **(then or {})), revision(folder / "b", after, **(now or {})))
    return dict(by_files("oslo", *revisions))


def test_nothing_is_told_of_files_that_stay(tmp_path: Path) -> None:
    assert told(tmp_path, SITE, SITE, {"backend": BACKEND}, {"backend": BACKEND}) == {}


def test_readings_that_are_kept_for_a_shorter_time_are_lost(tmp_path: Path) -> None:
    found = told(tmp_path, SITE, SITE | {"iot": {"storage": {"retentionDays": 200}}})
    assert found == {
        Verdict.DATA_LOST: "iot.storage.retentionDays 300 → 200: the update deletes what is older than 200 days"
    }


def test_what_is_not_written_is_the_default(tmp_path: Path) -> None:
    assert "400 → 300" in told(tmp_path, {"node": {}}, SITE)[Verdict.DATA_LOST]


def test_readings_that_are_kept_longer_are_no_loss(tmp_path: Path) -> None:
    assert told(tmp_path, SITE, SITE | {"iot": {"storage": {"retentionDays": 301}}}) == {}


def test_a_smaller_data_disk_is_refused_and_a_bigger_one_is_not(tmp_path: Path) -> None:
    found = told(tmp_path / "smaller", SITE, SITE | {"node": {"dataDiskGib": 8}})
    assert found == {Verdict.REFUSED: "node.dataDiskGib 16 → 8: a data disk never shrinks; write 16 or more"}
    assert told(tmp_path / "bigger", SITE, SITE | {"node": {"dataDiskGib": 32}}) == {}


def test_a_state_that_lies_elsewhere_is_told(tmp_path: Path) -> None:
    found = told(tmp_path, SITE, SITE, {}, {"backend": BACKEND})
    assert found.keys() == {Verdict.UNKNOWN}
    assert found[Verdict.UNKNOWN].startswith(f"backend of the shell → {BACKEND}: ")


@pytest.mark.parametrize("before", [None, SITE], ids=["new", "moved"])
@pytest.mark.parametrize(
    ("backend", "place"),
    [
        ("s3://vest?region=us-east-1", "us-east-1"),
        ("s3://vest?region=eu-north-1&endpoint=minio.example.com:9000", "minio.example.com"),
        ("s3://vest", "vest"),
        ("gs://vest", "vest"),
        ("https://api.example.com/vest", "api.example.com"),
    ],
)
def test_a_state_beyond_the_allowed_places_is_refused(
    tmp_path: Path, before: dict[str, Any] | None, backend: str, place: str
) -> None:
    line = {"encryptionsalt": OF_A_TEAM}
    found = told(tmp_path, before, SITE, line, {"backend": backend} | line)
    why = f"config/mesh/oslo.yaml: backend: {place} is not among the backends of policy/places.json; "
    assert found[Verdict.REFUSED] == f"{why}use another, or add it there"


def test_a_state_on_the_same_machine_is_nowhere_else(tmp_path: Path) -> None:
    assert Verdict.REFUSED not in told(tmp_path, SITE, SITE, {}, {"backend": "file:///srv/states"})


def test_a_new_site_by_a_passphrase_of_its_own_has_nothing_to_tell(tmp_path: Path) -> None:
    assert told(tmp_path, None, SITE, {}, {"encryptionsalt": OF_A_TEAM}) == {}


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        ({}, "missing: nobody can say what encrypts the seed"),
        ({"encryptionsalt": EMPTY}, "the passphrase is empty"),
        (
            {"encryptionsalt": f"v1:{next(iter(PUBLISHED_SALTS))}:v1:a:b"},
            "the passphrase is the published one of the example hq",
        ),
    ],
    ids=["none", "empty", "published"],
)
def test_a_seed_that_anyone_could_decrypt_is_refused(tmp_path: Path, lines: dict[str, str], why: str) -> None:
    found = told(tmp_path, SITE, SITE, {"seed": "v1:c:d"}, lines)
    assert found[Verdict.REFUSED].startswith(f"Pulumi.oslo.yaml: encryptionsalt: {why}")
    assert Verdict.KEYS in found


def test_another_secrets_provider_than_a_passphrase_needs_no_salt(tmp_path: Path) -> None:
    found = told(tmp_path, SITE, SITE, {"seed": "v1:c:d"}, {"secretsprovider": "awskms://alias/vest"})
    assert found.keys() == {Verdict.KEYS}


def test_an_example_of_the_lab_may_keep_its_passphrase(tmp_path: Path) -> None:
    lines = {"encryptionsalt": f"v1:{next(iter(PUBLISHED_SALTS))}:v1:a:b"}
    assert told(tmp_path, None, SITE | {"allowPublishedSeed": True}, {}, lines) == {}
