"""Names as a stack file may spell them."""

import re
from contextvars import ContextVar
from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints

Name = Annotated[str, StringConstraints(pattern=r"^[a-z]([a-z0-9-]{0,29}[a-z0-9])?$")]
QuantityName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,30}$")]
MacAddress = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{2}(:[0-9a-f]{2}){5}$")]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
SysctlKey = Annotated[str, StringConstraints(pattern=r"^(fs|kernel|net|vm)(\.[a-z0-9_-]+)+$")]
SysctlValue = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]+( [A-Za-z0-9_.-]+)*$", max_length=100)]
HostName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9.:-]+$")]


def _without_colon(host: str) -> str:
    if ":" in host:
        raise ValueError("an IPv6 address is not taken here; write a name that stands for it, or an IPv4 address")
    return host


#: Where what follows a colon would be taken for a port (libvirt's URI) or a folder (restic's).
NameOrIPv4 = Annotated[HostName, AfterValidator(_without_colon)]
Epoch = Annotated[int, Field(ge=1)]

#: Where a program of ours is told something over HTTP; a secret has no place in it.
WebAddress = Annotated[str, StringConstraints(pattern=r"^https?://[A-Za-z0-9.:\[\]-]+(/[A-Za-z0-9._~/-]*)?$")]

#: A registry's host, and a folder in it.
Mirror = Annotated[str, StringConstraints(pattern=r"^[a-z0-9.-]+(:\d{1,5})?(/[a-z0-9._-]+)*$")]

#: Not in a plan, which deploys nothing: there the policy pack tells of an image without a digest.
pins_are_needed: ContextVar[bool] = ContextVar("pins_are_needed", default=True)

_PINNED_IMAGE = re.compile(r"^[a-z0-9][\w.:/-]*@sha256:[0-9a-f]{64}")


def check_pinned(service: str, image: str) -> None:
    """Refuse an image that can change under a site's feet.

    Raises:
        ValueError: it is named by a tag.
    """
    if pins_are_needed.get() and not _PINNED_IMAGE.fullmatch(image):
        raise ValueError(
            f"{service}: {image} is not pinned; write name@sha256:<digest>: `bin/edge pin <site>` asks the registry"
        )
