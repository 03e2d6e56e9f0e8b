"""What is built on this machine from Go modules, each pinned in a folder of its own below `modules`."""

import shutil
import sys
from pathlib import Path

from lab import golang
from lab.cache import built, fingerprint
from lab.paths import CACHE
from lab.toolchain.versions import ENGINE, PLUGINS, plugin_executable

MODULES = Path(__file__).parent / "modules"

LANGUAGE_HOST = Path(__file__).with_name("language_host.py")

#: Pulumi's SDK, in which the two scripts below have their source.
SDK = "github.com/pulumi/pulumi/sdk/v3"
SCRIPTS = ("python/cmd/pulumi-language-python-exec", "python/dist/pulumi-resource-pulumi-python")

#: In this order: what one compiles, the next need not.
PLUGIN_SOURCES = {
    "command": "the lab's own stand-in; half a minute",
    "libvirt": "the Terraform provider behind Pulumi's bridge; a minute",
    "docker": "the Terraform provider behind Pulumi's bridge; four minutes",
}

#: As required by the modules.
INFLUXDB = "1.8.10"
TELEGRAF = "1.39.1"

_REPLY = """\
	resp, err := l.getResponse(c)
{}	if err != nil {{
		return resp, err
	}}

	if out != nil {{
"""
_PACKETS_BEFORE_IT = """\
	ended := false
	for err == nil && resp.Status == socket.StatusContinue {
		if len(resp.Payload) == 0 {
			ended = true
		} else if in != nil {
			if _, err = in.Write(resp.Payload); err != nil {
				break
			}
		}
		resp, err = l.getResponse(c)
	}
	if err == nil && ended {
		return resp, nil
	}
"""

PLUGIN_PATCHES = {
    # libvirtd may send a download's first packets before the reply to the call. go-libvirt takes the first one for the
    # reply and the reply for the end: the file is empty, or the connection stands still (ADR 9). Not mended in 2026-10.
    "libvirt": [
        golang.Patch(
            module="github.com/digitalocean/go-libvirt",
            file="rpc.go",
            old=_REPLY.format(""),
            new=_REPLY.format(_PACKETS_BEFORE_IT),
        )
    ],
}

TELEGRAF_PLUGINS = (
    "inputs.cpu",
    "inputs.disk",
    "inputs.file",
    "inputs.internal",
    "inputs.mem",
    "inputs.mqtt_consumer",
    "inputs.wireguard",
    "outputs.file",
    "outputs.health",
    "outputs.influxdb",
    "processors.lookup",
    "processors.regex",
    "processors.rename",
    "processors.starlark",
    "aggregators.final",
    "parsers.influx",
    "parsers.json",
    "parsers.json_v2",
    "parsers.value",
    "serializers.influx",
)


def engine() -> Path:
    """Build Pulumi's engine, with what it wants beside it, and return their folder.

    The language host runs with the Python that runs now: it needs Pulumi's SDK.
    """
    pulumi = golang.build(
        MODULES / "pulumi",
        name="pulumi",
        package="github.com/pulumi/pulumi/pkg/v3/cmd/pulumi",
        variables={f"{SDK}/go/common/version.Version": f"v{ENGINE}"},
        why="Pulumi's engine, from its own source; four minutes",
    )

    def assemble(folder: Path) -> None:
        folder.mkdir()
        (folder / "pulumi").hardlink_to(pulumi)
        host = folder / "pulumi-language-python"
        host.write_text(f"#!{sys.executable}\n{LANGUAGE_HOST.read_text()}")
        host.chmod(0o755)
        sdk = golang.module_folder(MODULES / "pulumi", SDK)
        for script in SCRIPTS:
            copy = folder / Path(script).name
            shutil.copyfile(sdk / script, copy)
            copy.chmod(0o755)

    key = fingerprint(str(pulumi), sys.executable, LANGUAGE_HOST, *SCRIPTS)
    return built(CACHE / "toolchain" / f"engine-{key}", assemble)


def plugins() -> Path:
    """Build the plugins and return the folder that holds them as Pulumi wants it."""
    executables = {
        name: golang.build(
            MODULES / name,
            name=f"pulumi-resource-{name}",
            variables={"main.version": PLUGINS[name]},
            patches=PLUGIN_PATCHES.get(name, ()),
            why=why,
        )
        for name, why in PLUGIN_SOURCES.items()
    }

    def assemble(folder: Path) -> None:
        for name, executable in executables.items():
            place = folder / plugin_executable(name)
            place.parent.mkdir(parents=True)
            place.symlink_to(executable)

    key = fingerprint(*[str(executable) for executable in executables.values()])
    return built(CACHE / "toolchain" / f"plugins-{key}", assemble)


def influxdb() -> dict[str, Path]:
    """Build InfluxDB's server and shell."""
    return {
        name: golang.build(
            MODULES / "influxd",
            name=name,
            package=f"github.com/influxdata/influxdb/cmd/{name}",
            variables={"main.version": INFLUXDB},
            why="InfluxDB, from its own source; a minute",
        )
        for name in ("influxd", "influx")
    }


def telegraf() -> Path:
    """Build Telegraf with the plugins that a site or a test uses."""
    return golang.build(
        MODULES / "telegraf",
        name="telegraf",
        package="github.com/influxdata/telegraf/cmd/telegraf",
        tags=("custom", *TELEGRAF_PLUGINS),
        variables={"github.com/influxdata/telegraf/internal.Version": TELEGRAF},
        why="Telegraf, from its own source, with the plugins used here; a minute",
    )


def actionlint() -> Path:
    """Build the judge of the CI files."""
    return golang.build(
        MODULES / "actionlint",
        name="actionlint",
        package="github.com/rhysd/actionlint/cmd/actionlint",
        why="the judge of the CI files, from its own source; half a minute",
    )


def gofakes3() -> Path:
    """Build a server of buckets, before which the engine keeps a state as in S3."""
    return golang.build(
        MODULES / "gofakes3",
        name="gofakes3",
        package="github.com/johannesboyne/gofakes3/cmd/gofakes3",
        why="a server that speaks S3's protocol, from its own source; half a minute",
    )
