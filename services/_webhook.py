"""Tells a web address of what happened, in order, until it accepts; in a thread of its own."""

import hashlib
import hmac
import http.client
import json
import sys
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

TIMEOUT_SECONDS = 10
FIRST_RETRY_SECONDS, LAST_RETRY_SECONDS = 1.0, 60.0

#: What waits for longer than this was refused, and more than once.
LATE_SECONDS = 60

#: What waits at most; the oldest repetition goes first, then the oldest.
LIMIT = 1000


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """What is sent on elsewhere was not accepted: the redirected request would lose its body."""

    def redirect_request(self, *_: Any) -> None:
        return None


class Webhook:
    """A queue of notifications, each a JSON object with `event` and `id`, posted with a signature.

    The header `X-Fjord-Edge-Signature` is `sha256=` and the HMAC-SHA256 of the body in hex. One may be posted twice:
    its `id` tells.

    Attributes:
        dropped: how many went unsent since the queue was last empty.
    """

    def __init__(self, address: str | None, key: str, pending: Iterable[Mapping[str, Any]] = ()) -> None:
        self._address = address
        self._host = urllib.parse.urlsplit(address or "").hostname
        self._key = key.encode()
        # Whom it trusts is read now, or at each post: the system's authorities, or SSL_CERT_FILE's.
        self._opener = urllib.request.build_opener(_NoRedirect)
        self._pending: deque[Mapping[str, Any]] = deque(pending if address else ())
        self._wake = threading.Condition()
        self._refusals: set[str] = set()
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

    @property
    def figures(self) -> dict[str, int | None]:
        """How many wait, since when (epoch ms), and how many were dropped."""
        waiting = self.pending
        since = waiting[0].get("time") if waiting else None
        return {"outbox": len(waiting), "outboxSince": since, "outboxDropped": self.dropped}

    def _deliver(self) -> None:
        retry = FIRST_RETRY_SECONDS
        while True:
            with self._wake:
                while not self._pending:
                    self._wake.wait()
                first = self._pending[0]
            refusal = self._post(first)
            self._say(refusal)
            if refusal is None:
                retry = FIRST_RETRY_SECONDS
                with self._wake:
                    if self._pending and self._pending[0] is first:
                        self._pending.popleft()
                    if not self._pending:
                        self.dropped = 0
            else:
                threading.Event().wait(retry)
                retry = min(2 * retry, LAST_RETRY_SECONDS)

    def _say(self, refusal: str | None) -> None:
        """Say once why it is refused, and once that it is no more; the path of an address may be a secret."""
        if refusal is None and self._refusals:
            self._refusals.clear()
            dropped = f"; {self.dropped} dropped" if self.dropped else ""
            print(f"the webhook at {self._host} accepts again{dropped}", file=sys.stderr)
        elif refusal is not None and refusal not in self._refusals:
            self._refusals.add(refusal)
            print(f"the webhook at {self._host} does not accept: {refusal}", file=sys.stderr)

    def _post(self, notification: Mapping[str, Any]) -> str | None:
        """Why it is not accepted, in words that hold nothing of the address."""
        body = json.dumps(notification).encode()
        signature = hmac.new(self._key, body, hashlib.sha256).hexdigest()
        headers = {"Content-Type": "application/json", "X-Fjord-Edge-Signature": f"sha256={signature}"}
        request = urllib.request.Request(str(self._address), body, headers)
        try:
            with self._opener.open(request, timeout=TIMEOUT_SECONDS):
                return None
        except urllib.error.HTTPError as error:
            return f"HTTP {error.code}"
        except (OSError, ValueError, http.client.HTTPException) as error:
            cause = error.reason if isinstance(error, urllib.error.URLError) else error
            return type(cause).__name__
