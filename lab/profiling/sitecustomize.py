"""Profiles a whole Python process, where `FJORD_EDGE_PROFILE` names the file for the figures; on PYTHONPATH only."""

import atexit
import cProfile
import os


def _profile_until_exit(target: str) -> None:
    profile = cProfile.Profile()

    def finish() -> None:
        profile.disable()
        profile.dump_stats(target)

    atexit.register(finish)
    profile.enable()


if "FJORD_EDGE_PROFILE" in os.environ:
    _profile_until_exit(os.environ["FJORD_EDGE_PROFILE"])
