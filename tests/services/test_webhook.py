"""A web address is told of everything, in order, until it accepts."""

import hashlib
import hmac
import json
import ssl
import threading
from collections.abc import Iterator
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from config import derive
from services import _webhook
from services._webhook import LIMIT, Webhook
from tests.e2e.waiting import eventually
from tests.sites import SEED

LIFE: Any = {"not_before": date(2026, 1, 1), "not_after": date(2035, 12, 31)}


class Receiver(ThreadingHTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.refuse = 0
        self.answer = b"HTTP/1.0 503 Busy\r\n\r\n"
        self.accepted: list[dict[str, Any]] = []
        self.signatures: list[tuple[str, bytes]] = []
        self.came = threading.Condition()
        self.scheme = "http"

    @property
    def address(self) -> str:
        return f"{self.scheme}://localhost:{self.server_port}/alarms?token=secret"

    def speak_tls(self, folder: Path) -> Path:
        """With a certificate of an authority whose own is returned."""
        authority = derive.certificate_authority(SEED, "oslo", 1, **LIFE)
        names: Any = {"names": ["localhost"], "addresses": []}
        server = derive.server_certificate(SEED, "oslo", 1, authority=authority, **names, **LIFE)
        for name, text in {"ca": authority.certificate, "crt": server.certificate, "key": server.private}.items():
            (folder / name).write_text(text)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(folder / "crt", folder / "key")
        self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        self.scheme = "https"
        return folder / "ca"

    def handle_error(self, *_: object) -> None:
        """A client that does not trust it hangs up."""

    def wait_for(self, number: int) -> list[dict[str, Any]]:
        with self.came:
            assert self.came.wait_for(lambda: len(self.accepted) >= number, timeout=10)
        return self.accepted


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with self.server.came:
            refused = self.server.refuse > 0
            self.server.refuse -= refused
            if not refused:
                self.server.accepted.append(json.loads(body))
                self.server.signatures.append((self.headers["X-Fjord-Edge-Signature"], body))
            self.server.came.notify_all()
        self.wfile.write(self.server.answer if refused else b"HTTP/1.0 204 Accepted\r\n\r\n")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    monkeypatch.setattr(_webhook, "FIRST_RETRY_SECONDS", 0.01)
    with Receiver() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_each_is_accepted_once_in_order_and_signed(receiver: Receiver) -> None:
    webhook = Webhook(receiver.address, "key")
    for number in range(5):
        webhook.tell({"event": "raised", "id": number})
    assert [each["id"] for each in receiver.wait_for(5)] == [0, 1, 2, 3, 4]
    for signature, body in receiver.signatures:
        assert signature == "sha256=" + hmac.new(b"key", body, hashlib.sha256).hexdigest()


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.0 503 Busy\r\n\r\n", b"HTTP/1.0 302 Found\r\nLocation: /other\r\n\r\n", b"", b"no HTTP\r\n\r\n"]
)
def test_what_is_not_accepted_is_told_again(receiver: Receiver, answer: bytes) -> None:
    receiver.refuse, receiver.answer = 3, answer
    webhook = Webhook(receiver.address, "key")
    webhook.tell({"event": "raised", "id": 1})
    assert receiver.wait_for(1) == [{"event": "raised", "id": 1}]
    assert eventually(lambda: webhook.pending == [], 10)


def test_over_https_an_authority_of_the_environment_is_trusted(
    receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(receiver.speak_tls(tmp_path)))
    Webhook(receiver.address, "key").tell({"event": "raised", "id": 1})
    assert receiver.wait_for(1) == [{"event": "raised", "id": 1}]


def test_a_certificate_that_nobody_trusts_is_refused_and_the_message_kept_and_the_reason_told_once(
    receiver: Receiver, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    receiver.speak_tls(tmp_path)
    webhook = Webhook(receiver.address, "key")
    webhook.tell({"event": "raised", "id": 1})
    said = ""

    def told() -> bool:
        nonlocal said
        said += capsys.readouterr().err
        return "\n" in said

    assert eventually(told, 10)
    assert not eventually(lambda: told() and said.count("\n") > 1, 0.3), "told once"
    assert said == "the webhook at localhost does not accept: SSLCertVerificationError\n"
    assert webhook.pending == [{"event": "raised", "id": 1}]
    assert receiver.accepted == []
    webhook._pending.clear()  # or it would go on for as long as the tests do


@pytest.mark.parametrize(
    ("answer", "reason"),
    [(b"HTTP/1.0 503 Busy\r\n\r\n", "HTTP 503"), (b"", "RemoteDisconnected"), (b"no HTTP\r\n\r\n", "BadStatusLine")],
)
def test_a_refusal_is_told_once_without_what_is_secret_and_so_is_its_end(
    receiver: Receiver, capsys: pytest.CaptureFixture[str], answer: bytes, reason: str
) -> None:
    receiver.refuse, receiver.answer = 3, answer
    webhook = Webhook(receiver.address, "key")
    webhook.tell({"event": "raised", "id": 1})
    webhook.tell({"event": "cleared", "id": 2})
    receiver.wait_for(2)
    assert eventually(lambda: webhook.pending == [], 10)
    refused, accepted = capsys.readouterr().err.splitlines()
    assert refused == f"the webhook at localhost does not accept: {reason}"
    assert accepted == "the webhook at localhost accepts again"


def test_what_was_pending_before_a_restart_is_told_first(receiver: Receiver) -> None:
    Webhook(receiver.address, "key", [{"event": "raised", "id": "before"}]).tell({"event": "cleared", "id": "after"})
    assert [each["id"] for each in receiver.wait_for(2)] == ["before", "after"]


def test_a_full_queue_drops_repetitions_first_and_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threading.Thread, "start", lambda _: None)
    webhook = Webhook("http://127.0.0.1:1", "key")
    for number in range(LIMIT):
        webhook.tell({"event": "repeated" if number == 10 else "raised", "id": number})
    for number in range(2):
        webhook.tell({"event": "raised", "id": LIMIT + number})
    ids = [each["id"] for each in webhook.pending]
    assert (len(ids), webhook.dropped) == (LIMIT, 2)
    assert 10 not in ids
    assert 0 not in ids
    assert ids[-1] == LIMIT + 1


def test_what_was_dropped_is_told_when_it_accepts_again_and_is_of_the_past_when_nothing_waits(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(_webhook, "LIMIT", 2)
    receiver.refuse = 1_000_000
    webhook = Webhook(receiver.address, "key")
    for number in range(3):
        webhook.tell({"event": "raised", "id": number})
    assert webhook.dropped == 1
    assert eventually(lambda: "HTTP 503" in capsys.readouterr().err, 10)
    receiver.refuse = 0
    assert eventually(lambda: webhook.pending == [], 10)
    assert webhook.dropped == 0
    assert capsys.readouterr().err == "the webhook at localhost accepts again; 1 dropped\n"


def test_without_an_address_nothing_waits() -> None:
    webhook = Webhook(None, "", [{"event": "raised"}])
    webhook.tell({"event": "raised"})
    assert webhook.pending == []
