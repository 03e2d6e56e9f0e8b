"""The hypervisor's root file system: Debian packages from the cache, and the lab's own files on top."""

import shutil
import tempfile
from pathlib import Path

from lab.cache import built, fingerprint
from lab.console import run, step
from lab.debian import bootstrap, pack
from lab.hypervisor.keys import CLIENT_KEY, HOST_KEY, REGISTRY_CERTIFICATE, REGISTRY_KEY
from lab.paths import CACHE, STATE

SUITE = "bookworm"
PACKAGES = (
    "chrony",
    "dnsmasq-base",
    "docker-registry",
    "iproute2",
    "libvirt-clients",
    "libvirt-daemon",
    "libvirt-daemon-driver-qemu",
    "mount",
    "openssh-server",
    "procps",
    "python3",
    "qemu-system-x86",
    "qemu-utils",
)

ROOT = STATE / "hypervisor" / "root"

_OWN_FILES = Path(__file__).parent / "rootfs"


def packages_tarball() -> Path:
    """Return the cached tarball of the packages; the first call installs them, in a minute or two."""
    target = CACHE / f"hypervisor-{fingerprint(SUITE, *PACKAGES)}.tar"

    def build(partial: Path) -> None:
        with step("install the hypervisor's packages"):
            bootstrap(partial, suite=SUITE, packages=PACKAGES, log="hypervisor-packages")

    return built(target, build)


def lay_root() -> None:
    """Make `ROOT` as it must be before a start; the disks and domains that libvirt keeps there stay."""
    built(ROOT, _unpack)
    with tempfile.NamedTemporaryFile(suffix=".tar") as own:
        pack(_OWN_FILES, Path(own.name))
        _extract(Path(own.name), ROOT)
    for source, place in (
        (HOST_KEY, "etc/ssh/hypervisor_key"),
        (CLIENT_KEY.with_suffix(".pub"), "etc/ssh/authorized_keys"),
        (REGISTRY_CERTIFICATE, "etc/docker/registry/server.pem"),
        (REGISTRY_KEY, "etc/docker/registry/server.key"),
    ):
        shutil.copy(source, ROOT / place)


def _unpack(partial: Path) -> None:
    tarball = packages_tarball()
    partial.mkdir(parents=True)
    with step("unpack the hypervisor's root file system"):
        _extract(tarball, partial)


def _extract(tarball: Path, folder: Path) -> None:
    # Device nodes: the hypervisor has a /dev of its own.
    run(
        ["tar", "--extract", "--file", tarball, "--directory", folder, "--numeric-owner", "--preserve-permissions",
         "--no-overwrite-dir", "--exclude=./dev/*"],
        log="hypervisor-unpack",
        remedy="Make room on that disk, or run `make clean` and try again.",
    )  # fmt: skip
