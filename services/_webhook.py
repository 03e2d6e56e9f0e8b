"""Tells a web address of what happened, in order, until it accepts; in a thread of its own."""

import hashlib
import hmac
import http.client
import json
import threading
import urllib.error
import urllib.request
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

TIMEOUT_SECONDS = 10
FIRST_RETRY_SECONDS, LAST_RETRY_SECONDS = 1.0, 60.0

#: What waits at most; the oldest repetition goes first, then the oldest.
LIMIT = 1000


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """What is sent on elsewhere was not accepted: the redirected request would lose its body."""

    def redirect_request(self, *_: Any) -> None:
        return None


_OPENER = urllib.request.build_opener(_NoRedirect)


class Webhook:
    """A queue of notifications, each a JSON object with `event` and `id`, posted with a signature.

    The header `X-Fjord-Edge-Signature` is `sha256=` and the HMAC-SHA256 of the body in hex. One may be posted twice:
    its `id` tells.
    """

    def __init__(self, address: str | None, key: str, pending: Iterable[Mapping[str, Any]] = ()) -> None:
        self._address = address
        self._key = key.encode()
        self._pending: deque[Mapping[str, Any]] = deque(pending if address else ())
        self._wake = threading.Condition()
        self.dropped = 0
        if address:
            threading.Thread(target=self._deliver, daemon=True).start()

    def tell(self, notification: Mapping[str, Any]) -> None:
        """Put one in the queue."""
        if self._address is None:
            return
        with self._wake:
            if len(self._pending) >= LIMIT:
                repeated = (each for each in self._pending if each.get("event") == "repeated")
                self._pending.remove(next(repeated, self._pending[0]))
                self.dropped += 1
            self._pending.append(notification)
            self._wake.notify()

    @property
    def pending(self) -> list[Mapping[str, Any]]:
        """What is not accepted yet, the oldest first."""
        with self._wake:
            return list(self._pending)

    def _deliver(self) -> None:
        retry = FIRST_RETRY_SECONDS
        while True:
            with self._wake:
                while not self._pending:
                    self._wake.wait()
                first = self._pending[0]
            if self._accepted(first):
                retry = FIRST_RETRY_SECONDS
                with self._wake:
                    if self._pending and self._pending[0] is first:
                        self._pending.popleft()
            else:
                threading.Event().wait(retry)
                retry = min(2 * retry, LAST_RETRY_SECONDS)

    def _accepted(self, notification: Mapping[str, Any]) -> bool:
        body = json.dumps(notification).encode()
        signature = hmac.new(self._key, body, hashlib.sha256).hexdigest()
        headers = {"Content-Type": "application/json", "X-Fjord-Edge-Signature": f"sha256={signature}"}
        request = urllib.request.Request(str(self._address), body, headers)
        try:
            with _OPENER.open(request, timeout=TIMEOUT_SECONDS):
                return True
        except (OSError, ValueError, http.client.HTTPException):
            return False
