"""A farm's alarms and uplink, and headquarters' page, in one process.

`python -m lab.pipeline.beside`, their settings by service as a line of JSON on standard input; it ends by SIGKILL.
"""

import asyncio
import json
import sys
import threading
import time
from typing import Any, TypeVar

import dacite

from services._health import Health
from services.alarms.service import Alarms
from services.alarms.settings import Settings as AlarmSettings
from services.page.service import serve
from services.page.settings import Settings as PageSettings
from services.uplink.service import Uplink
from services.uplink.settings import Settings as UplinkSettings

Settings = TypeVar("Settings")


def _read(shape: type[Settings], content: Any) -> Settings:
    return dacite.from_dict(shape, content, dacite.Config(strict=True, cast=[tuple]))


def _run(service: Alarms | Uplink) -> None:
    service.start()
    while True:
        service.step()


def main() -> None:
    """Run what standard input says."""
    content = json.loads(sys.stdin.readline())
    alarms = Alarms(_read(AlarmSettings, content["alarms"]), time.time_ns() // 1_000_000)
    for service in (alarms, Uplink(_read(UplinkSettings, content["uplink"]))):
        threading.Thread(target=_run, args=(service,), daemon=True).start()
    asyncio.run(serve(_read(PageSettings, content["page"]), Health(0), asyncio.Event()))


if __name__ == "__main__":
    main()
