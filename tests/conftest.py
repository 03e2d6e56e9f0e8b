import gc

import pulumi  # noqa: F401  before lab.toolchain.language_host, which puts an empty package of that name in its place
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.configuration import set_hypothesis_home_dir

from lab.paths import CHECKOUT

# The default, .hypothesis in the checkout, is a folder that pytest would look for tests in.
set_hypothesis_home_dir(CHECKOUT / ".cache" / "hypothesis")

# Runs of the program leave many objects behind; to look through them as often as by default takes a sixth of all time.
gc.set_threshold(100_000, 50, 50)

# How busy the machine is says nothing about the code.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


def pytest_configure(config: pytest.Config) -> None:
    # Importing pulumi-command warns of a resource of its own that nobody here uses.
    config.addinivalue_line(
        "filterwarnings", "ignore:This resource is deprecated:DeprecationWarning:pulumi_command.remote.copy_file"
    )
