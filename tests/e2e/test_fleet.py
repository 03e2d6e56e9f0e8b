"""What somebody changed by hand at a site, and all sites side by side."""

import json
import subprocess
from pathlib import Path
from typing import Any

from lab.paths import CHECKOUT
from lab.sensors import on_node
from lab.stacks import Stack

SYSCTL = "net.core.netdev_max_backlog"


def drift(oslo: Stack) -> tuple[int, dict[str, Any]]:
    done = oslo.shell(f"bin/edge drift oslo --json --config-file {oslo.config_file}")
    assert done.stdout, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return done.returncode, found


def test_drift_names_what_was_changed_by_hand_and_nothing_once_it_is_put_right(oslo: Stack) -> None:
    on_node(oslo, f"docker stop telegraf-mesh && sudo sysctl --quiet {SYSCTL}=1234")
    try:
        status, found = drift(oslo)
    finally:
        on_node(oslo, "docker start telegraf-mesh && sudo /usr/local/lib/fjord-edge/tuning")
    assert status == 1
    assert found["unseen"] == []
    assert {change["what"] for change in found["drift"]} == {"container telegraf-mesh", f"sysctls {SYSCTL}"}
    [sysctl] = [change for change in found["drift"] if change["what"] == f"sysctls {SYSCTL}"]
    assert (sysctl["asked"], sysctl["found"]) == ("5000", "1234")
    assert drift(oslo) == (0, {**found, "drift": []})


def test_all_sites_are_shown_side_by_side_those_that_are_not_deployed_too(oslo: Stack) -> None:
    everywhere = oslo.config_file.with_name("Pulumi.<site>.yaml")
    done = oslo.shell(f"bin/edge status --json --config-file '{everywhere}'")
    rows = {row["site"]: row for row in json.loads(done.stdout)}
    assert {"hq", "oslo", "bergen", "tromso"} <= rows.keys()
    assert {name for name, row in rows.items() if row["answers"]} == {"hq", "oslo"}
    assert rows["oslo"]["tunnel"].startswith("up, last handshake ")
    assert rows["oslo"]["containers"]["running"] == rows["oslo"]["containers"]["all"]
    assert "there is no such stack file" in rows["bergen"]["problems"][0]
    assert done.returncode == 1


def last_update(stack: Stack) -> tuple[str, dict[str, int]]:
    """When it began, and what it did to how many resources."""
    done = stack.shell(f"pulumi stack history --json --page-size 1 --stack {stack.name}")
    [update] = json.loads(done.stdout)
    return update["startTime"], update["resourceChanges"]


def test_a_rollout_deploys_what_a_commit_touches_in_its_order_each_with_its_own_passphrase(
    hq: Stack, oslo: Stack, copy: Path
) -> None:
    """Oslo goes to another ring, in a repository of its own: headquarters is touched too, and no resource is."""
    (copy / "policy" / ".venv").symlink_to(CHECKOUT / "policy" / ".venv")
    identity = ["-c", "user.name=lab", "-c", "user.email=lab@example.com"]
    for words in (["init", "--quiet"], ["add", "--all"], [*identity, "commit", "--quiet", "--message", "deployed"]):
        subprocess.run(["git", *words], cwd=copy, check=True)
    with (copy / "config" / "mesh" / "oslo.yaml").open("a") as entry:
        entry.write("ring: 2\n")
    before = [last_update(stack)[0] for stack in (hq, oslo)]
    everywhere = oslo.config_file.with_name("Pulumi.<site>.yaml")
    passphrases = {"PULUMI_CONFIG_PASSPHRASE_FILE": str(oslo.config_file.with_name("passphrase-<site>"))}
    done = oslo.shell(
        f"bin/edge rollout --base HEAD --config-file '{everywhere}'", folder=copy, environment=passphrases
    )
    assert done.returncode == 0, done.stdout + done.stderr
    told = [line for line in done.stdout.splitlines() if " deployed in " not in line]
    assert told == [
        "step 1 of 2, headquarters: hq",
        "hq: pulumi up",
        "hq: well",
        "step 2 of 2, ring 2: oslo",
        "oslo: pulumi up",
        "oslo: well",
        "all is deployed and well",
    ]
    after = [last_update(stack) for stack in (hq, oslo)]
    assert all(began > former for (began, _), former in zip(after, before, strict=True))
    assert [set(changes) for _, changes in after] == [{"same"}, {"same"}]
