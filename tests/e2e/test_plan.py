"""What a plan says of an edit, beside what the engine's preview says of the same edit at the site that is deployed."""

import json
import shutil
from pathlib import Path
from typing import Any

from edge.plan import plan_sites
from edge.plan.revisions import Revision
from edge.plan.verdict import SitePlan, Verdict
from lab.bench import copy_program
from lab.hypervisor.namespaces import first_process
from lab.stacks import Stack

PREVIEW = "bin/edge preview oslo"


def told(
    oslo: Stack, folder: Path, *keys: str, value: object, preview_by: str = PREVIEW
) -> tuple[SitePlan, dict[str, Any]]:
    """The plan of an edit, and the engine's preview of it; nothing is deployed."""
    before, after = folder / "before", folder / "after"
    for revision in (before, after):
        copy_program(revision)
    shutil.copy(oslo.config_file, before / "Pulumi.oslo.yaml")
    with oslo.edited(*keys, value=value):
        shutil.copy(oslo.config_file, after / "Pulumi.oslo.yaml")
        done = oslo.shell(f"{preview_by} --config-file {oslo.config_file}")
    assert done.returncode == 0, done.stderr
    [plan] = plan_sites(["oslo"], Revision(before), Revision(after))
    preview: dict[str, Any] = json.loads(done.stdout)
    assert preview["answers"] == (preview_by == PREVIEW), done.stderr
    return plan, preview


def test_plan_and_preview_name_the_same_containers_that_restart(oslo: Stack, tmp_path: Path) -> None:
    other = oslo.site.iot.images.influxdb  # type: ignore[union-attr]
    plan, preview = told(oslo, tmp_path, "iot", "images", "telegraf", value=other)
    assert plan.verdicts[0] is Verdict.RESTART
    assert [plan.verdicts[0], plan.what[0]] == [preview["verdicts"][0], preview["what"][0]]


def test_plan_and_preview_say_that_a_node_is_replaced_and_its_data_kept(oslo: Stack, tmp_path: Path) -> None:
    plan, preview = told(oslo, tmp_path, "node", "memoryMib", value=oslo.site.node.memory_mib + 512)
    assert plan.verdicts == preview["verdicts"] == [Verdict.REPLACED]


def test_a_site_that_is_cut_off_is_previewed_by_its_state_alone(oslo: Stack, tmp_path: Path) -> None:
    """The local libvirt is the hypervisor's daemon with its test driver; the machine of the preview has no network."""
    libvirt = f"test:///default?socket=/proc/{first_process()}/root/run/libvirt/libvirt-sock"
    cut_off = f"unshare --net sh -c 'ip link set lo up; exec {PREVIEW} --libvirt {libvirt} $*' sh"
    plan, preview = told(oslo, tmp_path, "node", "memoryMib", value=oslo.site.node.memory_mib + 512, preview_by=cut_off)
    assert preview["lastContact"]
    assert plan.verdicts == preview["verdicts"] == [Verdict.REPLACED]
    assert plan.what == preview["what"]
    assert set(oslo.preview()) == {"same"}
