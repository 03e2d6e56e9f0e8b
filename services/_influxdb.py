"""InfluxDB 1.8 by its HTTP interface: InfluxQL questions, and points in line protocol."""

import base64
import gzip
import http.client
import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterable
from typing import Any

from services._settings import Database

TIMEOUT_SECONDS = 15


class UnavailableError(Exception):
    """The database did not answer; what was asked may be asked again."""


class RefusedError(Exception):
    """The database answered that it will not; asking again changes nothing."""


class Client:
    """One database, in one user's name."""

    def __init__(self, database: Database) -> None:
        self._database = database
        credentials = base64.b64encode(f"{database.user}:{database.password}".encode()).decode()
        self._authorization = {"Authorization": f"Basic {credentials}"}

    def query(self, statement: str) -> list[dict[str, Any]]:
        """Ask one statement; a dictionary a row, its series' tags included, times in epoch milliseconds.

        Raises:
            UnavailableError: no answer came.
            RefusedError: the statement, or the user, is not accepted.
        """
        form = urllib.parse.urlencode({"q": statement}).encode()
        [result] = json.loads(self._post("query", {"epoch": "ms"}, form))["results"]
        if "error" in result:
            raise RefusedError(result["error"])
        return [
            dict(zip(series["columns"], row, strict=True)) | series.get("tags", {})
            for series in result.get("series", [])
            for row in series["values"]
        ]

    def write(self, lines: Iterable[str], *, precision: str = "ms") -> int:
        """Write points in line protocol; returns the bytes sent, compressed.

        Raises:
            UnavailableError: no answer came; the points may be there or not, and may be written again.
            RefusedError: a point, or the user, is not accepted.
        """
        body = gzip.compress("\n".join(lines).encode(), mtime=0)
        self._post("write", {"precision": precision}, body, {"Content-Encoding": "gzip"})
        return len(body)

    def _post(self, path: str, asked: dict[str, str], body: bytes, headers: dict[str, str] | None = None) -> bytes:
        words = urllib.parse.urlencode({"db": self._database.name, **asked})
        request = urllib.request.Request(
            f"{self._database.url}/{path}?{words}", body, {**self._authorization, **(headers or {})}
        )
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:
                content: bytes = answer.read()
                return content
        except urllib.error.HTTPError as error:
            said = error.read().decode(errors="replace").strip()
            # 5xx: it is starting, full or overloaded; its cache's limit is told so too.
            raise (UnavailableError if error.code >= 500 else RefusedError)(f"{error.code} {said[:200]}") from None
        except (OSError, http.client.HTTPException) as error:
            raise UnavailableError(str(error)) from None


def literal(text: str) -> str:
    """An InfluxQL string literal."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
