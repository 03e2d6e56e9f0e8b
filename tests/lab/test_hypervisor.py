import importlib
import os
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from ipaddress import IPv4Address
from pathlib import Path
from types import SimpleNamespace

import pytest
from cryptography import x509

from lab.console import LabError
from lab.hypervisor import accelerator as chosen_accelerator
from lab.hypervisor import keys, namespaces, requirements

# By name: the package has the function of the same name.
accelerator = importlib.import_module("lab.hypervisor.accelerator")
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root makes namespaces")

MARK = f"FJORD_EDGE_HYPERVISOR=/a/test/of/{os.getpid()}"


@pytest.fixture(autouse=True)
def _no_real_hypervisor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(namespaces, "MARK", MARK)


@pytest.fixture
def process_one() -> Iterator[int]:
    """A process that looks like a hypervisor's first one."""
    command = ["unshare", "--pid", "--fork", "--kill-child", "--", "sleep", "60"]
    with subprocess.Popen(["env", MARK, *command]) as parent:
        yield _eventually_found()
        parent.kill()


def _eventually_found() -> int:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        pid = namespaces.first_process()
        if pid is not None:
            return pid
        time.sleep(0.05)
    raise AssertionError("not found")


def test_too_little_space_is_an_error_that_names_the_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requirements.shutil, "disk_usage", lambda _: SimpleNamespace(free=14 * 2**30))
    with pytest.raises(LabError, match=r"has 14\.0 GiB free, the lab needs 15\. Make room"):
        requirements.require_space()


def test_enough_space_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requirements.shutil, "disk_usage", lambda _: SimpleNamespace(free=15 * 2**30))
    requirements.require_space()


def test_another_user_than_root_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requirements.os, "geteuid", lambda: 1000)
    with pytest.raises(LabError, match="sudo"):
        requirements.require_root()


def test_without_a_hypervisor_there_is_nothing_to_enter() -> None:
    assert namespaces.first_process() is None
    with pytest.raises(LabError, match="does not run"):
        namespaces.operator_command(["true"])
    with pytest.raises(LabError, match="does not run"):
        namespaces.inside_command(["true"])


def test_a_process_that_carries_the_mark_alone_is_not_the_hypervisor_and_is_left_alone() -> None:
    with subprocess.Popen(["env", MARK, "sleep", "60"]) as bystander:
        namespaces.end()
        assert namespaces.first_process() is None
        assert bystander.poll() is None
        bystander.kill()


@as_root
def test_the_first_process_is_found_by_its_mark_and_ended(process_one: int) -> None:
    namespaces.end()
    assert namespaces.first_process() is None
    with suppress(FileNotFoundError, ProcessLookupError):
        # Its parent may take it out of /proc meanwhile.
        assert not any(Path(f"/proc/{process_one}/task").glob("*/fd/*"))


@as_root
def test_a_number_that_went_to_another_process_is_not_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    with subprocess.Popen(["sleep", "60"]) as innocent:
        monkeypatch.setattr(namespaces, "first_process", lambda: innocent.pid)
        namespaces.end()
        assert innocent.poll() is None
        innocent.kill()


@as_root
def test_the_operator_keeps_the_machines_files_and_has_the_hypervisors_network(process_one: int) -> None:
    assert namespaces.operator_command(["ip", "route"]) == [
        "nsenter", f"--net=/proc/{process_one}/ns/net", "--", "ip", "route"
    ]  # fmt: skip


def test_the_boot_sector_is_one_and_its_own_table_is_where_it_says() -> None:
    sector = accelerator.BOOT_SECTOR
    assert len(sector) == 512
    assert sector[510:] == b"\x55\xaa"
    pointer = 0x7C83 - 0x7C00
    table = int.from_bytes(sector[pointer + 2 : pointer + 6], "little") - 0x7C00
    assert sector[table : table + 16] == bytes(8) + (0x00209A0000000000).to_bytes(8, "little")


@pytest.mark.parametrize(("working", "expected"), [({"kvm", "tcg"}, "kvm"), ({"tcg"}, "qemu")])
def test_kvm_is_chosen_only_where_it_boots(monkeypatch: pytest.MonkeyPatch, working: set[str], expected: str) -> None:
    monkeypatch.setattr(accelerator, "boots", lambda accel: accel in working)
    assert chosen_accelerator() == expected


def test_a_machine_where_nothing_boots_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accelerator, "boots", lambda _: False)
    with pytest.raises(LabError, match="boots nothing"):
        chosen_accelerator()


def test_the_keys_are_made_once_and_the_registrys_certificate_is_for_its_address(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("KEYS", "CLIENT_KEY", "HOST_KEY", "HOST_PUBLIC_KEY", "KNOWN_HOSTS",
                 "REGISTRY_CA", "REGISTRY_CERTIFICATE", "REGISTRY_KEY"):  # fmt: skip
        monkeypatch.setattr(keys, name, tmp_path / getattr(keys, name).relative_to(keys.STATE))
    address = IPv4Address("10.20.0.1")
    keys.make_keys(address)
    first = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    keys.make_keys(address)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == first

    certificate = x509.load_pem_x509_certificate(keys.REGISTRY_CERTIFICATE.read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.IPAddress) == [address]
    certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(keys.REGISTRY_CA.read_bytes()))
    ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(keys.REGISTRY_CERTIFICATE, keys.REGISTRY_KEY)
    for private in (keys.CLIENT_KEY, keys.HOST_KEY, keys.REGISTRY_KEY):
        assert private.stat().st_mode & 0o077 == 0
    assert keys.KNOWN_HOSTS.read_text().startswith("10.20.0.1 ssh-ed25519 ")
