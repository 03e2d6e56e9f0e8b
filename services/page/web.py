"""The page over HTTPS: its files, what is now, the last hours, and at a farm the acknowledgement of an alarm."""

import asyncio
import functools
import json
import ssl
import time
from pathlib import Path
from typing import Any, Protocol

from tornado.httpserver import HTTPServer
from tornado.web import Application, HTTPError, RequestHandler, StaticFileHandler

from services._influxdb import UnavailableError
from services.page.farm import FarmPage, UndeliveredError, UnknownAlarmError, WrongPinError
from services.page.pins import TooOftenError
from services.page.settings import Tls

STATIC = Path(__file__).parent / "static"

#: Of a request; the only body is an alarm's name and a PIN.
MAX_BODY, MAX_HEADERS = 2_000, 16_384

#: A connection on which nothing was asked for so long is closed.
IDLE_SECONDS = 60

#: Nothing but the page's own files, and nothing inline.
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-cache",
    "Server": "page",
}


class Page(Protocol):
    """What a page shows, at a farm or at headquarters."""

    def start(self) -> None:
        """Begin."""

    def stop(self) -> None:
        """End."""

    def step(self) -> None:
        """Do what is due; called now and then, and may take a while."""

    def state(self, now: int) -> dict[str, Any]:
        """What is now."""

    def history(self, part: str, hours: int, now: int) -> dict[str, Any]:
        """The last hours of a part."""


class Handler(RequestHandler):
    """Answers in JSON."""

    def initialize(self, page: Page) -> None:
        """Of this page."""
        self.page = page

    def set_default_headers(self) -> None:
        """On every answer, errors among them."""
        _set_headers(self)

    def write_error(self, status_code: int, **_: Any) -> None:
        """Say no more than the status does."""
        self.finish({"error": status_code})


class State(Handler):
    """What is now."""

    def get(self) -> None:
        """As JSON."""
        self.finish(self.page.state(_now()))


class History(Handler):
    """The last hours."""

    async def get(self, part: str) -> None:
        """Of a pen or site; 503 while the database does not answer."""
        hours = self.get_query_argument("hours", "")
        try:
            self.finish(await _aside(self.page.history, part, int(hours), _now()))
        except (KeyError, ValueError):
            raise HTTPError(404) from None
        except UnavailableError:
            raise HTTPError(503) from None


class Acknowledge(Handler):
    """A person has seen an alarm."""

    page: FarmPage

    async def post(self) -> None:
        """204 once the broker has it; 403 for a wrong PIN, 429 with the seconds to wait, 404, or 503 without broker."""
        topic, pin = self._asked()
        try:
            self.page.check(topic, pin, str(self.request.remote_ip))
            await _aside(self.page.acknowledge, topic)
        except UnknownAlarmError:
            raise HTTPError(404) from None
        except WrongPinError:
            raise HTTPError(403) from None
        except TooOftenError as error:
            self.set_status(429)
            self.set_header("Retry-After", str(int(error.seconds) + 1))
            self.finish({"error": 429, "seconds": int(error.seconds) + 1})
        except UndeliveredError:
            raise HTTPError(503) from None
        else:
            self.set_status(204)

    def _asked(self) -> tuple[str, str]:
        """A page of another origin cannot send this type unasked."""
        if self.request.headers.get("Content-Type", "").partition(";")[0].strip() != "application/json":
            raise HTTPError(415)
        try:
            content = json.loads(self.request.body)
            topic, pin = content["topic"], content["pin"]
        except (ValueError, KeyError, TypeError):
            raise HTTPError(400) from None
        if not isinstance(topic, str) or not isinstance(pin, str):
            raise HTTPError(400)
        return topic, pin


class Static(StaticFileHandler):
    """The page's own files."""

    def set_extra_headers(self, path: str) -> None:  # noqa: ARG002
        """As on every answer."""
        _set_headers(self)

    def set_default_headers(self) -> None:
        """On errors too."""
        _set_headers(self)

    def write_error(self, status_code: int, **_: Any) -> None:
        """Say no more than the status does."""
        self.finish({"error": status_code})


def _set_headers(handler: RequestHandler) -> None:
    for name, value in HEADERS.items():
        handler.set_header(name, value)


async def _aside(function: Any, *words: Any) -> Any:
    """In a thread, since it waits for others."""
    return await asyncio.get_running_loop().run_in_executor(None, functools.partial(function, *words))


def application(page: Page) -> Application:
    """What is answered where."""
    of_page = {"page": page}
    routes: list[Any] = [
        (r"/api/state", State, of_page),
        (r"/api/history/([a-z0-9-]+)", History, of_page),
        (r"/(.*)", Static, {"path": str(STATIC), "default_filename": "index.html"}),
    ]
    if isinstance(page, FarmPage):
        routes.insert(0, (r"/api/acknowledge", Acknowledge, of_page))
    return Application(routes, log_function=lambda _: None)


def server(page: Page, tls: Tls) -> HTTPServer:
    """The page's server, which listens nowhere yet.

    Raises:
        OSError: a file of the certificate cannot be read, or is none.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tls.certificate, tls.key)
    return HTTPServer(
        application(page),
        ssl_options=context,
        idle_connection_timeout=IDLE_SECONDS,
        body_timeout=IDLE_SECONDS,
        max_body_size=MAX_BODY,
        max_header_size=MAX_HEADERS,
    )


def _now() -> int:
    return time.time_ns() // 1_000_000
