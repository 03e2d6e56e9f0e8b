"""Headquarters notices a site that says nothing any more."""

import hashlib
import hmac
import json
import subprocess
import sys
import time
from datetime import date, timedelta
from typing import Any

import pytest

from config import derive
from lab import hypervisor
from lab.sensors import on_node
from lab.stacks import Stack
from tests.e2e.test_alarms import RECEIVER


@pytest.mark.long
def test_a_site_that_says_nothing_is_told_and_told_to_be_back_and_a_certificate_that_ends_is(
    hq: Stack, oslo: Stack
) -> None:
    command = ["timeout", "400", sys.executable, "-c", RECEIVER, str(hypervisor.ADDRESS)]
    with subprocess.Popen(hypervisor.operator_command(command), stdout=subprocess.PIPE, text=True) as receiver:
        assert receiver.stdout
        lines = iter(receiver.stdout.readline, "")
        webhook = f"http://{hypervisor.ADDRESS}:{next(lines).strip()}/headquarters"

        def told(site: str) -> dict[str, Any]:
            """The next that is about a site; the example sites that the lab does not deploy are silent too."""
            content: dict[str, Any] = {}
            while content.get("site") != site:
                signature, body = json.loads(next(lines))
                key = derive.webhook_key(hq.seed, "hq", hq.site.epochs.passwords)
                assert signature == "sha256=" + hmac.new(key.encode(), body.encode(), hashlib.sha256).hexdigest()
                content = json.loads(body)
            return content

        with (
            hq.edited("summaries", "silentMinutes", value=1),
            hq.edited("summaries", "webhook", value=webhook),
            hq.edited("summaries", "page", "certificate", "notAfter", value=str(date.today() + timedelta(30))),
        ):
            hq.up()
            own = told("hq")
            done = hq.shell(f"bin/edge status hq --json --config-file {hq.config_file}")
            on_node(oslo, "docker stop uplink")
            try:
                raised = told("oslo")
                time.sleep(5)  # it writes down that it was heard
                on_node(hq, "docker kill watch && docker start watch")
            finally:
                on_node(oslo, "docker start uplink")
            cleared = told("oslo")
        receiver.terminate()  # which `timeout` hands on; of a kill the receiver would know nothing
    hq.up()
    assert (own["topic"], own["event"], own["alarm"]["value"]) == ("alerts/hq/node/certificates", "raised", 30)
    assert "the page's certificate ends in 30 days" in str(json.loads(done.stdout)["problems"])
    assert (raised["site"], raised["event"], raised["alarm"]["rule"]) == ("oslo", "raised", "silent")
    assert 60_000 <= raised["alarm"]["raised"] - raised["alarm"]["since"] <= 90_000
    assert (cleared["event"], cleared["alarm"]) == ("cleared", raised["alarm"]), "told once, over a restart too"
