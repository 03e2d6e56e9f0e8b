"""What is in the services' images, and where they are in the cache."""

import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from components._own import FOLDER
from lab import toolchain
from lab.cache import built, fingerprint
from lab.console import run, step
from lab.debian import bootstrap
from lab.paths import CACHE, CHECKOUT
from lab.services import oci

#: The first Debian with Mosquitto 2.1.
SUITE = "sid"

MOSQUITTO_PACKAGES = (
    "mosquitto",
    "mosquitto-clients",
    "systemd-standalone-sysusers",  # in place of all of systemd
)
#: Below InfluxDB and Telegraf, whose official images have curl as well. Public authorities are not there: the lab has
#: no way out.
CURL_PACKAGES = ("curl",)

#: Below our own programs, as in services/Dockerfile.
PYTHON_SUITE, PYTHON_PACKAGES = "trixie", ("python3", "curl")

#: Debian's plugins where the official image has them.
_PLUGINS = ("acl_file", "dynamic_security", "password_file", "persist_sqlite", "sparkplug_aware")
MOSQUITTO_LINKS = {
    f"usr/lib/mosquitto_{name}.so": f"x86_64-linux-gnu/mosquitto/mosquitto_{name}.so" for name in _PLUGINS
}

UNUSED = ("etc/init.d", "usr/lib/systemd", "usr/lib/x86_64-linux-gnu/gconv", "usr/share", "var/cache", "var/lib")

#: Our own programs, and the lock of what they need.
SERVICES, LOCK = CHECKOUT / "services", "requirements.txt"

_RECIPE = (Path(__file__), Path(oci.__file__))


def images() -> dict[str, Path]:
    """Return each service's image, a folder in OCI layout; the first call builds them, in half a minute."""
    curl = _packages_layer("curl", CURL_PACKAGES, {})
    executables = toolchain.services()
    return {
        "mosquitto": _image("mosquitto", [_packages_layer("mosquitto", MOSQUITTO_PACKAGES, MOSQUITTO_LINKS)]),
        "influxdb": _image("influxd", [curl, _executable_layer(executables["influxd"])]),
        "services": _image(
            "python3", [_packages_layer("python", PYTHON_PACKAGES, {}, PYTHON_SUITE), _programs_layer()]
        ),
        "telegraf": _image("telegraf", [curl, _executable_layer(executables["telegraf"])]),
    }


def _image(command: str, layers: Sequence[Path]) -> Path:
    key = fingerprint(command, *(layer.name for layer in layers), *_RECIPE)
    return built(CACHE / f"image-{command}-{key}", lambda folder: oci.write_layout(folder, layers, [command]))


def _packages_layer(name: str, packages: Sequence[str], links: Mapping[str, str], suite: str = SUITE) -> Path:
    target = CACHE / f"layer-{name}-{fingerprint(suite, *packages, *_RECIPE)}.tar"

    def build(partial: Path) -> None:
        with step(f"install the packages of the {name} image"), tempfile.TemporaryDirectory() as folder:
            tarball = Path(folder) / "packages.tar"
            # Unpacked, not configured: neither a package manager nor a shell is needed in there.
            bootstrap(
                tarball,
                suite=suite,
                packages=packages,
                variant="extract",
                options=[
                    "--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr",
                    # The links from a library's ABI name to its file, which some packages leave to ldconfig.
                    '--extract-hook=ldconfig -N -r "$1" /usr/lib/x86_64-linux-gnu',
                ],
                log=f"image-{name}",
            )
            oci.normalise(tarball, partial, keep=_is_used, links=links)

    return built(target, build)


def _executable_layer(executable: Path) -> Path:
    target = CACHE / f"layer-{executable.name}-{fingerprint(executable, *_RECIPE)}.tar"
    return built(target, lambda partial: oci.executable_layer(executable, f"usr/bin/{executable.name}", partial))


def _programs_layer() -> Path:
    """Our programs, and what they need from PyPI by the lock in services/requirements.txt."""
    sources = sorted(path for path in SERVICES.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    target = CACHE / f"layer-services-{fingerprint(*sources, *_RECIPE)}.tar"

    def build(partial: Path) -> None:
        with step("install the packages of our own image"), tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes"]
            run(
                [*pip, "--only-binary=:all:", "--no-compile", "--target", folder, "--requirement", SERVICES / LOCK],
                log="image-services",
                remedy="Check that PyPI can be reached.",
            )
            shutil.rmtree(folder / "bin", ignore_errors=True)
            shutil.copytree(SERVICES, folder / "services", ignore=shutil.ignore_patterns("__pycache__"))
            oci.folder_layer(folder, FOLDER.lstrip("/"), partial)

    return built(target, build)


def _is_used(path: str) -> bool:
    return not any(path == folder or path.startswith(f"{folder}/") for folder in UNUSED)
