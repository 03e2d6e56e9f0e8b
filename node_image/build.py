"""Build the node image: `python -m node_image.build` prints where it is.

The image is a disk of one ext4 file system, without a partition table, that grows with the disk it is copied to.
`rootfs/` holds the files that are ours, at their target paths.
"""

import hashlib
import shlex
import tempfile
from pathlib import Path

from lab import debian
from lab.cache import built, fingerprint
from lab.console import run, step
from lab.paths import CACHE

SUITE = "bookworm"
PACKAGES = (
    "apparmor",  # dockerd starts no container without it
    "ca-certificates",
    "cloud-init",
    "curl",
    "dbus",
    "docker.io",
    "e2fsprogs",
    "ifupdown",
    "iproute2",
    "iptables",
    "iputils-ping",
    "jq",
    "linux-image-cloud-amd64",
    "locales",
    "lz4",  # the initramfs' compression
    "nftables",
    "openssh-server",
    "procps",
    "qemu-guest-agent",
    "restic",
    "sudo",
    "systemd-sysv",
    "systemd-timesyncd",
    "udev",
    "unattended-upgrades",
    "wireguard-tools",
)

#: Housekeeping for machines that are administered by hand, and profiles of programs that are not there (Docker loads
#: its own): half a minute of a boot under emulation.
MASKED = (
    "apparmor.service",
    "apt-daily-upgrade.timer",
    "apt-daily.timer",
    "cloud-config.service",  # the stage of modules that no user data of ours asks for
    "cloud-init-hotplugd.socket",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "getty@tty1.service",
    "systemd-pstore.service",
    "unattended-upgrades.service",  # waits for a shutdown; ours reboots after the upgrades
)
ENABLED = ("fjord-edge-tuning.service", "fjord-edge-upgrades.timer", r"srv-fjord\x2dedge.mount")

HERE = Path(__file__).parent


def node_image() -> Path:
    """Return the cached `node.qcow2`, beside it its `node.qcow2.sha256`; the first call builds them, in 3 minutes.

    Raises:
        LabError: a package was not to be had, or the disk could not be written.
    """
    key = fingerprint(SUITE, *PACKAGES, *_hooks(Path("rootfs.tar")), HERE / "rootfs", HERE / "write-disk")
    return built(CACHE / f"node-{key}", _build) / "node.qcow2"


def _build(folder: Path) -> None:
    folder.mkdir(parents=True)
    tarball, disk, image = folder / "root.tar", folder / "disk.raw", folder / "node.qcow2"
    with step("install the node's packages"), tempfile.NamedTemporaryFile(suffix=".tar") as files:
        debian.pack(HERE / "rootfs", Path(files.name))
        debian.bootstrap(
            tarball, suite=SUITE, packages=PACKAGES, options=_hooks(Path(files.name)), log="node-image-packages"
        )
    with step("write the node's disk"):
        _run("unshare", "--mount", HERE / "write-disk", tarball, disk)
        _run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", disk, image)
    digest = _sha256(image)
    (folder / "node.qcow2.sha256").write_text(f"{digest}  node.qcow2\n")
    tarball.unlink()
    disk.unlink()


def _hooks(files: Path) -> list[str]:
    def in_node(*command: str) -> str:
        return f'--customize-hook=chroot "$1" {shlex.join(command)}'

    return [
        # Before the kernel is installed, since its installation makes the initramfs.
        f"--essential-hook=tar-in {files} /",
        in_node("systemctl", "--quiet", "mask", *MASKED),
        in_node("systemctl", "--quiet", "enable", *ENABLED),
        # Debian's own archive, wherever this build's packages came from.
        in_node("mv", "/etc/apt/sources.list.debian", "/etc/apt/sources.list"),
        # What one machine must not share with another.
        in_node(
            "sh",
            "-c",
            "rm -f /etc/ssh/ssh_host_* /etc/hostname /etc/resolv.conf /var/lib/dbus/machine-id; : >/etc/machine-id",
        ),
    ]


def _run(*command: str | Path) -> None:
    run(command, log="node-image-disk", remedy="Make room in the cache, or look at that log.")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


if __name__ == "__main__":
    print(node_image())
