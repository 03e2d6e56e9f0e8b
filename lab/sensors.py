"""Readings as sensors would publish them, and as the database in the guest answers them."""

import contextlib
import json
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from typing import IO, Any

from components._influxdb import ADMIN, INFLUXDB_PORT
from components._services import LOOPBACK
from components.iot_stack.containers import MQTT_TLS_PORT
from components.iot_stack.telegraf import DATABASE, MEASUREMENT
from components.summary_store import database
from config import derive
from config.loader import REGISTRY
from config.registry import load_registry
from lab import hypervisor
from lab.console import LabError
from lab.paths import STATE
from lab.stacks import Stack

_CLIENTS = STATE / "clients"


@dataclass(frozen=True)
class Reading:
    """One measured value; `time` is epoch milliseconds."""

    sensor: str
    quantity: str
    value: float
    time: int

    @property
    def topic(self) -> str:
        """Where it is published."""
        return f"sensors/{self.sensor}/{self.quantity}"

    @property
    def payload(self) -> str:
        """What is published."""
        return json.dumps({"value": self.value, "time": self.time})


def now_ms() -> int:
    """The time as readings carry it."""
    return time.time_ns() // 1_000_000


def publish(stack: Stack, *readings: Reading) -> None:
    """Publish over TLS with QoS 1, each as its own sensor; returns when the broker has acknowledged all.

    Raises:
        LabError: the broker refused one.
    """
    for reading in readings:
        done = mosquitto_pub(stack, reading.sensor, reading.topic, reading.payload)
        if done.returncode != 0:
            raise LabError(
                f"The broker refused {reading}: {done.stderr.strip()}", "Look at its log: docker logs mosquitto."
            )


def mosquitto_pub(
    stack: Stack,
    sensor: str | None,
    topic: str,
    payload: str | None,
    *words: str,
    stdin: str = "",
    address: IPv4Address | None = None,
    limit_seconds: int = 60,
) -> "subprocess.CompletedProcess[str]":
    """Run the standard client as a sensor, or as nobody; its password is in its own config file, on no command line.

    It publishes to the node's own address, or to another of its addresses; `words` are further ones of the client's,
    with `-l` each line of `stdin` is a message. One that has not ended within the limit is ended.
    """
    command = _client(stack, sensor, topic, address, limit_seconds)
    return subprocess.run(
        [*command, *(["-m", payload] if payload is not None else []), *words],
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
    )


@contextlib.contextmanager
def connected(stack: Stack, sensor: str, topic: str, limit_seconds: int) -> Iterator[IO[str]]:
    """The same client, which publishes each line that is written to it while its connection stays."""
    command = [*_client(stack, sensor, topic, None, limit_seconds), "-l"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, text=True, bufsize=1) as client:
        assert client.stdin is not None  # noqa: S101
        yield client.stdin


def _client(stack: Stack, sensor: str | None, topic: str, address: IPv4Address | None, limit_seconds: int) -> list[str]:
    host = str(address or stack.site.node.network.address.ip)
    config = f"XDG_CONFIG_HOME={_client_config(stack, sensor)}"
    words = ["mosquitto_pub", "-h", host, "-p", str(MQTT_TLS_PORT), "-q", "1", "-t", topic]
    return hypervisor.operator_command(["timeout", str(limit_seconds), "env", config, *words])


def _client_config(stack: Stack, sensor: str | None) -> Path:
    folder = _CLIENTS / stack.name / (sensor or "-")
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    authority = folder / "ca.crt"
    authority.write_text(stack.outputs["certificateAuthority"])
    words = [f"--cafile {authority}"]
    if sensor:
        user = derive.mqtt_user(stack.seed, stack.name, sensor, stack.site.epochs.passwords)
        words += [f"-u {user.name}", f"-P {user.password}"]
    options = folder / "mosquitto_pub"
    options.touch(mode=0o600)
    options.write_text("\n".join(words) + "\n")
    return folder


def query(stack: Stack, statement: str) -> list[dict[str, Any]]:
    """Ask the database on the node, through SSH; one dictionary a row, series tags included, times in epoch ms.

    Raises:
        LabError: the node or the database refused.
    """
    password = derive.influxdb_password(stack.seed, stack.name, "reader", stack.site.epochs.passwords)
    return _asked(stack, LOOPBACK, DATABASE, ("reader", password), statement)


def at_headquarters(hq: Stack, site: str, statement: str) -> list[dict[str, Any]]:
    """Ask headquarters' store for what a site has sent, on headquarters' own node; answers as `query` does.

    Raises:
        LabError: the node or the store refused.
    """
    password = derive.influxdb_password(hq.seed, hq.name, ADMIN, hq.site.epochs.passwords)
    address = load_registry(REGISTRY).entries[hq.name].address
    return _asked(hq, address, database(site), (ADMIN, password), statement)


def _asked(
    stack: Stack, address: IPv4Address, database_: str, account: tuple[str, str], statement: str
) -> list[dict[str, Any]]:
    url = f"http://{address}:{INFLUXDB_PORT}/query?db={database_}&epoch=ms"
    user = ":".join(account)
    options = f'user = "{user}"\nurl = "{url}"\ndata-urlencode = {json.dumps("q=" + statement)}\n'
    answer = json.loads(on_node(stack, "curl --fail-with-body --silent --show-error --config -", stdin=options))
    result = answer["results"][0]
    if "error" in result:
        raise LabError(f"InfluxDB refused a query: {result['error']}", "Look at its log: docker logs influxdb.")
    return [
        dict(zip(series["columns"], row, strict=True)) | series.get("tags", {})
        for series in result.get("series", [])
        for row in series["values"]
    ]


def last_readings(stack: Stack) -> list[dict[str, Any]]:
    """The last reading of each sensor and quantity."""
    return query(stack, f"SELECT last(value) AS value FROM {MEASUREMENT} GROUP BY sensor, quantity, pen")  # noqa: S608


def on_node(stack: Stack, command: str, *, stdin: str = "", address: IPv4Address | None = None) -> str:
    """Run a shell command on a stack's node through SSH, by its own or another of its addresses; return its output.

    Raises:
        LabError: it failed.
    """
    done: subprocess.CompletedProcess[str] = subprocess.run(
        login(stack, command, address=address),
        input=stdin,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    if done.returncode != 0:
        problem = (
            f"`{command}` on {stack.name} exited with {done.returncode}: {done.stderr.strip() or done.stdout.strip()}"
        )
        raise LabError(problem, "Run `make up` to bring the node back.")
    return done.stdout


def login(stack: Stack, *words: str, address: IPv4Address | None = None) -> list[str]:
    """Return the command that logs in on a stack's node, or runs a shell command there; its host key is pinned.

    Raises:
        LabError: the hypervisor does not run.
    """
    node = stack.site.node
    host = str(address or node.network.address.ip)
    host_key = derive.ssh_host_key(stack.seed, stack.name, stack.site.node.generation).public
    known_hosts = STATE / f"known_hosts-{stack.name}"
    known_hosts.write_text(f"{host} {host_key}\n")
    ssh: list[str | Path] = [
        "ssh",
        "-F",
        "none",
        "-i",
        hypervisor.CLIENT_KEY,
        "-o",
        f"UserKnownHostsFile={known_hosts}",
    ]
    ssh += ["-o", "StrictHostKeyChecking=yes", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10", f"{node.user}@{host}"]
    return hypervisor.operator_command([*ssh, *words])
