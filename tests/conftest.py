from hypothesis import HealthCheck, settings
from hypothesis.configuration import set_hypothesis_home_dir

from lab.paths import CHECKOUT

# The default, .hypothesis in the checkout, is a folder that pytest would look for tests in.
set_hypothesis_home_dir(CHECKOUT / ".cache" / "hypothesis")

# How busy the machine is says nothing about the code.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")
