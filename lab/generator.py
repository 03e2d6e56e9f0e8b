"""A sensor that publishes until it is ended, and writes down, fsynced, each reading that the broker acknowledged.

`python -m lab.generator SETTINGS`: a JSON file with host, port, authority, user, password, topic, log, rate.
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from paho.mqtt.client import Client, MQTTv311
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

#: Within every limit.
VALUE = 8.5


def main(settings: dict[str, Any]) -> None:
    """Publish for ever, each reading with a time of its own; the log has a line each: that time, its PUBACK's (ms)."""
    sent: dict[int, int] = {}
    log = os.open(settings["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def acknowledged(_: Client, __: object, mid: int, ___: ReasonCode, ____: Properties) -> None:
        os.write(log, f"{sent.pop(mid)} {_now()}\n".encode())
        os.fsync(log)

    client = Client(CallbackAPIVersion.VERSION2, client_id=f"generator-{os.getpid()}", protocol=MQTTv311)
    client.on_publish = acknowledged
    client.username_pw_set(settings["user"], settings["password"])
    client.tls_set(settings["authority"])
    client.reconnect_delay_set(1, 2)
    client.connect(settings["host"], settings["port"], keepalive=5)
    client.loop_start()
    stamp = 0
    while True:
        stamp = max(_now(), stamp + 1)
        message = client.publish(settings["topic"], json.dumps({"value": VALUE, "time": stamp}), qos=1)
        sent[message.mid] = stamp
        time.sleep(1 / settings["rate"])


def _now() -> int:
    return time.time_ns() // 1_000_000


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()))
