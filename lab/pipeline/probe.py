"""Asks the database again and again for readings that it has not seen: `value monotonic-seconds`, a line each.

`python -m lab.pipeline.probe`, with what to ask as a line of JSON on standard input.
"""

import http.client
import json
import sys
import time
from urllib.parse import quote

from components._influxdb import INFLUXDB_PORT

#: Between two questions, seconds.
PAUSE = 0.002


def main() -> None:
    """Ask until the time is over."""
    settings = json.loads(sys.stdin.readline())
    server = http.client.HTTPConnection("127.0.0.1", INFLUXDB_PORT, timeout=10)
    last, end = settings["after"], time.monotonic() + settings["seconds"]
    while time.monotonic() < end:
        statement = f"SELECT value FROM {settings['measurement']} WHERE value > {last}"  # noqa: S608
        server.request("GET", f"/query?db={settings['database']}&q={quote(statement)}", headers=settings["headers"])
        [result] = json.load(server.getresponse())["results"]
        seen = time.monotonic()
        for series in result.get("series", []):
            for row in series["values"]:
                last = max(last, row[1])
                print(row[1], seen, flush=True)
        time.sleep(PAUSE)


if __name__ == "__main__":
    main()
