"""What a site and headquarters may say of the page."""

from typing import Any

import pytest

from config.base import ConfigError
from config.site import HostSection, SiteSection
from tests.sites import edited, host_section, section

CERTIFICATE = ("page", "certificate")


def refusal(stack: str, *keys: str, value: Any) -> str:
    with pytest.raises(ConfigError) as error:
        SiteSection.parse(edited(section(stack), *keys, value=value), file=f"Pulumi.{stack}.yaml")
    return str(error.value)


def days(first: str, last: str) -> dict[str, str]:
    return {"notBefore": first, "notAfter": last}


@pytest.mark.parametrize(("stack", "part"), [("oslo", "iot"), ("hq", "summaries")])
def test_a_certificate_that_phones_refuse_is_refused_with_the_last_day(stack: str, part: str) -> None:
    told = refusal(stack, part, *CERTIFICATE, value=days("2026-01-01", "2028-04-05"))
    assert f"Pulumi.{stack}.yaml" in told
    assert "826 days are more than the 825 that phones accept; write notAfter 2028-04-04 or earlier" in told


def test_a_certificate_of_825_days_is_accepted() -> None:
    for stack, part in (("oslo", "iot"), ("hq", "summaries")):
        SiteSection.parse(
            edited(section(stack), part, *CERTIFICATE, value=days("2026-01-01", "2028-04-04")),
            file=f"Pulumi.{stack}.yaml",
        )


@pytest.mark.parametrize("life", [days("2025-12-31", "2027-01-01"), days("2035-01-01", "2036-01-01")])
def test_a_certificate_that_outlives_its_authority_is_refused(life: dict[str, str]) -> None:
    told = refusal("oslo", "iot", *CERTIFICATE, value=life)
    assert "page.certificate is not within iot.certificates, 2026-01-01 to 2035-12-31; change one of both" in told
    told = refusal("hq", "summaries", *CERTIFICATE, value=life)
    assert "certificate is not within authority, 2026-01-01 to 2035-12-31; change one of both" in told


def test_a_headquarters_that_is_known_by_name_alone_has_no_page() -> None:
    host = edited(host_section(), "host", "address", value="hq.example.com")
    host["summaries"]["page"] = section("hq")["summaries"]["page"]
    with pytest.raises(ConfigError, match=r"summaries\.page needs host\.address as an IPv4 address, not hq\.example"):
        HostSection.parse(host, file="Pulumi.hq.yaml")
