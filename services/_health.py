"""Where Docker asks whether a service works: HTTP in its own container."""

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

HEALTH_PORT = 8079

#: A service that has not come round its loop for so long hangs.
STALE_SECONDS = 60


class Health:
    """Answers 200 while `beat` was called lately, 503 afterwards."""

    def __init__(self, port: int = HEALTH_PORT) -> None:
        self._last = time.monotonic()
        health = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200 if health.fresh else 503)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def beat(self) -> None:
        """The service has come round its loop."""
        self._last = time.monotonic()

    @property
    def fresh(self) -> bool:
        """Whether it did so lately."""
        return time.monotonic() - self._last < STALE_SECONDS
