import time
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")


def eventually(read: Callable[[], Result], seconds: float) -> Result:
    """Read until something truthy comes back, or give back the last answer when the time is over."""
    deadline = time.monotonic() + seconds
    while not (found := read()) and time.monotonic() < deadline:
        time.sleep(0.5)
    return found
