"""The page's container and files, at a site as at headquarters."""

from collections.abc import Sequence
from dataclasses import replace
from ipaddress import IPv4Address

from components._own import own_files, own_service
from components._services import Port, Service
from config.derive import CertifiedKey
from services.page.settings import Settings, Tls

PAGE_PORT = 443

#: Of the container's own, one for each address: it may not listen below 1024.
_FIRST_PORT = 8443

#: Its files, in its container.
TLS = Tls(certificate="/etc/page/server.crt", key="/etc/page/server.key", authority="/etc/page/ca.crt")

#: Names in its certificate, beside those that a site gives it; by the last one it asks itself whether it serves.
NAMES = ("page", "localhost")


def page_service(image: str, addresses: Sequence[IPv4Address]) -> Service:
    """The page, at these addresses of the node; it keeps no data."""
    ports = [
        Port(address=address, external=PAGE_PORT, internal=_FIRST_PORT + number)
        for number, address in enumerate(addresses)
    ]
    return replace(own_service("page", image, memory_mib=96, cpu_shares=256), ports=ports, data=None)


def internal_ports(service: Service) -> tuple[int, ...]:
    """Where it listens in its container."""
    return tuple(port.internal for port in service.ports)


def page_files(settings: Settings, authority: CertifiedKey, server: CertifiedKey) -> dict[str, str]:
    """Render its files by name."""
    return {
        **own_files(settings),
        "ca.crt": authority.certificate,
        "server.crt": server.certificate,
        "server.key": server.private,
    }
