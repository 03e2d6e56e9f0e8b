"""The image of our own programs, in production and in the lab."""

from lab.paths import CHECKOUT
from lab.services.images import PYTHON_PACKAGES


def test_the_image_has_what_the_labs_has_and_the_public_authorities_by_which_an_https_webhook_is_trusted() -> None:
    *_, line = [
        line for line in (CHECKOUT / "services/Dockerfile").read_text().splitlines() if "apt-get install" in line
    ]
    packages = line.partition("--no-install-recommends ")[2].partition(" &&")[0].split()
    assert set(packages) == {*PYTHON_PACKAGES, "ca-certificates"}
