"""Pulumi's own downloads, where this machine can reach them."""

import os
import platform
import subprocess
import tarfile
import urllib.request
from pathlib import Path

from lab.cache import built, fingerprint
from lab.console import say, step
from lab.paths import CACHE
from lab.toolchain.versions import ENGINE, PLUGINS

SITE = "https://get.pulumi.com/releases/sdk/pulumi-v{version}-linux-{machine}.tar.gz"
MACHINES = {"x86_64": "x64", "aarch64": "arm64"}

#: Seconds without an answer after which the site counts as out of reach.
PATIENCE = 5.0

#: Seconds for one plugin.
PLUGIN_PATIENCE = 600.0


def download() -> Path | None:
    """Return a folder with `pulumi/` (the executables) and `plugins/`, or None when the makers are out of reach.

    That they are is remembered in the cache, so that it is asked once only.
    """
    key = fingerprint(ENGINE, *PLUGINS, *PLUGINS.values())
    out_of_reach = CACHE / "toolchain" / f"makers-out-of-reach-{key}"
    if out_of_reach.exists():
        return None
    try:
        return built(CACHE / "toolchain" / f"makers-{key}", _download)
    except (OSError, subprocess.SubprocessError, tarfile.TarError) as error:
        say(f"  Pulumi's own downloads are out of reach ({error}); the same programs are built from their sources")
        out_of_reach.touch()
        return None


def _download(folder: Path) -> None:
    folder.mkdir()
    url = SITE.format(version=ENGINE, machine=MACHINES[platform.machine()])
    with (
        step(f"Asking Pulumi's download site for pulumi {ENGINE}"),
        urllib.request.urlopen(url, timeout=PATIENCE) as response,  # noqa: S310
        tarfile.open(fileobj=response, mode="r|gz") as archive,
    ):
        archive.extractall(folder, filter="data")
    for name, version in PLUGINS.items():
        with step(f"Downloading the {name} plugin {version}"):
            subprocess.run(
                [folder / "pulumi" / "pulumi", "plugin", "install", "resource", name, version],
                env=os.environ | {"PULUMI_HOME": str(folder), "PULUMI_SKIP_UPDATE_CHECK": "1"},
                capture_output=True,
                check=True,
                timeout=PLUGIN_PATIENCE,
            )
