"""A web address is told of everything, in order, until it accepts."""

import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from services import _webhook
from services._webhook import LIMIT, Webhook


class Receiver(ThreadingHTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.refuse = 0
        self.answer = b"HTTP/1.0 503 Busy\r\n\r\n"
        self.accepted: list[dict[str, Any]] = []
        self.signatures: list[tuple[str, bytes]] = []
        self.came = threading.Condition()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/alarms"

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
        thread = threading.Thread(target=server.serve_forever)
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
    Webhook(receiver.address, "key").tell({"event": "raised", "id": 1})
    assert receiver.wait_for(1) == [{"event": "raised", "id": 1}]


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


def test_without_an_address_nothing_waits() -> None:
    webhook = Webhook(None, "", [{"event": "raised"}])
    webhook.tell({"event": "raised"})
    assert webhook.pending == []
