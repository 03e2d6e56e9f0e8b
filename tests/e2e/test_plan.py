"""What a plan says of an edit, beside what the engine's preview says of the same edit at the site that is deployed."""

import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from edge.plan import plan_sites
from edge.plan.revisions import Revision
from edge.plan.verdict import SitePlan, Verdict
from edge.site import SECTION
from lab.bench import copy_program
from lab.hypervisor.namespaces import first_process
from lab.stacks import Stack
from tests.edge.plan.changes import EDITS

PREVIEW = "bin/edge preview oslo"


def told(
    oslo: Stack, folder: Path, edit: str, preview_by: str = PREVIEW
) -> "tuple[SitePlan, subprocess.CompletedProcess[str]]":
    """The plan of an edit, and the engine's preview of it; nothing is deployed."""
    before, after = folder / "before", folder / "after"
    for revision in (before, after):
        copy_program(revision)
    shutil.copy(oslo.config_file, before / "Pulumi.oslo.yaml")
    content = yaml.safe_load(oslo.config_file.read_text())
    EDITS[edit][0](content["config"][SECTION])
    edited = after / "Pulumi.oslo.yaml"
    edited.write_text(yaml.safe_dump(content, sort_keys=False))
    [plan] = plan_sites(["oslo"], Revision(before), Revision(after))
    return plan, oslo.shell(f"{preview_by} --config-file {edited}")


def read(done: "subprocess.CompletedProcess[str]") -> dict[str, Any]:
    assert done.returncode == 0, done.stderr
    preview: dict[str, Any] = json.loads(done.stdout)
    return preview


def reasons(what: Sequence[str]) -> set[str]:
    return {each for line in what for each in line.removeprefix("because of ").split(", ")}


@pytest.mark.parametrize("edit", [name for name, (_, verdicts) in EDITS.items() if Verdict.DATA_LOST not in verdicts])
def test_plan_and_preview_say_the_same(oslo: Stack, tmp_path: Path, edit: str) -> None:
    plan, done = told(oslo, tmp_path, edit)
    preview = read(done)
    assert preview["answers"]
    assert plan.verdicts == preview["verdicts"] == EDITS[edit][1]
    if Verdict.REPLACED in plan.verdicts:
        assert set() < reasons(preview["what"]) <= reasons(plan.what), "the program's own reasons the engine leaves out"
    else:
        assert plan.what == preview["what"]


def test_what_the_plan_says_loses_data_is_refused_by_the_engine(oslo: Stack, tmp_path: Path) -> None:
    plan, done = told(oslo, tmp_path, "the pool's place")
    assert plan.verdicts[0] is Verdict.DATA_LOST
    assert done.returncode == 1
    assert "pulumi state unprotect" in done.stderr


def test_a_site_that_is_cut_off_is_previewed_by_its_state_alone(oslo: Stack, tmp_path: Path) -> None:
    """The local libvirt is the hypervisor's daemon with its test driver; the machine of the preview has no network."""
    libvirt = f"test:///default?socket=/proc/{first_process()}/root/run/libvirt/libvirt-sock"
    cut_off = f"unshare --net sh -c 'ip link set lo up; exec {PREVIEW} --libvirt {libvirt} $*' sh"
    plan, done = told(oslo, tmp_path, "memory", cut_off)
    preview = read(done)
    assert not preview["answers"]
    assert preview["lastContact"]
    assert plan.verdicts == preview["verdicts"] == [Verdict.REPLACED]
    assert plan.what == preview["what"]
