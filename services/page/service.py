"""The page as a process: it serves, and looks whether it does."""

import asyncio
import contextlib
import signal
import ssl
import time

from tornado.httpclient import AsyncHTTPClient, HTTPError

from services._health import Health
from services.page.farm import FarmPage
from services.page.headquarters import HeadquartersPage
from services.page.settings import Farm, Settings
from services.page.web import Page, server

#: How often it does what is due, and asks itself for the page.
STEP_SECONDS = 10.0


def page_of(settings: Settings, now: int) -> Page:
    """A farm's, or headquarters'."""
    if isinstance(settings.shown, Farm):
        return FarmPage(settings.name, settings.shown, now)
    return HeadquartersPage(settings.name, settings.shown)


async def serve(settings: Settings, health: Health, ended: asyncio.Event) -> None:
    """Serve until `ended`."""
    page = page_of(settings, time.time_ns() // 1_000_000)
    web = server(page, settings.tls)
    for port in settings.ports:
        web.listen(port)
    page.start()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_step(page, ended))
        tasks.create_task(_watch(settings, health, ended))
    web.stop()
    page.stop()


async def _watch(settings: Settings, health: Health, ended: asyncio.Event) -> None:
    while not ended.is_set():
        if await _answers(settings):
            health.beat()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(ended.wait(), STEP_SECONDS)


async def _step(page: Page, ended: asyncio.Event) -> None:
    while not ended.is_set():
        await asyncio.get_running_loop().run_in_executor(None, page.step)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(ended.wait(), STEP_SECONDS)


async def _answers(settings: Settings) -> bool:
    """Whether a browser that trusts the authority would get the page."""
    url = f"https://localhost:{settings.ports[0]}/api/state"
    try:
        await AsyncHTTPClient().fetch(url, request_timeout=STEP_SECONDS, ca_certs=settings.tls.authority)
    except (HTTPError, OSError, ssl.SSLError):
        return False
    return True


def run(settings: Settings) -> None:
    """Run until SIGTERM."""

    async def until_ended() -> None:
        ended = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
        await serve(settings, Health(), ended)

    asyncio.run(until_ended())
