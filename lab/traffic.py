"""What headquarters gets of what a site takes in, in bytes on the wire."""

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from components._influxdb import INFLUXDB_PORT
from components.iot_stack.containers import MQTT_TLS_PORT
from lab.sensors import Reading, connected, now_ms, on_node
from lab.stacks import Stack

#: Each of the site's devices sends each of its quantities so often, for so long.
EVERY_SECONDS, SECONDS = 5, 300

_TABLE = """\
table inet traffic {{
    chain prerouting {{ type filter hook prerouting priority -300; {match} counter; }}
}}
"""


@dataclass(frozen=True)
class Traffic:
    """Packets' bytes, TCP/IP headers and TLS included.

    Attributes:
        readings: how many were published.
        raw: from the devices to the broker.
        sent: from the site to headquarters' store, inside the tunnel.
    """

    readings: int
    raw: int
    sent: int


def traffic(site: Stack, hub: Stack) -> Traffic:
    """Let all devices publish over connections that stay, and count on both sides."""
    assert site.site.iot  # noqa: S101
    series = [(sensor.id, quantity) for sensor in site.site.iot.sensors for quantity in sensor.quantities]
    readings, begun = 0, time.monotonic()
    with (
        _counted(site, f"tcp dport {MQTT_TLS_PORT}") as raw,
        _counted(hub, f'iifname "wg*" tcp dport {INFLUXDB_PORT}') as sent,
        ExitStack() as stack,
    ):
        devices = {
            (sensor, quantity): stack.enter_context(
                connected(site, sensor, f"sensors/{sensor}/{quantity}", SECONDS + 60)
            )
            for sensor, quantity in series
        }
        while time.monotonic() < begun + SECONDS:
            for (sensor, quantity), device in devices.items():
                device.write(Reading(sensor, quantity, 8 + readings % 16 / 16, now_ms()).payload + "\n")
                readings += 1
            time.sleep(EVERY_SECONDS)
        return Traffic(readings, _bytes(raw), _bytes(sent))


@contextmanager
def _counted(stack: Stack, match: str) -> Iterator[Stack]:
    on_node(stack, "sudo nft -f -", stdin=_TABLE.format(match=match))
    try:
        yield stack
    finally:
        on_node(stack, "sudo nft delete table inet traffic")


def _bytes(stack: Stack) -> int:
    listed = json.loads(on_node(stack, "sudo nft --json list chain inet traffic prerouting"))["nftables"]
    [count] = [
        part["counter"]["bytes"]
        for each in listed
        if "rule" in each
        for part in each["rule"]["expr"]
        if "counter" in part
    ]
    return int(count)
