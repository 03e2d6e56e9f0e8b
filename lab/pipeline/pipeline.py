"""Broker, collector and database as processes of this machine: each in its image's root folder, all in one network.

The network has a loopback and nothing else. Everything lives in a PID namespace whose first process dies with this one:
nothing is left but the folder, and that is the caller's.
"""

import base64
import contextlib
import json
import math
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple, Self

from components._files import DATA
from components._influxdb import INFLUXDB_PORT
from components.iot_stack.containers import MQTT_PORT
from components.iot_stack.telegraf import DATABASE
from lab.console import LabError
from lab.paths import CHECKOUT
from lab.pipeline.generator import RECORD, Result, Settings
from lab.pipeline.site import SUBSCRIBER, Kind, Site, site
from lab.services.images import images

START_SECONDS = 30.0

#: When nothing more was stored for so long, it is worth to look what is there.
SETTLED_SECONDS = 1.0
_HOLD = "ip link set lo up && echo ready && exec sleep infinity"
_LISTENS, _ESTABLISHED = "0A", "01"

#: A reading: its sensor's name, and its value, which is its own time.
Reading = tuple[str, int]
Readings = set[Reading]


class Acknowledged(NamedTuple):
    """A reading that the broker has acknowledged, and when it was sent and acknowledged (monotonic, s)."""

    reading: Reading
    sent: float
    at: float


class Load:
    """A generator whose sensors are connected."""

    def __init__(self, process: "subprocess.Popen[str]", log: Path, sensors: list[str]) -> None:
        self._process, self._log, self._sensors = process, log, sensors
        assert process.stdout is not None  # noqa: S101
        if process.stdout.readline() != "ready\n":
            raise LabError("The generator did not connect", "See its error above.")

    def begin(self) -> None:
        """Let it publish."""
        assert self._process.stdin is not None  # noqa: S101
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def acknowledged(self) -> Readings:
        """What the broker has acknowledged until now."""
        return {each.reading for each in self.log()}

    def log(self) -> Iterator[Acknowledged]:
        """The same, each with its moments."""
        written = self._log.read_bytes()
        whole = written[: len(written) // RECORD.size * RECORD.size]
        for index, value, sent, at in RECORD.iter_unpack(whole):
            yield Acknowledged((self._sensors[index], value), sent, at)

    def result(self) -> Result:
        """What it did, once it has ended."""
        assert self._process.stdout is not None  # noqa: S101
        told = self._process.stdout.read()
        if self._process.wait() != 0:
            raise LabError("The generator failed", "See its error above.")
        return Result(**json.loads(told))


class Pipeline:
    """The programs of a site, of ours or of the seed's; `with` starts and ends them."""

    def __init__(
        self, kind: Kind, folder: Path, sensors: int = 20, *, disk_mib: int | None = None, farm: Site | None = None
    ) -> None:
        """Prepare it; with `disk_mib` all data lies on a file system of this size, which `fill` fills.

        With a `farm` it is this one, and no made-up site of so many sensors.
        """
        self.kind, self.site = kind, farm or site(kind, sensors)
        self._folder, self._disk_mib = folder, disk_mib
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._loads = 0
        #: When programs were killed last (monotonic, s).
        self.killed = math.inf
        self._holder: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        try:
            built = images()
            for name, program in self.site.programs.items():
                self._unpack(name, built[program.image or name])
            self._hold()
            if self._disk_mib:
                self._make_disk(self._disk_mib)
            for name, program in self.site.programs.items():
                if program.at_once:
                    self.start(name)
            self._wait(lambda: self._connections(_ESTABLISHED, MQTT_PORT), "telegraf is not at the broker")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._holder:
            self._holder.kill()
            self._holder.wait()
        for process in self._processes.values():
            process.wait()
        if self._holder and self._holder.stdout:
            self._holder.stdout.close()

    def start(self, name: str) -> None:
        """Start a program; a server is waited for until it listens."""
        program, root = self.site.programs[name], self._folder / name
        path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        with (self._folder / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                [
                    *self._inside("env", "-i", path, *program.environment),
                    *("chroot", f"--userspec={program.user}:{program.user}", str(root)),
                    *program.command,
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        if name == "mosquitto":
            self._wait(lambda: self._connections(_LISTENS, self.site.port), "mosquitto does not listen")
        elif name == "influxdb":
            self._wait(self._database_answers, "influxdb does not answer")
            self._apply_users()

    def kill(self, *names: str) -> None:
        """SIGKILL, as from the kernel when memory is short; of several all at once."""
        pids = [self._pid(name) for name in names]
        self.killed = time.monotonic()
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        for name in names:
            self._processes[name].wait()

    def stop(self, name: str) -> None:
        """SIGTERM, as Docker stops it."""
        os.kill(self._pid(name), signal.SIGTERM)
        self._processes[name].wait()

    def fill(self) -> None:
        """Take all the room that the database has on the disk of the data."""
        user = str(self.site.programs["influxdb"].user)
        as_database = f"setpriv --reuid={user} --regid={user} --clear-groups"
        dd = f"dd if=/dev/zero of={self._ballast.name} oflag=append conv=notrunc"
        # Another user may not walk to the folder.
        lines = [f"cd {self._ballast.parent}", *(f"{as_database} {dd} bs={size} || true" for size in ("1M", "4k"))]
        self.run("sh", "-ec", "\n".join([*lines, f"test -s {self._ballast.name}"]))

    def free(self) -> None:
        """Give the room back."""
        self.run("rm", str(self._ballast))

    def data(self, name: str) -> Path:
        """A program's data, as `run` sees it."""
        return self._folder / name / str(self.site.programs[name].data).lstrip("/")

    def run(self, *words: str, fails: bool = False, stdin: str = "") -> str:
        """Run a command of this machine's where the programs are; what it prints.

        Raises:
            LabError: it fails, and may not.
        """
        done = subprocess.run(self._inside(*words), input=stdin, capture_output=True, text=True, check=False)
        if done.returncode != 0 and not fails:
            raise LabError(f"{words[0]} failed: {done.stderr.strip()}", "See lab/pipeline/pipeline.py.")
        return done.stdout

    def query(self, statement: str, database: str = DATABASE) -> list[dict[str, Any]]:
        """Ask the database; one dictionary a row, series tags included.

        Raises:
            LabError: it refused.
        """
        url = f"http://127.0.0.1:{INFLUXDB_PORT}/query?db={database}&epoch=ms"
        options = [f"url = {json.dumps(url)}", f"data-urlencode = {json.dumps('q=' + statement)}", "get"]
        if self.site.reader:
            options.append(f"user = {json.dumps(':'.join(self.site.reader))}")
        done = subprocess.run(
            self._inside("curl", "--silent", "--show-error", "--config", "-"),
            input="\n".join(options), capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        if done.returncode != 0:
            raise LabError(f"The database did not answer: {done.stderr.strip()}", "See its log.")
        result = json.loads(done.stdout)["results"][0]
        if "error" in result:
            raise LabError(f"InfluxDB refused a query: {result['error']}", "Correct the statement.")
        return [
            dict(zip(series["columns"], row, strict=True)) | series.get("tags", {})
            for series in result.get("series", [])
            for row in series["values"]
        ]

    def stored(self) -> Readings:
        """Every reading that can be queried."""
        measurement, tag = self.site.series
        rows = self.query(f"SELECT value FROM {measurement} GROUP BY {tag}")  # noqa: S608
        return {(row[tag].removeprefix("sensors/").partition("/")[0], int(row["value"])) for row in rows}

    def count(self) -> int:
        """How many readings can be queried."""
        rows = self.query(f"SELECT count(value) FROM {self.site.series[0]}")  # noqa: S608
        return sum(row["count"] for row in rows)

    def _written(self) -> int:
        """How many points the database has written since its start; a count of many takes what the programs need."""
        figures = json.loads(self.run("curl", "--silent", f"http://127.0.0.1:{INFLUXDB_PORT}/debug/vars"))
        shards = [each for name, each in figures.items() if name.startswith("shard:")]
        return sum(each["values"]["writePointsOk"] for each in shards if each["tags"]["database"] == DATABASE)

    def settled(self, quiet: float, limit: float) -> float | None:
        """Wait until nothing was written for `quiet` seconds, at most for `limit`.

        Returns:
            The moment of the last write (monotonic, s); None where there was none.
        """
        begun, last, before = time.monotonic(), None, self._written()
        while (now := time.monotonic()) - (last or begun) < quiet and now - begun < limit:
            time.sleep(0.05)
            if (written := self._written()) != before:
                last, before = time.monotonic(), written
        return last

    def drained(self, wanted: Readings, quiet: float, limit: float) -> Readings:
        """Wait for these readings: what is missing when all are there, or nothing more came for `quiet` seconds."""
        begun = last = time.monotonic()
        while True:
            last = self.settled(SETTLED_SECONDS, limit) or last
            missing, now = wanted - self.stored(), time.monotonic()
            if not missing or now - last > quiet or now - begun > limit:
                return missing

    @contextlib.contextmanager
    def load(
        self,
        sensors: slice,
        *,
        rate: float,
        seconds: float,
        tick: float = 0.01,
        measure: bool = False,
        first: int | None = None,
        step: int = 1,
    ) -> Iterator[Load]:
        """Connect these of the site's sensors, to publish from `Load.begin` on; they end with the block.

        The first reading of each is of now, or of another time, and each of its next so many ms later.
        """
        everyone = [item for item in self.site.passwords.items() if item[0] != SUBSCRIBER]
        chosen = everyone[sensors]
        self._loads += 1
        log = self._folder / f"load-{self._loads}.log"
        settings = Settings(
            port=self.site.port,
            authority=self.site.authority,
            sensors=chosen,
            rate=rate,
            seconds=seconds,
            log=str(log),
            tick=tick,
            first=first,
            step=step,
            measure=measure,
            subscriber=self.site.passwords[SUBSCRIBER],
        )
        process = self._python("lab.pipeline.generator", asdict(settings))
        try:
            yield Load(process, log, [name for name, _ in chosen])
        finally:
            self._end(process)

    @contextlib.contextmanager
    def probe(self, seconds: float) -> Iterator["subprocess.Popen[str]"]:
        """Look for new readings all the time; each is a line, see `lab.pipeline.probe`."""
        headers = {}
        if self.site.reader:
            headers["Authorization"] = f"Basic {base64.b64encode(':'.join(self.site.reader).encode()).decode()}"
        wanted = {
            "measurement": self.site.series[0],
            "database": DATABASE,
            "headers": headers,
            "after": time.time_ns() // 1_000_000,
            "seconds": seconds,
        }
        process = self._python("lab.pipeline.probe", wanted)
        try:
            yield process
        finally:
            self._end(process)

    @contextlib.contextmanager
    def beside(self, module: str, settings: Mapping[str, Any]) -> Iterator[None]:
        """Run a module of ours where the programs are, until the block ends; it reads a line of JSON."""
        process = self._python(module, settings)
        try:
            yield
        finally:
            self._end(process)

    @property
    def network(self) -> int:
        """A process in the programs' network."""
        return self._first()

    def memory_mib(self) -> Mapping[str, float]:
        """The most memory that each program has had resident."""
        found = {}
        for name in self.site.programs:
            lines = Path(f"/proc/{self._pid(name)}/status").read_text().splitlines()
            [peak] = [line.split()[1] for line in lines if line.startswith("VmHWM:")]
            found[name] = int(peak) / 1024
        return found

    def cpu_seconds(self) -> Mapping[str, float]:
        """The processor time of each program since its start."""
        ticks = os.sysconf("SC_CLK_TCK")
        found = {}
        for name in self.site.programs:
            words = Path(f"/proc/{self._pid(name)}/stat").read_text().rpartition(")")[2].split()
            found[name] = (int(words[11]) + int(words[12])) / ticks
        return found

    def _unpack(self, name: str, image: Path) -> None:
        root = self._folder / name
        root.mkdir(parents=True)

        def blob(digest: str) -> Path:
            return image / "blobs" / digest.replace(":", "/")

        [entry] = json.loads((image / "index.json").read_text())["manifests"]
        for layer in json.loads(blob(entry["digest"]).read_text())["layers"]:
            with tarfile.open(blob(layer["digest"])) as tarball:
                tarball.extractall(root, filter="tar")
        program = self.site.programs[name]
        (root / "etc" / "hosts").write_text("127.0.0.1 localhost mosquitto influxdb\n")
        for path, text in program.files.items():
            file = root / path.lstrip("/")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
            file.chmod(0o400)
            os.chown(file, program.user, program.user)
        if program.data:
            data = root / program.data.lstrip("/")
            data.mkdir(parents=True, exist_ok=True)
            shutil.chown(data, program.user, program.user)
        self._folder.chmod(0o711)

    def _hold(self) -> None:
        """Make the namespaces, with a first process that ends when this one does."""
        self._holder = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "unshare", "--net", "--pid", "--mount", "--fork", "--kill-child",
             "sh", "-c", _HOLD],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self._holder.stdout is not None  # noqa: S101
        if self._holder.stdout.readline() != "ready\n":
            raise LabError("The machine refuses new namespaces", "Run as root, in a virtual machine.")

    @property
    def _ballast(self) -> Path:
        return self._folder / "disk" / "influxdb" / "ballast"

    def _make_disk(self, mib: int) -> None:
        """Mount a file system of its own for the data, in the programs' namespace alone."""
        image, disk = self._folder / "disk.ext4", self._folder / "disk"
        disk.mkdir()
        with image.open("wb") as file:
            file.truncate(mib * 2**20)
        self.run("mkfs.ext4", "-q", str(image))
        self.run("mount", "-o", "loop", str(image), str(disk))
        self.run("sh", "-c", self.site.reserve.replace(DATA, str(disk)))
        for name, program in self.site.programs.items():
            if program.data:
                owner = str(program.user)
                self.run("install", "--directory", f"--owner={owner}", f"--group={owner}", str(disk / name))
                self.run("mount", "--bind", str(disk / name), str(self.data(name)))

    def _inside(self, *words: str) -> list[str]:
        return ["nsenter", "--net", "--pid", "--mount", f"--wd={CHECKOUT}", f"--target={self._first()}", "--", *words]

    def _first(self) -> int:
        assert self._holder is not None  # noqa: S101
        return _child(self._holder.pid)

    def _pid(self, name: str) -> int:
        return _child(self._processes[name].pid)

    def _python(self, module: str, settings: Mapping[str, Any]) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            self._inside(sys.executable, "-m", module),
            cwd=CHECKOUT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert process.stdin is not None  # noqa: S101
        process.stdin.write(json.dumps(settings) + "\n")
        process.stdin.flush()
        return process

    def _end(self, process: "subprocess.Popen[str]") -> None:
        with contextlib.suppress(LabError, ProcessLookupError):  # it has just ended by itself
            if process.poll() is None:
                os.kill(_child(process.pid, wait=0.0), signal.SIGKILL)
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe:
                pipe.close()

    def _apply_users(self) -> None:
        if not self.site.users:
            self.query(f"CREATE DATABASE {DATABASE}")
            return
        program, wanted = self.site.users
        script, settings = self._folder / "influxdb-users.py", self._folder / "influxdb-users.json"
        script.write_text(program.contents)
        settings.touch(mode=0o600)
        settings.write_text(wanted.contents)
        done = subprocess.run(
            self._inside(sys.executable, str(script), str(settings)), capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise LabError(f"The database's users were not made: {done.stderr.strip()}", "See its log.")

    def _database_answers(self) -> bool:
        words = self._inside("curl", "--silent", "--fail", f"http://127.0.0.1:{INFLUXDB_PORT}/ping")
        return subprocess.run(words, capture_output=True, check=False).returncode == 0

    def _connections(self, state: str, port: int) -> bool:
        """Whether a socket of the network has this port, in this state."""
        for table in ("tcp", "tcp6"):
            for line in Path(f"/proc/{self._first()}/net/{table}").read_text().splitlines()[1:]:
                words = line.split()
                if words[3] == state and int(words[1].rpartition(":")[2], 16) == port:
                    return True
        return False

    def _wait(self, holds: Callable[[], bool], problem: str) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not holds():
            if time.monotonic() > deadline:
                logs = " ".join(shlex.quote(str(self._folder / f"{name}.log")) for name in self._processes)
                raise LabError(f"After {START_SECONDS:.0f} s {problem}", f"See {logs}.")
            time.sleep(0.02)


def _child(pid: int, wait: float = START_SECONDS) -> int:
    """The one child of `unshare` or `nsenter`."""
    deadline = time.monotonic() + wait
    while True:
        if children := Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            return int(children[0])
        if time.monotonic() > deadline:
            break
        time.sleep(0.005)
    raise LabError(f"Process {pid} has started nothing", "Look at the machine's memory and processes.")
