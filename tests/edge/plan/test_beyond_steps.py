"""What a plan says of a site beyond the steps of its resources."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
import yaml

from config.loader import PUBLISHED_SALTS
from edge.plan.beyond_steps import beyond_steps
from edge.plan.revisions import Revision
from edge.plan.rules import CLOUD_INIT
from edge.plan.steps import steps
from edge.plan.verdict import Recorded, Verdict
from edge.site import SECTION
from tests.edge.plan.changes import Edit, committed, recorded, set_to
from tests.edge.salts import EMPTY, OF_A_TEAM
from tests.sites import section

SITE: dict[str, Any] = {"node": {"dataDiskGib": 16}}
KEYS = {"tunnelKey": "a", "identityKey": "b"}
BACKEND = "s3://vest?region=eu-north-1"


def revision(
    folder: Path,
    site: dict[str, Any] | None,
    *,
    project: Any = None,
    seed: str = "v1:a:b",
    entry: Mapping[str, str] = MappingProxyType({}),
    **lines: str,
) -> Revision:
    """One with this site, or none."""
    (folder / "config" / "mesh").mkdir(parents=True)
    if site is not None:
        content = {"config": {SECTION: site, "fjord-edge:seed": {"secure": seed}}, **lines}
        (folder / "Pulumi.oslo.yaml").write_text(yaml.safe_dump(content))
        (folder / "config" / "mesh" / "oslo.yaml").write_text(yaml.safe_dump({"role": "site", **KEYS, **entry}))
    (folder / "Pulumi.yaml").write_text(yaml.safe_dump({"name": "fjord-edge"} | (project or {})))
    return Revision(folder)


def told(
    folder: Path, before: dict[str, Any] | None, after: dict[str, Any], then: Any = None, now: Any = None
) -> dict[Verdict, str]:
    """What is told of two sections, with further arguments of their revisions."""
    revisions = (revision(folder / "a", before, **(then or {})), revision(folder / "b", after, **(now or {})))
    return dict(beyond_steps("oslo", *revisions))


def test_nothing_is_told_of_files_that_stay(tmp_path: Path) -> None:
    assert told(tmp_path, SITE, SITE, {"entry": {"backend": BACKEND}}, {"entry": {"backend": BACKEND}}) == {}


def test_a_smaller_data_disk_is_refused_and_a_bigger_one_is_not(tmp_path: Path) -> None:
    found = told(tmp_path / "smaller", SITE, SITE | {"node": {"dataDiskGib": 8}})
    assert found == {Verdict.REFUSED: "node.dataDiskGib 16 → 8: a data disk never shrinks; write 16 or more"}
    assert told(tmp_path / "bigger", SITE, SITE | {"node": {"dataDiskGib": 32}}) == {}


def test_a_state_that_lies_elsewhere_is_told(tmp_path: Path) -> None:
    found = told(tmp_path, SITE, SITE, {}, {"entry": {"backend": BACKEND}})
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
    found = told(tmp_path, before, SITE, line, {"entry": {"backend": backend}} | line)
    why = f"config/mesh/oslo.yaml: backend: {place} is not among the backends of policy/places.json; "
    assert found[Verdict.REFUSED] == f"{why}use another, or add it there"


def test_a_state_on_the_same_machine_is_nowhere_else(tmp_path: Path) -> None:
    assert Verdict.REFUSED not in told(tmp_path, SITE, SITE, {}, {"entry": {"backend": "file:///srv/states"}})


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


def test_a_key_that_another_epoch_does_not_explain_is_refused(tmp_path: Path) -> None:
    found = told(tmp_path, SITE, SITE, {}, {"entry": {"tunnelKey": "c"}})
    assert found == {
        Verdict.REFUSED: "config/mesh/oslo.yaml: tunnelKey: another one, and epochs.wireguard is not; "
        "the seed gives the one before"
    }


def test_another_epoch_without_its_key_is_refused(tmp_path: Path) -> None:
    found = told(tmp_path, SITE, SITE | {"epochs": {"identity": 2}})
    assert found == {
        Verdict.REFUSED: "config/mesh/oslo.yaml: identityKey: as before, and epochs.identity is 2; "
        "`edge key oslo --write` writes its key"
    }


def test_a_rotation_changes_epoch_and_key(tmp_path: Path) -> None:
    assert told(tmp_path, SITE, SITE | {"epochs": {"wireguard": 2}}, {}, {"entry": {"tunnelKey": "c"}}) == {}


def test_another_seed_gives_other_keys(tmp_path: Path) -> None:
    lines = {"encryptionsalt": OF_A_TEAM}
    assert told(tmp_path, SITE, SITE, lines, {"seed": "v1:c:d", "entry": {"tunnelKey": "c"}} | lines).keys() == {
        Verdict.KEYS
    }


@pytest.mark.parametrize("project", [{"name": "other"}, {"backend": {"url": BACKEND}}, {"main": "other"}])
def test_another_project_may_be_another_state(tmp_path: Path, project: dict[str, Any]) -> None:
    found = told(tmp_path, SITE, SITE, {}, {"project": project})
    [key] = project
    assert found.keys() == {Verdict.UNKNOWN}
    assert found[Verdict.UNKNOWN].startswith(f"Pulumi.yaml: {key}: ")


def test_what_a_project_is_called_beside_its_name_changes_nothing(tmp_path: Path) -> None:
    assert told(tmp_path, SITE, SITE, {}, {"project": {"description": "other"}}) == {}


def test_a_projects_backend_beyond_the_allowed_places_is_refused(tmp_path: Path) -> None:
    found = told(tmp_path, SITE, SITE, {}, {"project": {"backend": {"url": "s3://any?region=us-east-1"}}})
    assert found[Verdict.REFUSED].startswith("Pulumi.yaml: backend: us-east-1 is not among the backends of policy/")


def beyond(folder: Path, stack: str, edit: Edit, program: Edit = lambda _: None) -> dict[Verdict, str]:
    """What is told of an edit of a committed stack; its program may be another one too."""
    then = committed(stack)
    written = [section(stack), section(stack)]
    edit(written[1])
    now = recorded(stack, edit)
    program(now)
    before, after = (revision(folder / name, site) for name, site in zip("ab", written, strict=True))
    recordings = Recorded(resources=then), Recorded(resources=now)
    return dict(beyond_steps(stack, before, after, *recordings, steps(then, now)))


@pytest.mark.parametrize(
    ("keys", "value", "what"),
    [
        (
            ("iot", "storage"),
            {"retentionDays": 200},
            "days of `iot_data` in the database 400 → 200: what is older is deleted",
        ),
        (("backup", "keep"), {"daily": 3}, "daily backups 14 → 3: what is older is deleted"),
    ],
)
def test_what_is_kept_for_a_shorter_time_is_lost(tmp_path: Path, keys: tuple[str, ...], value: Any, what: str) -> None:
    assert beyond(tmp_path, "oslo", set_to(*keys, value=value)) == {Verdict.DATA_LOST: what}


def test_what_is_kept_for_a_longer_time_is_not(tmp_path: Path) -> None:
    assert beyond(tmp_path, "oslo", set_to("iot", "storage", value={"retentionDays": 500})) == {}


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        (("network", "address"), "10.20.0.99/24"),
        (("network", "lan"), {"bridge": "br2", "address": "192.168.7.1/24"}),
        (("user",), "fisher"),
    ],
)
def test_what_a_first_boot_reads_takes_another_generation(tmp_path: Path, keys: tuple[str, ...], value: Any) -> None:
    def edit(site: Any) -> None:
        set_to("node", *keys, value=value)(site)

    def with_generation(site: Any) -> None:
        edit(site)
        site["node"]["generation"] = 2

    found = beyond(tmp_path / "without", "oslo", edit)
    why = "read by a node's first boot alone; raise node.generation, which replaces the node"
    assert found == {Verdict.REFUSED: f"node.{keys[0]}: {why}"}
    assert beyond(tmp_path / "with", "oslo", with_generation) == {}


def test_what_a_node_is_connected_to_is_no_concern_of_its_first_boot(tmp_path: Path) -> None:
    assert beyond(tmp_path, "oslo", set_to("node", "network", "bridge", value="br1")) == {}


def test_a_first_boot_in_other_words_replaces_nothing(tmp_path: Path) -> None:
    def other_words(resources: Any) -> None:
        for number, each in enumerate(resources):
            if each.type == CLOUD_INIT:
                resources[number] = replace(each, inputs={**each.inputs, "networkConfig": "in other words"})

    assert beyond(tmp_path, "oslo", lambda _: None, other_words) == {}
