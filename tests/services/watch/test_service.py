"""The watch between a store, a webhook and a restart."""

import base64
import json
import subprocess
import threading
import urllib.parse
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from components._files import DATA
from components.summary_store.services import WATCH_STATUS
from services._health import Health
from services.watch import service
from services.watch.service import Watch
from services.watch.settings import Settings

NOW = 1_700_000_000_000
STATEMENT = "SELECT last(waiting) FROM site WHERE time <= {}ms"
AUTHORIZATION = "Basic " + base64.b64encode(b"headquarters:secret").decode()


class Store(ThreadingHTTPServer):
    """InfluxDB, as far as the watch may ask it; what it does not know it refuses."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Asked)
        self.newest: dict[str, int | None] = {"site_oslo": None, "site_bergen": None}
        self.status = 200
        self.asked = 0

    def answer(self, database: str, statement: str) -> dict[str, Any]:
        self.asked += 1
        if database not in self.newest:
            return {"error": f"database not found: {database}"}
        if statement != STATEMENT.format(service._now()):
            return {"error": f"error parsing query: {statement}"}
        newest = self.newest[database]
        if newest is None:
            return {}
        return {"series": [{"name": "site", "columns": ["time", "last"], "values": [[newest, 0]]}]}


class _Asked(BaseHTTPRequestHandler):
    server: Store

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        words = urllib.parse.parse_qs(urllib.parse.urlparse(self.path).query)
        known = self.headers["Authorization"] == AUTHORIZATION and words["epoch"] == ["ms"]
        result = self.server.answer(words["db"][0], urllib.parse.parse_qs(body)["q"][0])
        content = json.dumps({"results": [result]}).encode()
        self.send_response(self.server.status if known else 401)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def store() -> Iterator[Store]:
    with Store() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


class Clock:
    now = NOW


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(service, "_now", lambda: clock.now)
    return clock


@pytest.fixture(scope="module")
def health() -> Iterator[Health]:
    health = Health(port=0)
    yield health
    health.server.shutdown()
    health.server.server_close()


@pytest.fixture
def watch(store: Store, clock: Clock, health: Health, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> "Watched":
    # Nothing is delivered here: what waits for the webhook is looked at.
    monkeypatch.setattr("services._webhook.Webhook._deliver", lambda _: None)
    settings = Settings(
        name="hq",
        store=f"http://127.0.0.1:{store.server_port}",
        user="headquarters",
        password="secret",
        databases={"oslo": "site_oslo", "bergen": "site_bergen"},
        silent_seconds=300,
        repeat_seconds=900,
        page_ends=None,
        certificate_days=60,
        webhook="http://127.0.0.1:9/hq",
        webhook_key="key",
        data=str(tmp_path),
    )
    return Watched(settings, store, clock, health)


class Watched:
    def __init__(self, settings: Settings, store: Store, clock: Clock, health: Health) -> None:
        self.settings, self.store, self.clock, self.health = settings, store, clock, health
        self.start()

    def start(self, **changed: Any) -> None:
        self.settings = replace(self.settings, **changed)
        self.watch = Watch(self.settings, self.health)

    def poll(self, number: int, *, heard: str = "") -> None:
        for _ in range(number):
            if heard:
                self.store.newest[heard] = self.clock.now
            self.watch.poll()
            self.clock.now += 10_000

    @property
    def told(self) -> list[tuple[str, str]]:
        kept = json.loads((Path(self.settings.data) / "state.json").read_text())["outbox"]
        return [(each["site"], each["event"]) for each in kept]


def test_the_site_that_says_nothing_is_told_and_the_other_is_not(
    watch: Watched, capsys: pytest.CaptureFixture[str]
) -> None:
    watch.poll(32, heard="site_bergen")
    assert watch.told == [("oslo", "raised")]
    watch.poll(1, heard="site_oslo")
    assert watch.told == [("oslo", "raised"), ("oslo", "cleared")]
    assert capsys.readouterr().out.splitlines() == [
        "raised: oslo is silent since 2023-11-14T22:13:20Z",
        "cleared: oslo is silent since 2023-11-14T22:13:20Z",
    ]


def test_what_is_told_is_as_a_sites_own_alarms_are(watch: Watched) -> None:
    watch.poll(32, heard="site_bergen")
    [told] = json.loads((Path(watch.settings.data) / "state.json").read_text())["outbox"]
    assert told["topic"] == "alerts/oslo/node/silent"
    assert told["id"] == f"alerts/oslo/node/silent/{told['alarm']['raised']}/raised/{told['time']}"
    assert (told["alarm"]["rule"], told["alarm"]["since"], told["alarm"]["limit"]) == ("silent", NOW, 300)


def test_how_much_waits_for_the_webhook_and_since_when_is_where_edge_status_looks(watch: Watched) -> None:
    watch.poll(32, heard="site_bergen")
    command = WATCH_STATUS.replace("sudo ", "").replace(f"{DATA}/watch", watch.settings.data)
    told = json.loads(subprocess.run(["sh", "-c", command], check=True, capture_output=True).stdout)["watch"]
    raised = watch.clock.now - 10_000
    figures = {"outbox": 1, "outboxSince": told["outboxSince"], "outboxDropped": 0}
    assert told == {"time": raised, "certificateDays": None, **figures}
    assert NOW < told["outboxSince"] <= raised


def test_the_pages_certificate_is_told_in_headquarters_name_and_once_over_a_restart(
    watch: Watched, capsys: pytest.CaptureFixture[str]
) -> None:
    watch.start(page_ends="2023-12-24")
    watch.poll(1)
    watch.start()
    watch.poll(1)
    state = json.loads((Path(watch.settings.data) / "state.json").read_text())
    [told] = state["outbox"]
    assert (told["site"], told["topic"], told["event"]) == ("hq", "alerts/hq/node/certificates", "raised")
    assert (told["alarm"]["value"], told["alarm"]["limit"]) == (40, 60)
    assert state["status"]["certificateDays"] == 40
    assert capsys.readouterr().out == "raised: hq has a page's certificate that ends in 40 days\n"


def test_a_watch_before_this_one_that_looked_at_no_certificate_is_gone_on_with(
    watch: Watched, capsys: pytest.CaptureFixture[str]
) -> None:
    watch.poll(32, heard="site_bergen")
    state = Path(watch.settings.data) / "state.json"
    kept = json.loads(state.read_text())
    del kept["certificate"]
    state.write_text(json.dumps(kept))
    watch.start()
    watch.poll(1, heard="site_bergen")
    assert watch.told == [("oslo", "raised")]
    assert capsys.readouterr().err == ""


def test_a_restart_tells_nothing_twice_and_forgets_nothing(watch: Watched) -> None:
    watch.poll(32, heard="site_bergen")
    watch.start()
    watch.poll(5, heard="site_bergen")
    assert watch.told == [("oslo", "raised")], "what nobody accepted yet is still there"
    watch.poll(1, heard="site_oslo")
    assert watch.told[-1] == ("oslo", "cleared")


@pytest.mark.parametrize("status", [500, 503])
def test_a_store_that_is_down_is_told_once_and_makes_no_site_silent(
    watch: Watched, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    watch.poll(28)
    watch.store.status = status
    asked = watch.store.asked
    watch.poll(100)
    assert watch.store.asked == asked + 100, "one question a round is enough to know it"
    watch.store.status = 200
    watch.poll(2)
    assert watch.told == []
    watch.poll(2)
    assert [site for site, _ in watch.told] == ["oslo", "bergen"]
    first, last = capsys.readouterr().err.splitlines()
    assert first.startswith(f"the store: {status}")
    assert last == "the store: answers again"


def test_one_site_without_a_database_does_not_hide_the_other(
    watch: Watched, capsys: pytest.CaptureFixture[str]
) -> None:
    watch.start(databases={"stavanger": "site_stavanger", "oslo": "site_oslo"})
    watch.poll(40)
    assert watch.told == [("oslo", "raised")]
    assert capsys.readouterr().err == "stavanger: database not found: site_stavanger\n"


def test_a_wrong_password_is_told_and_is_no_silence(watch: Watched, capsys: pytest.CaptureFixture[str]) -> None:
    watch.start(password="another")
    watch.poll(40)
    assert watch.told == []
    assert "401" in capsys.readouterr().err
    assert watch.health.fresh


def test_no_password_is_shown(watch: Watched) -> None:
    assert "secret" not in repr(watch.settings)
    assert "key'" not in repr(watch.settings)
