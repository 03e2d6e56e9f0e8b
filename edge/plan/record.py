"""Has a revision's own program run for many sites, by processes of `edge.recorder`."""

import base64
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from pulumi.runtime.proto.resource_pb2 import RegisterResourceRequest

from config import yaml_text
from config.base import ConfigError, Mistake
from config.loader import CHECKOUT
from edge.plan.verdict import Recorded
from edge.recorder.recording import Registered
from edge.site import EdgeError

#: All that a recorder gets of the environment: what is secret here is none of its business.
_ENVIRONMENT = ("HOME", "LANG", "PATH", "TMPDIR")


def record(asked: Sequence[tuple[Path, Sequence[str]]]) -> list[dict[str, Recorded]]:
    """Record sites of several checkouts, as many at once as there are processors.

    Args:
        asked: checkouts, and the sites of each.

    Returns:
        For each checkout, what it says of its sites.

    Raises:
        EdgeError: a recorder failed.
    """
    cores = os.cpu_count() or 1
    with ThreadPoolExecutor(cores) as pool:
        parts = [
            [pool.submit(_record, checkout, sites[core::cores]) for core in range(cores) if sites[core::cores]]
            for checkout, sites in asked
        ]
        return [{site: found for part in each for site, found in part.result().items()} for each in parts]


def _record(checkout: Path, sites: Sequence[str]) -> Mapping[str, Recorded]:
    contents: dict[str, Mapping[str, Any]] = {}
    refused: dict[str, Recorded] = {}
    for site in sites:
        try:
            contents[site] = _config(checkout / f"Pulumi.{site}.yaml")
        except ConfigError as error:
            refused[site] = Recorded(refused=str(error))
    return refused | (_run(checkout, contents) if contents else {})


def _config(path: Path) -> Mapping[str, Any]:
    """What a stack file has below `config`. The engine reads it, not the revision's program: hence here, for each."""
    content = yaml_text.read(path, path.name).content
    config = content.get("config") if isinstance(content, dict) else None
    if not isinstance(config, dict):
        raise ConfigError(Mistake(path.name, "", "", "expected a section `config`; see edge/templates/site.yaml"))
    return config


def _run(checkout: Path, contents: Mapping[str, Mapping[str, Any]]) -> dict[str, Recorded]:
    with tempfile.NamedTemporaryFile("r", suffix=".json") as result:
        done = subprocess.run(
            [sys.executable, "-m", "edge.recorder", str(checkout), result.name],
            cwd=CHECKOUT,
            env={name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
            input=json.dumps(contents),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise EdgeError(f"the recorder of {checkout} failed: {done.stderr.strip()[-2000:]}")
        found = json.load(result)
    return {
        site: Recorded(
            resources=[_registered(request) for request in each.get("requests", ())], refused=each.get("refused", "")
        )
        for site, each in found.items()
    }


def _registered(request: str) -> Registered:
    return Registered.of(RegisterResourceRequest.FromString(base64.b64decode(request)))
