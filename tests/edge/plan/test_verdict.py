"""What a change of a committed stack is called."""

from dataclasses import replace
from functools import cache
from typing import Any

import pytest

from edge.plan.difference import difference
from edge.plan.rules import CONTAINER, LIBVIRT, VOLUME
from edge.plan.steps import Step, steps
from edge.plan.verdict import Recorded, SitePlan, Verdict, judge
from edge.recorder.recording import Registered
from tests.edge.plan.changes import EDITS, OTHER_DIGEST, committed, made, verdict


@cache
def plan_of(name: str) -> SitePlan:
    return verdict("oslo", EDITS[name][0])


@pytest.mark.parametrize("name", EDITS)
def test_an_edit_has_its_verdict(name: str) -> None:
    assert plan_of(name).verdicts == EDITS[name][1]


def test_containers_that_restart_are_named() -> None:
    assert plan_of("a service's image").what[0] == "oslo-telegraf, oslo-telegraf-mesh"


def test_why_a_node_is_replaced_is_told() -> None:
    assert plan_of("memory").what == ["because of disks, memory"]


def test_a_node_is_not_said_to_keep_data_that_is_lost() -> None:
    [what] = plan_of("the pool's place").what
    assert what.endswith("; the node is replaced")


def test_another_hypervisor_is_no_change_in_place_and_another_user_on_it_is() -> None:
    def provider(uri: str) -> Registered:
        return made(type=LIBVIRT, name="any-hypervisor", inputs={"uri": uri})

    here, renamed, elsewhere = (
        provider(f"qemu+ssh://{place}/system?knownhosts=any") for place in ("root@10.0.0.1", "edge@10.0.0.1", "root@b")
    )
    plan = judge("any", change_of(here, elsewhere), Recorded(), Recorded())
    assert plan.verdicts == [Verdict.UNKNOWN, Verdict.IN_PLACE]
    assert "any-hypervisor: another hypervisor, where neither node nor data is" in plan.what[0]
    assert judge("any", change_of(here, renamed), Recorded(), Recorded()).verdicts == [Verdict.IN_PLACE]


def test_what_other_versions_of_the_providers_do_is_not_said_to_be_nothing() -> None:
    plan = judge("any", [], Recorded(), Recorded(), beyond_steps={Verdict.UNKNOWN: "pulumi-docker 5.2.0 → 5.3.0"})
    assert (plan.verdicts, plan.what) == ([Verdict.UNKNOWN], ["pulumi-docker 5.2.0 → 5.3.0"])


def test_a_peers_key_reaches_headquarters_in_place() -> None:
    def other_key(files: Any) -> None:
        files["oslo"]["tunnelKey"] = "hNqyoHtDFBoGQQISW2GRjfBwCDsatwRlxQX+aAnRvWI="

    plan = verdict("hq", registry=other_key)
    assert (plan.verdicts, plan.what) == ([Verdict.IN_PLACE], ["hq-tunnel"])


def test_data_lost_must_not_be_merged_and_a_replaced_node_may() -> None:
    assert plan_of("the pool's place").fails
    assert not plan_of("memory").fails


@pytest.mark.parametrize("type_", ["libvirt:index/volume:Volume", "libvirt:index/pool:Pool"])
def test_a_disk_without_protection_holds_data_all_the_same(type_: str) -> None:
    before = made(type=type_, inputs={"name": "old"})
    plan = judge("any", change_of(before, made(type=type_, inputs={"name": "new"})), Recorded(), Recorded())
    assert plan.verdicts == [Verdict.DATA_LOST]
    assert judge("any", change_of(before, None), Recorded(), Recorded()).verdicts == [Verdict.DATA_LOST]


def test_a_root_disk_holds_none() -> None:
    root = [made(type="libvirt:index/volume:Volume", inputs={"name": n, "baseVolumeId": "b"}) for n in ("a", "b")]
    assert judge("any", change_of(*root), Recorded(), Recorded()).verdicts == [Verdict.IN_PLACE]


def change_of(before: Registered, after: Registered | None) -> list[Step]:
    return steps([before], [after] if after else [])


def test_another_seed_is_told_beside_what_else_changes() -> None:
    resources = Recorded(resources=committed("oslo"))
    plan = judge("oslo", [], resources, resources, beyond_steps={Verdict.KEYS: "another"})
    assert plan.verdicts == [Verdict.KEYS]
    more = judge("oslo", plan_of("memory").steps, resources, resources, beyond_steps={Verdict.KEYS: "another"})
    assert more.verdicts == [Verdict.KEYS, Verdict.REPLACED]


def test_a_new_site_counts_its_resources() -> None:
    plan = judge("oslo", [], None, Recorded(resources=committed("oslo")))
    assert (plan.verdicts, plan.fails) == ([Verdict.NEW], False)
    assert plan.what == [f"{sum(each.custom for each in committed('oslo'))} resources"]


def test_a_site_that_goes_is_told_to_keep_its_data() -> None:
    plan = judge("oslo", [], Recorded(resources=committed("oslo")), None)
    assert plan.verdicts == [Verdict.REMOVED]
    assert "edge delete-data" in plan.what[0]


def test_a_mistake_fails_where_the_change_made_it() -> None:
    wrong, right = Recorded(refused="Pulumi.oslo.yaml: wrong\nand more"), Recorded(resources=committed("oslo"))
    assert judge("oslo", [], right, wrong).fails
    assert judge("oslo", [], None, wrong).fails
    assert judge("oslo", [], right, wrong).what == ["Pulumi.oslo.yaml: wrong; and more"]
    elsewhere = Recorded(refused="Pulumi.oslo.yaml: wrong")
    before = judge("oslo", [], wrong, elsewhere)
    assert (before.verdicts, before.fails) == ([Verdict.REFUSED], False)
    assert before.what == ["as before: Pulumi.oslo.yaml: wrong"]
    assert judge("oslo", [], wrong, Recorded(refused="Pulumi.oslo.yaml: another")).fails
    repaired = judge("oslo", [], wrong, right)
    assert (repaired.verdicts, repaired.fails) == ([Verdict.UNKNOWN], False)


def test_what_other_files_are_refused_for_fails_though_the_site_was_refused_before() -> None:
    wrong, right = Recorded(refused="Pulumi.oslo.yaml: wrong"), Recorded(resources=committed("oslo"))
    for after in (wrong, right):
        assert judge("oslo", [], wrong, after, beyond_steps={Verdict.REFUSED: "a data disk never shrinks"}).fails


def test_a_mistake_that_moved_to_another_line_is_the_same() -> None:
    wrong, moved = (Recorded(refused=f"config/mesh/oslo.yaml:{line}: owner = x") for line in (6, 7))
    assert not judge("oslo", [], wrong, moved).fails


def test_what_goes_and_what_comes_is_named_beside_what_changes() -> None:
    settings, page = made(inputs={"stdin": "1"}), made(type=CONTAINER, name="oslo-page")
    found = steps([settings, page], [replace(settings, inputs={"stdin": "2"})])
    plan = judge("oslo", found, Recorded(), Recorded())
    assert (plan.verdicts, plan.what) == ([Verdict.IN_PLACE], [f"{settings.name}; gone: oslo-page"])


def test_what_goes_while_the_node_is_made_anew_is_named_too() -> None:
    def bigger_and_without_page(site: Any) -> None:
        del site["iot"]["page"]
        site["node"]["memoryMib"] = 4096

    plan = verdict("oslo", bigger_and_without_page)
    assert plan.verdicts == [Verdict.REPLACED, Verdict.IN_PLACE]
    assert plan.what[1].startswith("gone: oslo-page, ")


def test_a_container_that_only_goes_or_comes_restarts_none() -> None:
    container = made(type=CONTAINER, name="oslo-alarms")
    for before, after, what in (([container], [], "gone: oslo-alarms"), ([], [container], "new: oslo-alarms")):
        plan = judge("oslo", steps(before, after), Recorded(), Recorded())
        assert (plan.verdicts, plan.what) == ([Verdict.IN_PLACE], [what])


def test_what_is_no_longer_ignored_may_be_anything() -> None:
    disk = made(type=VOLUME, name="oslo-data", inputs={"size": 16}, ignore_changes=("size",))
    found = change_of(disk, replace(disk, ignore_changes=()))
    assert judge("oslo", found, Recorded(), Recorded()).verdicts == [Verdict.DATA_LOST]
    assert difference(found)[1:] == ["  size: was ignored; what the state has may be older than both revisions"]
    assert change_of(replace(disk, ignore_changes=()), disk) == []


def test_a_difference_tells_files_and_lines() -> None:
    lines = difference(plan_of("a sysctl").steps)
    assert "~ Command oslo-host-config: in place" in lines
    assert "  /etc/sysctl.d/90-fjord-edge.conf:" in lines
    assert "+   vm.swappiness = 10" in lines
    assert not [line for line in lines if "authorized" in line]


def test_a_difference_tells_what_is_known_only_later() -> None:
    lines = difference(plan_of("a service's image").steps)
    assert "± Container oslo-telegraf: made anew because of image" in lines
    assert "  image: known once it is made" in lines
    assert f"+   {OTHER_DIGEST}" in lines
