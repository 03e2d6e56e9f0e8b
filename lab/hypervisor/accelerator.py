"""Whether this machine's KVM boots anything: asked by booting something."""

import subprocess
from pathlib import Path
from typing import Literal

from lab.console import LabError
from lab.hypervisor.namespaces import inside_command
from lab.hypervisor.root import ROOT

#: How long a boot may take. KVM gets little, since a KVM that is slower than emulation is of no use.
SECONDS = {"kvm": 5, "tcg": 60}

#: A boot sector that enters 64-bit mode with paging, counts to 200 million there and writes 42 to the port of QEMU's
#: isa-debug-exit. The count is what tells: it takes a tenth of a second, unless this KVM interprets its guests.
BOOT_SECTOR = (
    bytes.fromhex(
        "fa 6631c0 8ed8"  # cli; xor eax, eax; mov ds, ax
        "66c706001003200000 66a30410"  # page tables for the first 2 MiB: [0x1000] = 0x2003 (present, writable)
        "66c706002003300000 66a30420"  # [0x2000] = 0x3003
        "66c706003083000000 66a30430"  # [0x3000] = 0x83 (one page of 2 MiB)
        "66b800100000 0f22d8"  # mov cr3, 0x1000
        "66b820000000 0f22e0"  # mov cr4, PAE
        "66b9800000c0 0f32 660d00010000 0f30"  # EFER |= LME
        "0f0116837c"  # lgdt [0x7c83]
        "66b801000080 0f22c0"  # mov cr0, PG | PE
        "ea627c0800"  # jmp 8:0x7c62, from here on in 64-bit mode
        "b900c2eb0b ffc9 75fc"  # mov ecx, 200000000; 1: dec ecx; jnz 1b
        "66ba0105 b02a ee f4"  # mov dx, 0x501; mov al, 42; out dx, al; hlt
        "0000000000000000 00000000009a2000"  # the GDT: null, 64-bit code
        "0f00 737c0000"  # its limit and address
    ).ljust(510, b"\0")
    + b"\x55\xaa"
)

#: What QEMU's exit status then is.
BOOTED = 42 << 1 | 1

_DISK = Path("/var/tmp/boot-sector.img")  # noqa: S108 (the hypervisor's own)


def accelerator() -> Literal["kvm", "qemu"]:
    """Return the libvirt domain type to use: `kvm` where that boots, else `qemu`, which is software emulation.

    `/dev/kvm` may exist where every guest dies at its first instruction, so it is not taken at its word.

    Raises:
        LabError: QEMU boots nothing either way.
    """
    if boots("kvm"):
        return "kvm"
    if boots("tcg"):
        return "qemu"
    raise LabError("QEMU boots nothing here, not even by emulation", "Run `make clean`, then `make up` again.")


def boots(accel: Literal["kvm", "tcg"]) -> bool:
    """Tell whether a guest of one boot sector runs with this accelerator of QEMU's, within `SECONDS`."""
    (ROOT / _DISK.relative_to("/")).write_bytes(BOOT_SECTOR)
    command = inside_command(
        ["timeout", "--signal=KILL", str(SECONDS[accel]),
         "qemu-system-x86_64", "-accel", accel, "-machine", "pc", "-m", "16", "-nodefaults",
         "-display", "none", "-no-reboot", "-device", "isa-debug-exit",
         "-drive", f"file={_DISK},format=raw,if=ide"]
    )  # fmt: skip
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    return done.returncode == BOOTED
