"""The engine's own locks and states, in a folder and in a bucket as S3 has them; it needs the toolchain, and no lab."""

import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit
from urllib.request import urlopen

import pytest
import yaml

from config.loader import PROJECT
from config.registry import load_registry
from lab import toolchain
from lab.paths import CHECKOUT
from lab.toolchain import source
from tests.e2e.waiting import eventually
from tests.sites import entries, section, write_registry

SECRET = "for-nobody-elses-eyes"

#: One output is public, one secret; it waits where a file says so, and the engine holds its lock meanwhile.
PROGRAM = f"""\
import pathlib, time
import pulumi
if pathlib.Path("wait").exists():
    pathlib.Path("begun").touch()
    time.sleep(60)
pulumi.export("hostKey", "public")
pulumi.export("password", pulumi.Output.secret("{SECRET}"))
"""


@dataclass
class Project:
    """A program that makes no resource, under this one's name, with the stack oslo."""

    folder: Path
    environment: Mapping[str, str]

    def typed(self, line: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        """What a shell says to it."""
        return subprocess.run(
            line.split(),
            cwd=self.folder,
            env={**os.environ, **self.environment, **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    def done(self, line: str) -> str:
        """What it prints; it must not fail."""
        done = self.typed(line)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def edge(self, words: str) -> "subprocess.CompletedProcess[str]":
        """The same of the edge command, which is about the stack oslo of this checkout's program."""
        return self.typed(f"{CHECKOUT}/bin/edge {words} --config-file {self.folder / 'Pulumi.edge.yaml'}")

    def killed_in_an_update(self) -> None:
        """Leave a lock, as a machine does that loses its power."""
        (self.folder / "wait").touch()
        update = subprocess.Popen(
            UP.split(),
            cwd=self.folder,
            env={**os.environ, **self.environment},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            assert eventually((self.folder / "begun").exists, seconds=30)
        finally:
            os.killpg(update.pid, signal.SIGKILL)
            update.wait()
            (self.folder / "wait").unlink()


UP = "pulumi up --yes --skip-preview --non-interactive --stack oslo"


def project(folder: Path, backend: str) -> Project:
    folder.mkdir()
    runtime = {"name": "python", "options": {"toolchain": "pip", "virtualenv": str(CHECKOUT / ".venv")}}
    (folder / "Pulumi.yaml").write_text(yaml.safe_dump({"name": PROJECT, "runtime": runtime}))
    (folder / "__main__.py").write_text(PROGRAM)
    content = {"config": {f"{PROJECT}:site": section("oslo")}}
    (folder / "Pulumi.edge.yaml").write_text(yaml.safe_dump(content))
    return Project(
        folder,
        {
            **toolchain.ensure().environment(folder.parent / "home"),
            "AWS_ACCESS_KEY_ID": "any",
            "AWS_SECRET_ACCESS_KEY": "any",
            "PULUMI_BACKEND_URL": backend,
            "PULUMI_CONFIG_PASSPHRASE": "of this test alone",
        },
    )


@pytest.fixture
def bucket() -> Iterator[str]:
    """A bucket's address as a registry file says it, behind a server on this machine."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    words = ["-backend", "memory", "-initialbucket", "states", "-quiet", "-host", f"127.0.0.1:{port}"]
    server = subprocess.Popen([source.gofakes3(), *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        assert eventually(lambda: listens(port), seconds=10)
        yield f"s3://states?region=eu-north-1&endpoint=127.0.0.1:{port}&disableSSL=true&s3ForcePathStyle=true"
    finally:
        server.kill()
        server.wait()


def listens(port: int) -> bool:
    with socket.socket() as connection:
        return connection.connect_ex(("127.0.0.1", port)) == 0


def test_a_state_is_kept_in_a_bucket_and_what_is_secret_in_it_encrypted(bucket: str, tmp_path: Path) -> None:
    (tmp_path / "mesh").mkdir()
    write_registry(tmp_path / "mesh", {**entries(), "oslo": entries()["oslo"] | {"backend": bucket}})
    registered = load_registry(tmp_path / "mesh").entries["oslo"].backend
    assert registered == bucket
    oslo = project(tmp_path / "project", registered)
    oslo.done("pulumi stack init oslo")
    oslo.done(UP)
    # Whoever looks after all sites has not each one's passphrase.
    told = oslo.typed("pulumi stack output --json --stack oslo", PULUMI_CONFIG_PASSPHRASE="")
    assert json.loads(told.stdout) == {"hostKey": "public", "password": "[secret]"}, told.stderr
    server = parse_qs(urlsplit(bucket).query)["endpoint"][0]
    with urlopen(f"http://{server}/states/.pulumi/stacks/{PROJECT}/oslo.json") as answer:
        state = answer.read().decode()
    assert '"hostKey":"public"' in state
    assert SECRET not in state
    assert SECRET in oslo.done("pulumi stack output password --show-secrets --stack oslo")


def test_a_lock_that_was_left_in_a_bucket_is_told_by_the_next_update_and_cleared(bucket: str, tmp_path: Path) -> None:
    oslo = project(tmp_path / "project", bucket)
    oslo.done("pulumi stack init oslo")
    oslo.killed_in_an_update()
    refused = oslo.typed(UP)
    assert refused.returncode != 0
    assert f"@{socket.gethostname()} (pid " in refused.stdout + refused.stderr
    told = oslo.edge("unlock oslo --yes")
    assert (told.returncode, "pulumi cancel --stack oslo" in told.stderr) == (1, True), told.stdout + told.stderr
    oslo.done("pulumi cancel --yes --stack oslo")
    oslo.done(UP)


def test_edge_unlock_clears_the_lock_that_a_killed_update_has_left(tmp_path: Path) -> None:
    (tmp_path / "backend").mkdir()
    oslo = project(tmp_path / "project", f"file://{tmp_path}/backend")
    oslo.done("pulumi stack init oslo")
    oslo.killed_in_an_update()
    assert oslo.typed(UP).returncode != 0
    told = oslo.edge("unlock oslo")
    assert told.returncode == 2
    assert "it has ended and left the lock" in told.stdout
    assert oslo.edge("unlock oslo --yes").returncode == 0
    oslo.done(UP)
    assert oslo.edge("unlock oslo").stdout == "nobody holds the lock of oslo\n"
