"""How long after its minimum time an alarm is heard: the site's own alarms, on a farm that runs natively."""

import json
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from components.iot_stack.containers import MQTT_TLS_PORT
from lab.console import LabError
from lab.pipeline.bench import Spread
from lab.pipeline.farm import farm
from lab.pipeline.pipeline import Pipeline
from lab.pipeline.site import QUANTITY, SUBSCRIBER, iot_of
from lab.sensors import Reading, now_ms

SENSORS, FOR_SECONDS = 200, 5

#: A sensor's value goes beyond its limit, then the next one's.
EVERY_SECONDS = 0.1

#: Until the alarms know that there are none of before, and in all.
SETTLE_SECONDS, LISTEN_SECONDS = 10, 75


def lateness() -> Spread:
    """From the end of the minimum time until a reader hears of it, of each sensor's first alarm.

    Raises:
        LabError: an alarm did not come.
    """
    names = [f"sensor-{number}" for number in range(SENSORS)]
    with tempfile.TemporaryDirectory() as text, ThreadPoolExecutor(1) as pool:
        folder = Path(text)
        made = farm(iot_of(names, {"high": 5.0, "forSeconds": FOR_SECONDS}), folder)
        (folder / "roots").mkdir()
        for client, user in (("mosquitto_sub", SUBSCRIBER), *((f"{name}/mosquitto_pub", name) for name in names)):
            (folder / client).parent.mkdir(exist_ok=True)
            (folder / client).write_text(
                f"--cafile {folder}/ca.crt\n-h localhost\n-p {MQTT_TLS_PORT}\n"
                f"-u {user}\n-P {made.site.passwords[user]}\n"
            )
        with (
            Pipeline("ours", folder / "roots", farm=made.site) as pipeline,
            pipeline.beside("lab.pipeline.beside", made.beside),
        ):
            words = ["timeout", str(LISTEN_SECONDS), "env", f"XDG_CONFIG_HOME={folder}", "mosquitto_sub"]
            heard = pool.submit(pipeline.run, *words, "-t", "alerts/#", "-F", "%U %p", fails=True)
            time.sleep(SETTLE_SECONDS)
            for name in names:
                reading = Reading(name, QUANTITY, 9.0, now_ms())
                words = ["env", f"XDG_CONFIG_HOME={folder / name}", "mosquitto_pub", "-q", "1", "-t", reading.topic]
                pipeline.run(*words, "-m", reading.payload)
                time.sleep(EVERY_SECONDS)
            lines = heard.result().splitlines()
    first: dict[str, float] = {}
    for moment, payload in (line.split(" ", 1) for line in lines):
        alarm = json.loads(payload) if payload else {}
        if alarm.get("rule") == "high":
            first.setdefault(alarm["sensor"], float(moment) - alarm["since"] / 1000 - FOR_SECONDS)
    if len(first) < SENSORS:
        raise LabError(f"{SENSORS - len(first)} of {SENSORS} alarms did not come", "See lab/pipeline/alarms.py.")
    return Spread.of(list(first.values()))
