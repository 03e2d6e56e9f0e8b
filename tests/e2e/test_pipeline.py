"""What harm under load costs, natively: of ours nothing, of the seed's something."""

import json
import sys
from pathlib import Path

import pytest

from components.iot_stack.containers import MEMORY_MIB, MQTT_PORT
from components.iot_stack.mosquitto import MAX_PACKET, queued_bytes
from config.iot import MIN_QUEUED
from lab.pipeline import summaries
from lab.pipeline.loss import DRILLS, QUIET_SECONDS, lose
from lab.pipeline.pipeline import Pipeline
from lab.pipeline.site import QUANTITY

#: A device that publishes the biggest payloads, three times what the queue takes.
FLOOD = f"""
import json, sys
from paho.mqtt.client import CallbackAPIVersion, Client
name, password, messages = json.loads(sys.stdin.read())
client = Client(CallbackAPIVersion.VERSION2)
client.username_pw_set(name, password)
client.connect("127.0.0.1", {MQTT_PORT})
client.loop_start()
payload = b"x" * ({MAX_PACKET} - 100)
for number in range(messages):
    last = client.publish(f"sensors/{{name}}/{QUANTITY}", payload, qos=1)
last.wait_for_publish(200)
assert last.is_published()
client.disconnect()
"""


@pytest.mark.parametrize("drill", DRILLS)
def test_nothing_that_was_acknowledged_is_missing(drill: str, tmp_path: Path) -> None:
    found = lose("ours", drill, tmp_path, seconds=min(DRILLS[drill].seconds, 20.0))
    assert found.in_flight > 0
    assert found.missing == found.excused, found
    assert found.acknowledged > 3 * DRILLS[drill].rate


def test_the_drill_sees_the_seed_lose(tmp_path: Path) -> None:
    assert lose("seed", "telegraf killed", tmp_path).missing > 0


def test_no_minute_is_missing_at_headquarters_though_the_uplink_is_killed_while_it_sends(tmp_path: Path) -> None:
    found = summaries.lose(tmp_path)
    assert found.in_flight > 0
    assert found.missing == 0, found
    assert found.acknowledged > summaries.OUTAGE_HOURS * 50


def test_a_flood_while_nobody_reads_leaves_the_broker_within_its_memory(tmp_path: Path) -> None:
    with Pipeline("ours", tmp_path) as pipeline:
        (flooder, password), *_ = pipeline.site.passwords.items()
        pipeline.stop("telegraf")
        messages = 3 * queued_bytes(MIN_QUEUED) // MAX_PACKET
        pipeline.run(sys.executable, "-c", FLOOD, stdin=json.dumps([flooder, password, messages]))
        pipeline.start("telegraf")
        peak = pipeline.memory_mib()["mosquitto"]
        with pipeline.load(slice(1, 3), rate=100, seconds=5.0) as load:
            load.begin()
            load.result()
            assert pipeline.drained(load.acknowledged(), QUIET_SECONDS, 60.0) == set()
    assert peak < MEMORY_MIB
