#!/usr/bin/env python3
"""Runs on the node before it is taken down on purpose: alarms and backlog first, then the services in their order.

The broker stops first, so that nothing more is acknowledged; the collector writes what it has; the database is last.
"""

import json
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

BROKER = Path("/srv/fjord-edge/mosquitto/mosquitto.sqlite")
SERVICES = ("mosquitto", "telegraf", "alarms", "uplink", "influxdb")

#: The ends of alarms' topics that tell of the pens. A silent sensor or a full disk may be why the node is taken down.
ABOUT_FISH = ("-low", "-high")

#: Messages that wait for the collector; it may hold this many in flight when all is well.
BACKLOG = 5000


def main(word: str) -> int:
    """`check`: the status is 1 and the reason is told when the node should stay up. `stop`: stop the services.

    `raised`: print the topics of the alarms that are raised, as JSON. `statuses`: what the services said of themselves.
    """
    if word == "stop":
        for service in SERVICES:
            subprocess.run(["docker", "stop", service], stdout=subprocess.DEVNULL, check=False)
        return 0
    if word == "raised":
        print(json.dumps(raised(BROKER) if BROKER.exists() else []))
        return 0
    if word == "statuses":
        print(json.dumps(statuses(BROKER) if BROKER.exists() else {}))
        return 0
    reasons = reasons_to_stay_up(BROKER) if BROKER.exists() else []
    print("\n".join(reasons), file=sys.stderr, end="")
    return 1 if reasons else 0


def reasons_to_stay_up(broker: Path) -> list[str]:
    """What the broker's own database tells of alarms and backlog."""
    with sqlite3.connect(f"file:{broker}?mode=ro", uri=True) as database:
        [(waiting,)] = database.execute("SELECT count(*) FROM client_msgs WHERE client_id = 'telegraf'")
    reasons = [f"the alarm {topic} is raised" for topic in raised(broker) if topic.endswith(ABOUT_FISH)]
    if waiting > BACKLOG:
        reasons.append(f"{waiting} messages wait for their reader")
    return reasons


def raised(broker: Path) -> list[str]:
    """The topics of the alarms that are raised: each is a retained message."""
    with sqlite3.connect(f"file:{broker}?mode=ro", uri=True) as database:
        return sorted(topic for (topic,) in database.execute("SELECT topic FROM retains WHERE topic LIKE 'alerts/%'"))


def statuses(broker: Path) -> dict[str, Any]:
    """What each service said last of itself, by its name: a retained message, which only it may write."""
    statement = (
        "SELECT retains.topic, payload FROM retains JOIN base_msgs USING (store_id) WHERE retains.topic LIKE 'status/%'"
    )
    with sqlite3.connect(f"file:{broker}?mode=ro", uri=True) as database:
        return {topic.rpartition("/")[2]: json.loads(payload) for topic, payload in database.execute(statement)}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
