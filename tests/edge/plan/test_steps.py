"""The engine's rules, on resources that no program registers."""

from dataclasses import replace

from edge.plan.steps import steps
from edge.recorder.recording import Secret
from tests.edge.plan.changes import made

COMMAND, VOLUME, DOMAIN = "command:remote:Command", "libvirt:index/volume:Volume", "libvirt:index/domain:Domain"


def test_what_stays_has_no_step() -> None:
    assert steps([made(inputs={"create": "true"})], [made(inputs={"create": "true"})]) == []


def test_what_comes_is_made_and_what_goes_is_deleted() -> None:
    made_, gone = steps([made(name="z")], [made(name="a")])
    assert (made_.operation, made_.resource.name) == ("create", "a")
    assert (gone.operation, gone.resource.name) == ("delete", "z")


def test_a_component_has_no_step() -> None:
    assert steps([], [made(custom=False)]) == []


def test_an_input_that_is_ignored_changes_nothing() -> None:
    after = made(inputs={"create": "new"}, ignore_changes=("create",))
    assert steps([made(inputs={"create": "old"})], [after]) == []


def test_an_input_below_one_that_is_ignored_alone_still_counts() -> None:
    after = made(inputs={"connection": {"host": "b"}}, ignore_changes=("connection.user",))
    [step] = steps([made(inputs={"connection": {"host": "a"}})], [after])
    assert step.operation == "update"


def test_an_input_of_replace_on_changes_replaces() -> None:
    after = made(inputs={"create": "new"}, replace_on_changes=("create",))
    [step] = steps([made(inputs={"create": "old"})], [after])
    assert (step.operation, step.because) == ("replace", ("create",))


def test_a_path_of_replace_on_changes_counts_by_its_input() -> None:
    after = made(inputs={"connection": {"host": "b"}}, replace_on_changes=("connection.host",))
    [step] = steps([made(inputs={"connection": {"host": "a"}})], [after])
    assert step.operation == "replace"


def test_what_is_replaced_with_another_goes_with_it_alone() -> None:
    follower = made(name="follower", replace_with=(f"{VOLUME}::disk",))
    disk = [made(type=VOLUME, name="disk", inputs={"name": name}) for name in ("old", "new")]
    assert [step.resource.name for step in steps([disk[0], follower], [disk[1], follower])] == ["disk", "follower"]
    assert steps([disk[0], follower], [disk[0], follower]) == []


def test_what_a_provider_computes_is_unknown_once_its_resource_is_made_anew() -> None:
    domain = made(type=DOMAIN, name="vm", inputs={"disks": [{"volumeId": f"<id of {VOLUME}::disk>"}]})
    disk = [made(type=VOLUME, name="disk", inputs={"name": name}) for name in ("old", "new")]
    found = steps([disk[0], domain], [disk[1], domain])
    assert [(step.resource.name, step.operation, step.because) for step in found] == [
        ("disk", "replace", ("name",)),
        ("vm", "replace", ("disks",)),
    ]


def test_what_a_provider_computes_stays_known_while_its_resource_is_updated() -> None:
    user = made(name="user", inputs={"stdin": Secret(f"<id of {COMMAND}::a>")})
    command = [made(inputs={"create": create}) for create in ("old", "new")]
    assert [step.resource.name for step in steps([command[0], user], [command[1], user])] == ["a"]


def test_a_resource_that_is_renamed_with_an_alias_stays_and_so_does_what_names_it() -> None:
    domain = [
        made(type=DOMAIN, name="vm", inputs={"disks": [{"volumeId": f"<id of {VOLUME}::{name}>"}]})
        for name in ("former", "disk")
    ]
    after = made(type=VOLUME, name="disk", aliases=(f"{VOLUME}::former",))
    assert steps([made(type=VOLUME, name="former"), domain[0]], [after, domain[1]]) == []


def test_a_resource_that_is_renamed_without_one_is_deleted_and_made() -> None:
    found = steps([made(type=VOLUME, name="former")], [made(type=VOLUME, name="disk")])
    assert {step.operation for step in found} == {"create", "delete"}


def test_a_resource_that_moves_to_another_type_of_component_is_deleted_and_made() -> None:
    places = [made(custom=False, type=type_, name="c") for type_ in ("fjord-edge:index:One", "fjord-edge:index:Two")]
    children = [made(type=VOLUME, name="disk", parent=place.reference) for place in places]
    found = steps([places[0], children[0]], [places[1], children[1]])
    assert {step.operation for step in found} == {"create", "delete"}


def test_a_child_of_a_component_whose_type_has_an_alias_stays() -> None:
    old = made(custom=False, type="fjord-edge:index:One", name="c")
    new = made(custom=False, type="fjord-edge:index:Two", name="c", aliases=(old.reference,))
    before, after = (made(type=VOLUME, name="disk", parent=place.reference) for place in (old, new))
    assert steps([old, before], [new, after]) == []


def test_what_is_made_of_something_that_goes_first_goes_too() -> None:
    pools = [made(type="libvirt:index/pool:Pool", name="pool", inputs={"name": "p", "target": n}) for n in ("a", "b")]
    disk = made(
        type=VOLUME,
        name="disk",
        inputs={"pool": "p", "name": "d"},
        property_dependencies={"pool": frozenset({pools[0].reference})},
    )
    found = steps([pools[0], disk], [pools[1], disk])
    assert [(step.resource.name, step.because) for step in found] == [("disk", ("pool",)), ("pool", ("target",))]
    kept = replace(pools[1], delete_before_replace=False)
    assert [step.resource.name for step in steps([pools[0], disk], [kept, disk])] == ["pool"]
