"""How long a preview takes, and how much of it is our own code."""

import pstats
import time
from pathlib import Path
from statistics import median

from lab.paths import CHECKOUT, STATE
from lab.stacks import Stack

RUNS = 5

_PROFILING = Path(__file__).parent / "profiling"
_PROFILE = STATE / "preview.pstats"


def preview_breakdown(stack: Stack) -> dict[str, float]:
    """Preview `RUNS` times plainly and once profiled.

    Returns:
        Seconds: `preview`, the median of the plain ones, whole; `program`, the Python process under the profiler;
        `own`, what the profiler saw in this checkout's code, with the built-in functions it calls, and in all that
        `load_site` calls (so what is in both counts twice). The profiler slows `own` down: it is an upper bound.
    """
    plain = []
    for _ in range(RUNS):
        begun = time.monotonic()
        stack.preview()
        plain.append(time.monotonic() - begun)
    stack.preview(environment={"PYTHONPATH": str(_PROFILING), "FJORD_EDGE_PROFILE": str(_PROFILE)})
    stats = pstats.Stats(str(_PROFILE))
    return {"preview": median(plain), "program": stats.total_tt, "own": own_seconds(stats)}  # type: ignore[attr-defined]


def own_seconds(stats: pstats.Stats) -> float:
    """Sum the time in our own functions, in the built-ins they call, and in everything below `load_site`."""
    total = 0.0
    for (file, _, name), (_, _, own, cumulative, callers) in stats.stats.items():  # type: ignore[attr-defined]
        if is_ours(file):
            total += cumulative if name == "load_site" else own
        elif file == "~":
            total += sum(spent[2] for (caller, _, _), spent in callers.items() if is_ours(caller))
    return total


def is_ours(file: str) -> bool:
    """Whether a source file is this checkout's own, and not one of its virtual environment."""
    path = Path(file)
    return path.is_relative_to(CHECKOUT) and not path.is_relative_to(CHECKOUT / ".venv")
