"""What a site's services have to say before the node goes down."""

import json
import sqlite3
from pathlib import Path

import pytest

from components.iot_stack.on_node import before_shutdown
from components.iot_stack.on_node.before_shutdown import BACKLOG, main, reasons_to_stay_up


@pytest.fixture
def broker(tmp_path: Path) -> Path:
    """The broker's database as Mosquitto 2.1.2 makes it, as far as it is read."""
    path = tmp_path / "mosquitto.sqlite"
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE retains (topic STRING PRIMARY KEY, store_id INT64)")
        database.execute("CREATE TABLE base_msgs (store_id INT64 PRIMARY KEY, payload BLOB)")
        database.execute("CREATE TABLE client_msgs (client_id TEXT NOT NULL, store_id INT64)")
    return path


def fill(broker: Path, statement: str, rows: list[tuple[str, int]]) -> None:
    with sqlite3.connect(broker) as database:
        database.executemany(statement, rows)


def test_a_quiet_site_has_no_reason_to_stay_up(broker: Path) -> None:
    fill(broker, "INSERT INTO retains VALUES (?, ?)", [("sensors/pen1-temp/temperature", 1)])
    fill(broker, "INSERT INTO client_msgs VALUES (?, ?)", [("telegraf", number) for number in range(BACKLOG)])
    assert reasons_to_stay_up(broker) == []


def test_every_alarm_about_the_fish_is_a_reason(broker: Path) -> None:
    topics = ["alerts/oslo/pen-2/pen2-oxygen-oxygen-low", "alerts/oslo/pen-1/pen1-temp-temperature-high"]
    fill(broker, "INSERT INTO retains VALUES (?, ?)", [(topic, number) for number, topic in enumerate(topics)])
    assert reasons_to_stay_up(broker) == [f"the alarm {topic} is raised" for topic in sorted(topics)]


def test_what_may_be_why_the_node_is_taken_down_is_no_reason(broker: Path) -> None:
    topics = ["alerts/oslo/pen-2/pen2-oxygen-silent", "alerts/oslo/node/disk"]
    fill(broker, "INSERT INTO retains VALUES (?, ?)", [(topic, number) for number, topic in enumerate(topics)])
    fill(broker, "INSERT INTO client_msgs VALUES (?, ?)", [("alarms", number) for number in range(BACKLOG + 1)])
    assert reasons_to_stay_up(broker) == []


def test_a_backlog_is_a_reason(broker: Path) -> None:
    fill(broker, "INSERT INTO client_msgs VALUES (?, ?)", [("telegraf", number) for number in range(BACKLOG + 1)])
    assert reasons_to_stay_up(broker) == [f"{BACKLOG + 1} messages wait for their reader"]


def test_what_the_services_said_of_themselves_is_printed_by_service(
    broker: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(before_shutdown, "BROKER", broker)
    topics = ["status/oslo/alarms", "status/oslo/page", "alerts/oslo/node/disk"]
    fill(broker, "INSERT INTO retains VALUES (?, ?)", [(topic, number) for number, topic in enumerate(topics)])
    with sqlite3.connect(broker) as database:
        database.executemany(
            "INSERT INTO base_msgs VALUES (?, ?)", enumerate([b'{"outbox": 3}', b'{"up": false}', b"x"])
        )
    assert main("statuses") == 0
    assert json.loads(capsys.readouterr().out) == {"alarms": {"outbox": 3}, "page": {"up": False}}
    broker.unlink()
    assert main("statuses") == 0
    assert json.loads(capsys.readouterr().out) == {}
