"""The programs that run on the hypervisor, on files of the test's own and a `virsh` that answers as told."""

import base64
import hashlib
import json
import os
from collections import deque
from pathlib import Path
from typing import Any

import pytest

from components.edge_node import hypervisor
from components.edge_node.on_hypervisor import after_start, before_start, keep_running, preflight, snapshot
from tests.judges import judge
from tests.sites import registry, site_section

NODE = site_section("oslo").node
MESH = registry().networks
GIB = 1 << 30


class Virsh:
    """Answers by the first word, and remembers what it was asked; a list gives its answers one after another."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        program = folder / "virsh"
        program.write_text(
            "#!/bin/sh\nshift 2\n"
            f'echo "$@" >> {folder}/asked\n'
            f'answer={folder}/answer-$1\n[ -e "$answer-$2" ] && answer=$answer-$2\n'
            '[ -e "$answer" ] || { echo "error: failed to get domain" >&2; exit 1; }\n'
            'head -n 1 "$answer.lines" 2>/dev/null && sed -i 1d "$answer.lines" || cat "$answer"\n'
        )
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    def answers(self, word: str, text: str) -> None:
        (self.folder / f"answer-{word}").write_text(text + "\n")

    def is_away(self) -> None:
        """Libvirt is not reached."""
        text = "#!/bin/sh\necho 'error: failed to connect to the hypervisor' >&2\nexit 1\n"
        (self.folder / "virsh").write_text(text)

    @property
    def asked(self) -> list[str]:
        path = self.folder / "asked"
        return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def virsh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Virsh:
    folder = tmp_path / "bin"
    folder.mkdir()
    return Virsh(folder, monkeypatch)


def told(program: str) -> dict[str, Any]:
    """What a composed program is asked."""
    call = program.rsplit("sys.exit(main(json.loads(", 1)[1].strip().removesuffix(")))")
    asked: dict[str, Any] = json.loads(json.loads(call))
    return asked


@pytest.mark.parametrize("render", [hypervisor.before_start, hypervisor.after_start])
def test_a_program_is_one_text_that_python_reads_and_ends_by_running_it(render: Any) -> None:
    program = render("oslo", NODE)
    compile(program, "<stdin>", "exec")
    assert program.strip().splitlines()[-1].startswith("sys.exit(main(")


# Preflight


def asked(tmp_path: Path, **more: Any) -> dict[str, Any]:
    pool = tmp_path / "pool"
    pool.mkdir(exist_ok=True)
    return {
        **told(hypervisor.preflight("oslo", NODE, MESH)),
        "pool": str(pool),
        "image": {"path": str(pool / "image.qcow2"), "sha256": hashlib.sha256(b"image").hexdigest()},
        "dataDisk": {"path": str(pool / "data.qcow2"), "bytes": 8 * GIB},
        **more,
    }


def test_the_preflight_of_a_site_asks_for_its_own_disks_bridge_and_mesh() -> None:
    assert told(hypervisor.preflight("oslo", NODE, MESH)) == {
        "skipChecks": [],
        "bridges": ["br0", "br-lan"],
        "networks": ["lte"],
        "pool": "/srv/nvme/fjord-edge/oslo",
        "bytes": 18 * GIB,
        "image": {"path": "/srv/nvme/fjord-edge/oslo/oslo-image-000000000000.qcow2", "sha256": 64 * "0"},
        "dataDisk": {"path": "/srv/nvme/fjord-edge/oslo/oslo-data.qcow2", "bytes": 8 * GIB},
        "mesh": ["10.100.0.0/24", "fd5c:9a1e:27d4::/64"],
    }


def test_every_check_that_fails_is_named_with_what_was_found_and_a_remedy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], virsh: Virsh
) -> None:
    virsh.answers("net-list", "default")
    virsh.answers("version", "Compiled against library: libvirt 9.0.0\nRunning against daemon: 8.0.0")
    status = preflight.main(
        asked(tmp_path, skipChecks=["kvm", "nvme", "space", "management"], bridges=["no-such"], networks=["lan"])
    )
    printed = capsys.readouterr()
    assert status == 1
    assert printed.err.splitlines() == [
        "check libvirt: found libvirt 8.0.0; install libvirt 9.0 or newer: Debian 12's libvirt-daemon-system",
        "check network: found no bridge no-such, no active libvirt network lan; make it, or name another",
    ]
    results = {check["name"]: check["passed"] for check in json.loads(printed.out)}
    assert set(results) == set(preflight.CHECKS)
    assert [name for name, passed in results.items() if passed is None] == ["kvm", "space", "nvme", "management"]


@pytest.mark.parametrize(
    ("mode", "found", "remedy"),
    [
        ("bridge", "libvirt network lte is another name of the bridge br-lte", "write `bridge: br-lte`"),
        ("open", "lte", ""),
    ],
)
def test_a_libvirt_network_is_no_other_name_of_a_bridge(
    tmp_path: Path, virsh: Virsh, mode: str, found: str, remedy: str
) -> None:
    virsh.answers("net-list", "lte")
    virsh.answers("net-dumpxml", f'<network><forward mode="{mode}"/><bridge name="br-lte"/></network>')
    result = preflight.network(asked(tmp_path, bridges=[], networks=["lte"]))
    assert result == (mode != "bridge", found, remedy)


def test_the_checks_are_those_that_a_site_may_skip() -> None:
    schema = type(NODE.hypervisor).model_json_schema()
    assert schema["properties"]["skipChecks"]["items"]["enum"] == list(preflight.CHECKS)


@pytest.mark.usefixtures("virsh")
def test_a_check_that_cannot_run_has_failed(tmp_path: Path) -> None:
    found = preflight.result("libvirt", asked(tmp_path))
    assert (found["passed"], found["found"]) == (False, "virsh: error: failed to get domain")


def test_an_image_with_another_checksum_is_refused(tmp_path: Path) -> None:
    question = asked(tmp_path)
    assert preflight.image(question)[0]
    Path(question["image"]["path"]).write_bytes(b"image")
    assert preflight.image(question)[0]
    Path(question["image"]["path"]).write_bytes(b"other")
    passed, found, remedy = preflight.image(question)
    assert not passed
    assert hashlib.sha256(b"other").hexdigest() in found
    assert "virsh vol-delete" in remedy


@pytest.mark.parametrize(("gib", "passes"), [(8, True), (7, True), (9, False)])
def test_a_data_disk_never_shrinks(tmp_path: Path, gib: int, passes: bool) -> None:
    question = asked(tmp_path)
    judge_disk(Path(question["dataDisk"]["path"]), gib)
    passed, found, remedy = preflight.data_disk(question)
    assert (passed, found) == (passes, f"{gib} GiB")
    assert passes or remedy == "a data disk never shrinks; write dataDiskGib: 9"


def judge_disk(path: Path, gib: int) -> None:
    judge("qemu-img", "create", "-q", "-f", "qcow2", path, f"{gib}G")


def test_too_little_space_says_how_much_is_lacking(tmp_path: Path) -> None:
    passed, _, remedy = preflight.space(asked(tmp_path, bytes=1 << 60))
    assert not passed
    assert "GiB more below" in remedy
    assert preflight.space(asked(tmp_path, bytes=1))[0]


@pytest.mark.parametrize(
    ("connection", "passes"),
    [
        ("10.20.0.5 1 10.20.0.1 22", True),
        ("10.100.0.1 1 10.100.0.2 22", False),
        ("fd5c:9a1e:27d4::1 1 fd5c:9a1e:27d4::2 22", False),
        ("", True),
    ],
)
def test_a_hypervisor_reached_through_the_mesh_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, connection: str, passes: bool
) -> None:
    monkeypatch.setenv("SSH_CONNECTION", connection)
    assert preflight.management(asked(tmp_path))[0] is passes


@pytest.mark.parametrize("source", ["tmpfs", "/dev/no-such-disk", "pool/dataset"])
def test_what_is_no_block_device_is_no_nvme(source: str) -> None:
    assert preflight.disks_below(source) == []


# Before the start


def replacement(tmp_path: Path, **more: Any) -> dict[str, Any]:
    first_boot, record = tmp_path / "first-boot.iso", tmp_path / "record.json"
    first_boot.touch(0o644)
    record.write_text(json.dumps("oslo-root-a.qcow2"))
    return {"domain": "oslo", "firstBoot": str(first_boot), "record": str(record), "vm": "oslo-root-b.qcow2", **more}


@pytest.fixture
def running(virsh: Virsh) -> Virsh:
    virsh.answers("domstate", "running")
    return virsh


def test_the_first_boot_disk_is_roots_alone(tmp_path: Path, virsh: Virsh) -> None:
    question = replacement(tmp_path)
    assert before_start.main(question) == 0
    assert Path(question["firstBoot"]).stat().st_mode & 0o777 == 0o600
    assert virsh.asked == ["domstate oslo"]


def test_a_libvirt_that_does_not_answer_is_no_node_that_is_off(
    tmp_path: Path, virsh: Virsh, capsys: pytest.CaptureFixture[str]
) -> None:
    virsh.is_away()
    assert before_start.main(replacement(tmp_path)) == 1
    assert "libvirt does not say how it is: error: failed to connect to the hypervisor" in capsys.readouterr().err


def test_a_node_of_the_same_hardware_is_left_alone(tmp_path: Path, running: Virsh) -> None:
    assert before_start.main(replacement(tmp_path, vm="oslo-root-a.qcow2")) == 0
    assert running.asked == []


def test_a_node_without_a_record_is_left_alone(tmp_path: Path, running: Virsh) -> None:
    assert before_start.main(replacement(tmp_path, record=str(tmp_path / "none"))) == 0
    assert running.asked == []


def test_a_node_that_has_a_reason_stays_up_and_the_reason_is_told(
    tmp_path: Path, running: Virsh, capsys: pytest.CaptureFixture[str]
) -> None:
    said = base64.b64encode(b"the alarm alerts/oslo/pen-1/oxygen is raised").decode()
    running.answers("qemu-agent-command", json.dumps({"return": {"pid": 7}}))
    (running.folder / "answer-qemu-agent-command.lines").write_text(
        "{}\n"
        + json.dumps({"return": {"pid": 7}})
        + "\n"
        + json.dumps({"return": {"exited": True, "exitcode": 1, "out-data": said}})
        + "\n"
    )
    assert before_start.main(replacement(tmp_path)) == 1
    assert "oslo was not taken down: the alarm alerts/oslo/pen-1/oxygen is raised." in capsys.readouterr().err
    assert not [words for words in running.asked if words.startswith(("shutdown", "destroy"))]


def test_a_node_is_shut_down_by_acpi_after_its_services(tmp_path: Path, running: Virsh) -> None:
    running.answers("qemu-agent-command", "{}")
    (running.folder / "answer-qemu-agent-command.lines").write_text(
        '{}\n{"return": {"pid": 7}}\n{"return": {"exited": true, "exitcode": 0}}\n'
    )
    (running.folder / "answer-domstate.lines").write_text("running\nrunning\nshut off\n")
    running.answers("shutdown", "")
    assert before_start.main(replacement(tmp_path)) == 0
    words = [line.split()[0] for line in running.asked]
    assert words == ["domstate", *3 * ["qemu-agent-command"], "shutdown", "domstate", "domstate"]
    assert before_start.BEFORE_SHUTDOWN in running.asked[2]
    assert "shutdown oslo --mode acpi" in running.asked


@pytest.mark.usefixtures("running")
def test_a_node_that_does_not_shut_down_is_told_with_what_to_type(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(before_start, "SHUTDOWN_SECONDS", 0.1)
    assert before_start.main(replacement(tmp_path)) == 1
    assert "virsh console oslo; or end it: virsh destroy oslo" in capsys.readouterr().err


# After the start


DISKS = """\
 Type     Device   Target   Source
------------------------------------------------
 volume   disk     vda      oslo-root.qcow2
 volume   disk     vdb      oslo-data.qcow2
 file     cdrom    hdd      /srv/oslo-first-boot-1.iso
"""


@pytest.mark.parametrize(("gib", "grown"), [(8, False), (12, True)])
def test_a_data_disk_grows_when_it_is_smaller_than_asked(virsh: Virsh, gib: int, grown: bool) -> None:
    virsh.answers("domblklist", DISKS)
    virsh.answers("domblkinfo", f"Capacity:       {8 * GIB}\nAllocation:     1")
    virsh.answers("blockresize", "")
    after_start.grow("oslo", Path("/srv/oslo-data.qcow2"), gib * GIB)
    assert (f"blockresize oslo vdb {gib * GIB}B" in virsh.asked) is grown


def test_a_missing_data_disk_is_told(virsh: Virsh) -> None:
    virsh.answers("domblklist", DISKS.replace("oslo-data", "other"))
    with pytest.raises(after_start.FailedError, match=r"no disk oslo-data\.qcow2"):
        after_start.grow("oslo", Path("/srv/oslo-data.qcow2"), GIB)


@pytest.mark.parametrize(("source", "ejected"), [("/srv/oslo-first-boot-1.iso", True), ("-", False)])
def test_the_first_boot_disk_is_taken_out_once(virsh: Virsh, source: str, ejected: bool) -> None:
    virsh.answers("domblklist", DISKS.replace("/srv/oslo-first-boot-1.iso", source))
    virsh.answers("change-media", "")
    after_start.eject_first_boot("oslo")
    assert ("change-media oslo hdd --eject --force --live --config" in virsh.asked) is ejected


# Kept running


@pytest.mark.parametrize(
    ("state", "started"),
    [
        ("shut off (crashed)", True),
        ("shut off (failed)", True),
        ("shut off (shutdown)", False),
        ("shut off (destroyed)", False),
        ("running (booted)", False),
    ],
)
def test_only_a_node_that_crashed_is_started(virsh: Virsh, state: str, started: bool) -> None:
    virsh.answers("domstate", state)
    virsh.answers("start", "")
    keep_running.look("oslo", deque(maxlen=keep_running.STARTS), 0.0)
    assert ("start oslo" in virsh.asked) is started


def test_a_node_that_crashes_again_and_again_is_left_off_for_a_while(virsh: Virsh) -> None:
    virsh.answers("domstate", "shut off (crashed)")
    virsh.answers("start", "")
    started: deque[float] = deque(maxlen=keep_running.STARTS)
    for second in range(10):
        keep_running.look("oslo", started, float(second))
    assert virsh.asked.count("start oslo") == keep_running.STARTS
    keep_running.look("oslo", started, keep_running.WITHIN_SECONDS + 1.0)
    assert virsh.asked.count("start oslo") == keep_running.STARTS + 1


# Snapshots


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    folder = tmp_path / "pool"
    folder.mkdir()
    (folder / "oslo-data.qcow2").write_text("now")
    return folder


def asked_of_snapshots(pool: Path, name: str = "") -> dict[str, Any]:
    disk = str(pool / "oslo-data.qcow2")
    record = str(pool.parent / "record.json")
    folder = str(pool / "snapshots")
    return {"domain": "oslo", "dataDisk": disk, "folder": folder, "name": name, "pool": "any", "record": record}


def names(pool: Path) -> list[str]:
    return [path.name for path in snapshot.snapshots(asked_of_snapshots(pool))]


def test_a_snapshot_of_a_node_that_is_off_is_a_copy(pool: Path, virsh: Virsh) -> None:
    virsh.answers("domstate", "shut off")
    assert snapshot.make(asked_of_snapshots(pool)) == 0
    [name] = names(pool)
    assert (pool / "snapshots" / name).read_text() == "now"


def test_a_running_node_is_held_still_while_its_copy_begins_and_no_longer(pool: Path, virsh: Virsh) -> None:
    virsh.answers("domstate", "running")
    virsh.answers("domblklist", f"file disk vda root.qcow2\nfile disk vdb {pool}/oslo-data.qcow2")
    for word in ("domfsfreeze", "domfsthaw"):
        virsh.answers(word, "")
    (virsh.folder / "answer-backup-begin").write_text("")
    virsh.answers("domjobinfo", "Job type:         None")
    virsh.answers("domjobinfo-oslo", "Job type: Completed")
    begin_copies(virsh)
    assert snapshot.make(asked_of_snapshots(pool)) == 0
    asked = [line.split()[0] for line in virsh.asked]
    assert asked.index("domfsfreeze") < asked.index("backup-begin") < asked.index("domfsthaw")
    assert len(names(pool)) == 1


def begin_copies(virsh: Virsh) -> None:
    """QEMU writes the copy that it was asked for."""
    program = virsh.folder / "virsh"
    copy = 'if [ "$1" = backup-begin ]; then sed -n \'s/.*target file="\\([^"]*\\)".*/\\1/p\' "$3" | xargs touch; fi\n'
    jobs = 'if [ "$1 $3" = "domjobinfo --completed" ]; then echo "Job type: Completed"; exit; fi\n'
    jobs += 'if [ "$1" = domjobinfo ]; then echo "Job type: None"; exit; fi\n'
    program.write_text(program.read_text().replace("shift 2\n", f"shift 2\n{copy}{jobs}"))


def test_a_node_whose_copy_does_not_begin_is_let_go(
    pool: Path, virsh: Virsh, capsys: pytest.CaptureFixture[str]
) -> None:
    virsh.answers("domstate", "running")
    virsh.answers("domblklist", f"file disk vdb {pool}/oslo-data.qcow2")
    for word in ("domfsfreeze", "domfsthaw"):
        virsh.answers(word, "")
    assert snapshot.make(asked_of_snapshots(pool)) == 1
    assert virsh.asked[-1].startswith("domfsthaw")
    assert "backup-begin" in capsys.readouterr().err
    assert names(pool) == []


def test_a_restored_snapshot_takes_the_disks_place_which_becomes_a_snapshot(pool: Path, virsh: Virsh) -> None:
    judge("qemu-img", "--version")
    virsh.answers("domstate", "shut off")
    virsh.answers("start", "")
    disk, kept = pool / "oslo-data.qcow2", pool / "snapshots/20260101T000000Z.qcow2"
    kept.parent.mkdir()
    judge("qemu-img", "create", "-q", "-f", "qcow2", kept, "1M")
    disk.unlink()
    judge("qemu-img", "create", "-q", "-f", "qcow2", disk, "2M")
    assert snapshot.restore(asked_of_snapshots(pool, kept.name)) == 0
    assert [name.rpartition("-")[0] for name in names(pool)] == ["", "before-restore"]
    assert snapshot._size(disk) == 2 << 20, "a disk that had grown stays as big as it was"
    assert virsh.asked[-1] == "start oslo"


@pytest.mark.parametrize("action", [snapshot.restore, snapshot.release, snapshot.make])
def test_no_disk_is_touched_while_libvirt_does_not_answer(
    pool: Path, virsh: Virsh, action: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    (pool / "snapshots").mkdir()
    (pool / "snapshots/one.qcow2").write_text("then")
    virsh.is_away()
    assert action(asked_of_snapshots(pool, "one.qcow2")) == 1
    assert "libvirt does not say how oslo is" in capsys.readouterr().err
    assert ((pool / "oslo-data.qcow2").read_text(), names(pool)) == ("now", ["one.qcow2"])


def test_a_running_node_is_not_restored(pool: Path, virsh: Virsh, capsys: pytest.CaptureFixture[str]) -> None:
    virsh.answers("domstate", "running")
    (pool / "snapshots").mkdir()
    (pool / "snapshots/one.qcow2").write_text("then")
    assert snapshot.restore(asked_of_snapshots(pool, "one.qcow2")) == 1
    assert capsys.readouterr().err == "oslo is not off; shut it down first\n"
    assert (pool / "oslo-data.qcow2").read_text() == "now"


def test_a_snapshot_that_is_not_there_is_told_with_those_that_are(
    pool: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (pool / "snapshots").mkdir()
    (pool / "snapshots/one.qcow2").touch()
    assert snapshot.delete(asked_of_snapshots(pool, "two.qcow2")) == 1
    assert capsys.readouterr().err == "there is no snapshot two.qcow2; there are: one.qcow2\n"
    assert snapshot.delete(asked_of_snapshots(pool, "one.qcow2")) == 0
    assert names(pool) == []


def test_snapshots_lie_beside_the_disk_in_a_folder_of_their_own() -> None:
    program = hypervisor.snapshot("oslo", NODE, "restore", "one.qcow2")
    compile(program, "<stdin>", "exec")
    asked = json.loads(json.loads(program.rsplit("sys.exit(restore(json.loads(", 1)[1].strip().removesuffix(")))")))
    assert asked["folder"] == "/srv/nvme/fjord-edge/oslo/snapshots"
    assert hypervisor.delete_snapshots("oslo", NODE).endswith(" /srv/nvme/fjord-edge/oslo/snapshots")


def test_a_node_whose_state_is_lost_leaves_nothing_that_an_update_would_meet_but_its_data(
    pool: Path, virsh: Virsh, capsys: pytest.CaptureFixture[str]
) -> None:
    virsh.answers("domstate", "shut off")
    for word in ("undefine", "pool-info", "pool-destroy", "pool-undefine"):
        virsh.answers(word, "")
    for name in ("oslo-root-1.qcow2", "oslo-image-2.qcow2", "oslo-first-boot-1.iso"):
        (pool / name).touch()
    record = pool.parent / "record.json"
    record.touch()
    assert snapshot.release(asked_of_snapshots(pool)) == 0
    [kept] = names(pool)
    assert kept.startswith("before-release-")
    assert (pool / "snapshots" / kept).read_text() == "now"
    assert [path.name for path in pool.iterdir()] == ["snapshots"]
    assert not record.exists()
    assert {"undefine oslo", "pool-undefine any"} <= set(virsh.asked)
    (virsh.folder / "answer-domstate").unlink()
    (virsh.folder / "answer-pool-info").unlink()
    capsys.readouterr()
    assert snapshot.release(asked_of_snapshots(pool)) == 0, "once more, after it was cut short"
    assert json.loads(capsys.readouterr().out) == {"name": kept}


def test_a_running_node_is_not_released(pool: Path, virsh: Virsh, capsys: pytest.CaptureFixture[str]) -> None:
    virsh.answers("domstate", "running")
    assert snapshot.release(asked_of_snapshots(pool)) == 1
    assert capsys.readouterr().err == "oslo is not off; shut it down first\n"
    assert (pool / "oslo-data.qcow2").read_text() == "now"
