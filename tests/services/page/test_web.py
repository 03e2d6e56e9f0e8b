"""The page over HTTPS, on a socket; no broker and no database answer it."""

import asyncio
import http.client
import json
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from components._page import NAMES
from config import derive
from config.derive import Purpose
from services._health import Health
from services._settings import Broker, Database
from services.alarms.alarm import Alarm
from services.page import service
from services.page.farm import FarmPage, UndeliveredError
from services.page.pins import Pin
from services.page.service import serve
from services.page.settings import Farm, Headquarters, Pen, Quantity, Sensor, Settings, Tls
from services.page.web import MAX_BODY
from tests.e2e.waiting import eventually
from tests.sites import SEED

LIFE: Any = {"not_before": date(2026, 1, 1), "not_after": date(2035, 12, 31)}
LOW = "alerts/oslo/pen-1/o2-oxygen-low"
PIN = "012345"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    folder = tmp_path_factory.mktemp("tls")
    authority = derive.certificate_authority(SEED, "oslo", 1, **LIFE)
    server = derive.server_certificate(
        SEED, "oslo", 1, purpose=Purpose.PAGE_SERVER, authority=authority, names=NAMES, addresses=[], **LIFE
    )
    for name, text in {"ca": authority.certificate, "crt": server.certificate, "key": server.private}.items():
        (folder / name).write_text(text)
    return Tls(certificate=str(folder / "crt"), key=str(folder / "key"), authority=str(folder / "ca"))


def nowhere() -> Any:
    """Where nobody listens."""
    return {"url": f"http://127.0.0.1:{free_port()}", "name": "n", "user": "u", "password": "p"}


def farm() -> Farm:
    oxygen = Quantity(name="oxygen", unit="mg/l", low=6.5, high=None)
    return Farm(
        broker=Broker(host="127.0.0.1", port=free_port(), user="page", password="p"),
        database=Database(**nowhere()),
        pens=(Pen(name="pen-1", sensors=(Sensor(id="o2", silent_seconds=60, quantities=(oxygen,)),)),),
        retention_days=30,
        outage_budget_days=7,
        pin=PIN,
    )


class Served:
    """A page that is served, and who asks it."""

    def __init__(self, settings: Settings) -> None:
        self.port = settings.ports[0]
        self.health = Health(0)
        self._trusted = ssl.create_default_context(cafile=settings.tls.authority)
        self._loop = asyncio.new_event_loop()
        self._ended = asyncio.Event()
        self._thread = threading.Thread(
            target=self._loop.run_until_complete, args=(serve(settings, self.health, self._ended),)
        )
        self._thread.start()
        assert eventually(self._listens, 10)

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def ask(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, Mapping[str, str], bytes]:
        connection = http.client.HTTPSConnection("localhost", self.port, timeout=10, context=self._trusted)
        connection.request(method, path, body, dict(headers or {}))
        with connection.getresponse() as answer:
            found = answer.status, dict(answer.getheaders()), answer.read()
        connection.close()
        return found

    def acknowledge(self, topic: object, pin: object, content_type: str = "application/json") -> tuple[int, Any]:
        body = json.dumps({"topic": topic, "pin": pin}).encode()
        status, _, said = self.ask("POST", "/api/acknowledge", body, {"Content-Type": content_type})
        return status, json.loads(said) if said else None

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join(20)
        self._loop.close()
        self.health.server.shutdown()
        self.health.server.server_close()


@pytest.fixture(scope="module")
def served(tls: Tls) -> Iterator[tuple[Served, FarmPage]]:
    """A farm's page, with one alarm; it does what is due ten times a second."""
    made = FarmPage("oslo", farm(), 0)
    made._live.told(LOW, Alarm(rule="low", sensor="o2", quantity="oxygen", since=1, raised=1).payload(), 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(service, "STEP_SECONDS", 0.1)
        with pytest.MonkeyPatch.context() as once:
            once.setattr(service, "page_of", lambda *_: made)
            listening = Served(Settings(name="oslo", ports=(free_port(),), tls=tls, shown=farm()))
        yield listening, made
        listening.close()


@pytest.fixture
def page(served: tuple[Served, FarmPage]) -> tuple[Served, FarmPage]:
    """The same, of which nobody has tried the PIN."""
    served[1]._pin = Pin(PIN, time.monotonic())
    return served


@pytest.fixture
def sent(page: tuple[Served, FarmPage], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the broker would have taken."""
    taken: list[str] = []
    monkeypatch.setattr(page[1], "acknowledge", taken.append)
    return taken


def test_the_page_is_there_by_the_sites_authority_and_by_no_other(page: tuple[Served, FarmPage]) -> None:
    served, _ = page
    status, headers, body = served.ask("GET", "/")
    assert (status, body[:15]) == (200, b"<!doctype html>")
    assert headers["Content-Type"].startswith("text/html")
    with pytest.raises(ssl.SSLCertVerificationError), socket.create_connection(("localhost", served.port)) as plain:
        ssl.create_default_context().wrap_socket(plain, server_hostname="localhost")


def test_what_is_older_than_tls_1_2_is_refused(page: tuple[Served, FarmPage]) -> None:
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(ssl.SSLError), socket.create_connection(("localhost", page[0].port)) as plain:
        old.wrap_socket(plain)


@pytest.mark.parametrize("path", ["/", "/app.js", "/api/state", "/nothing", "/api/history/pen-1?hours=3"])
def test_every_answer_lets_a_browser_ask_nobody_else(page: tuple[Served, FarmPage], path: str) -> None:
    _, headers, _ = page[0].ask("GET", path)
    assert headers["Content-Security-Policy"].startswith("default-src 'none'; script-src 'self'")
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert "ornado" not in str(headers)


def test_values_and_alarms_are_told_without_broker_and_database(page: tuple[Served, FarmPage]) -> None:
    status, _, body = page[0].ask("GET", "/api/state")
    state = json.loads(body)
    assert status == 200
    assert (state["mode"], state["name"], state["broker"]["state"]) == ("farm", "oslo", "away")
    assert [alarm["topic"] for alarm in state["alarms"]] == [LOW]
    assert [pen["name"] for pen in state["pens"]] == ["pen-1"]
    assert PIN not in body.decode()


def test_charts_say_that_the_database_does_not_answer(page: tuple[Served, FarmPage]) -> None:
    assert page[0].ask("GET", "/api/history/pen-1?hours=3")[0] == 503


@pytest.mark.parametrize("path", ["/api/history/pen-9?hours=3", "/api/history/pen-1?hours=x", "/api/history/pen-1"])
def test_charts_of_what_is_not_offered_are_not_found(page: tuple[Served, FarmPage], path: str) -> None:
    assert page[0].ask("GET", path)[0] == 404


@pytest.mark.parametrize("path", ["/../settings.py", "/..%2fsettings.py", "/%2e%2e/web.py", "//etc/passwd"])
def test_no_file_but_the_pages_own_is_given(page: tuple[Served, FarmPage], path: str) -> None:
    status, _, body = page[0].ask("GET", path)
    assert status in {403, 404}
    assert b"import" not in body


def test_an_alarm_is_acknowledged_by_the_pin(page: tuple[Served, FarmPage], sent: list[str]) -> None:
    assert page[0].acknowledge(LOW, PIN) == (204, None)
    assert sent == [LOW]


def test_a_wrong_pin_is_refused_and_the_next_try_must_wait(page: tuple[Served, FarmPage], sent: list[str]) -> None:
    assert page[0].acknowledge(LOW, "543210") == (403, {"error": 403})
    status, said = page[0].acknowledge(LOW, PIN)
    assert (status, said["seconds"]) == (429, 1)
    assert sent == []


def test_an_alarm_that_is_over_is_not_found_and_the_pin_not_looked_at(
    page: tuple[Served, FarmPage], sent: list[str]
) -> None:
    assert page[0].acknowledge("alerts/oslo/pen-1/other", "543210")[0] == 404
    assert page[0].acknowledge(LOW, PIN)[0] == 204
    assert sent == [LOW]


def test_without_a_broker_nothing_is_called_acknowledged(page: tuple[Served, FarmPage]) -> None:
    assert page[0].acknowledge(LOW, PIN)[0] == 503
    with pytest.raises(UndeliveredError):
        page[1].acknowledge(LOW)


@pytest.mark.parametrize(
    ("topic", "pin", "content_type", "status"),
    [
        (LOW, PIN, "text/plain", 415),
        (LOW, PIN, "application/x-www-form-urlencoded", 415),
        (LOW, 12345, "application/json", 400),
        ([LOW], PIN, "application/json", 400),
    ],
)
def test_what_another_pages_form_could_send_is_refused(
    page: tuple[Served, FarmPage], sent: list[str], topic: object, pin: object, content_type: str, status: int
) -> None:
    assert page[0].acknowledge(topic, pin, content_type)[0] == status
    assert sent == []


@pytest.mark.parametrize("body", [b"", b"x", b"[]", b"{}", b"\xff"])
def test_a_body_that_is_none_is_refused(page: tuple[Served, FarmPage], sent: list[str], body: bytes) -> None:
    assert page[0].ask("POST", "/api/acknowledge", body, {"Content-Type": "application/json"})[0] == 400
    assert sent == []


def test_a_huge_body_is_not_read(page: tuple[Served, FarmPage], sent: list[str]) -> None:
    body = json.dumps({"topic": LOW, "pin": PIN, "more": MAX_BODY * "x"}).encode()
    with suppress(http.client.HTTPException, OSError):  # it may hang up before it has said so
        assert page[0].ask("POST", "/api/acknowledge", body, {"Content-Type": "application/json"})[0] >= 400
    assert sent == []
    assert page[0].ask("GET", "/api/state")[0] == 200


def test_it_says_of_itself_that_it_serves(page: tuple[Served, FarmPage], monkeypatch: pytest.MonkeyPatch) -> None:
    beaten = threading.Event()
    monkeypatch.setattr(page[0].health, "beat", beaten.set)
    assert beaten.wait(5)


def test_headquarters_page_lists_its_sites_and_takes_no_acknowledgement(tls: Tls) -> None:
    shown = Headquarters(silent_seconds=300, sites={site: Database(**nowhere()) for site in ("bergen", "oslo")})
    settings = Settings(name="hq", ports=(free_port(),), tls=tls, shown=shown)
    served = Served(settings)
    try:
        state = json.loads(served.ask("GET", "/api/state")[2])
        assert [(site["name"], site["answered"]) for site in state["sites"]] == [("bergen", False), ("oslo", False)]
        assert served.acknowledge(LOW, PIN)[0] in {404, 405}
    finally:
        served.close()


def test_a_certificate_that_is_missing_stops_the_start(tls: Tls, tmp_path: Path) -> None:
    broken = Tls(certificate=str(tmp_path / "none"), key=tls.key, authority=tls.authority)
    settings = Settings(name="oslo", ports=(free_port(),), tls=broken, shown=farm())
    health = Health(0)
    with pytest.raises(FileNotFoundError):
        asyncio.run(serve(settings, health, asyncio.Event()))
    health.server.shutdown()
    health.server.server_close()
