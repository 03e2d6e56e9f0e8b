"""Pulumi's engine with its plugins, and the services that are built from source, ready to run."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lab.paths import CACHE
from lab.toolchain import makers, source
from lab.toolchain.versions import ENGINE, PLUGINS, plugin_executable

Origin = Literal["machine", "makers", "built"]


@dataclass(frozen=True)
class Toolchain:
    """An engine, a language host and the plugins, all of the versions in requirements.txt."""

    #: Installed on this machine, downloaded from its makers, or built from source.
    origin: Origin
    #: Folders of executables, for PATH; the first holds `pulumi`.
    path: tuple[Path, ...]
    #: Plugins as Pulumi lays them out.
    plugins: Path

    @property
    def pulumi(self) -> Path:
        """The engine's executable."""
        return self.path[0] / "pulumi"

    def environment(self, home: Path) -> dict[str, str]:
        """Return what to add to the environment of `pulumi`, and make `home` its home with these plugins in it.

        Backend, passphrase and the project are the caller's.
        """
        home.mkdir(parents=True, exist_ok=True)
        link = home / "plugins"
        link.unlink(missing_ok=True)
        link.symlink_to(self.plugins)
        folders = [str(folder) for folder in (*self.path, Path(sys.prefix) / "bin")]
        return {
            "PATH": os.pathsep.join([*folders, os.environ.get("PATH", os.defpath)]),
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
            "PULUMI_HOME": str(home),
            "PULUMI_SKIP_UPDATE_CHECK": "true",
        }


def ensure() -> Toolchain:
    """Return the machine's own toolchain if it is whole and of these versions, else its makers', else a built one.

    Raises:
        LabError: a part could neither be had nor be built.
    """
    installed = on_machine()
    if installed is not None:
        return installed
    downloaded = makers.download()
    if downloaded is not None:
        return Toolchain("makers", (downloaded / "pulumi",), downloaded / "plugins")
    return Toolchain("built", (source.engine(),), source.plugins())


def on_machine() -> Toolchain | None:
    """Return the toolchain that this machine has installed, or None when a part is missing or of another version."""
    pulumi = shutil.which("pulumi")
    host = shutil.which("pulumi-language-python")
    if pulumi is None or host is None or Path(pulumi).is_relative_to(CACHE):
        return None
    version = subprocess.run([pulumi, "version"], capture_output=True, text=True, check=False).stdout.strip()
    plugins = Path(os.environ.get("PULUMI_HOME") or Path.home() / ".pulumi") / "plugins"
    if version != f"v{ENGINE}" or not all((plugins / plugin_executable(name)).exists() for name in PLUGINS):
        return None
    return Toolchain("machine", (Path(pulumi).parent, Path(host).parent), plugins)


def services() -> dict[str, Path]:
    """Return the executables `influxd`, `influx` and `telegraf`, built where they are not yet."""
    return source.influxdb() | {"telegraf": source.telegraf()}
