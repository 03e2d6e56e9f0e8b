"""What somebody changed by hand at a site, and all sites side by side."""

import json
from typing import Any

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
