"""What the page is told: a farm's pens, or headquarters' sites, and where it listens."""

from dataclasses import dataclass, field

from services._settings import Broker, Database


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """What a sensor measures, and beyond which values an alarm is raised."""

    name: str
    unit: str
    low: float | None
    high: float | None


@dataclass(frozen=True, kw_only=True)
class Sensor:
    """A device, which is silent when it has said nothing for so long."""

    id: str
    silent_seconds: int
    quantities: tuple[Quantity, ...]


@dataclass(frozen=True, kw_only=True)
class Pen:
    """A pen and its sensors."""

    name: str
    sensors: tuple[Sensor, ...]


@dataclass(frozen=True, kw_only=True)
class Farm:
    """A site: its pens, where its readings come from, and the PIN with which its alarms are acknowledged."""

    broker: Broker
    database: Database
    pens: tuple[Pen, ...]
    retention_days: int
    outage_budget_days: int
    pin: str = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Headquarters:
    """The sites by the databases of their summaries; one that has said nothing for so long is silent."""

    silent_seconds: int
    sites: dict[str, Database]


@dataclass(frozen=True, kw_only=True)
class Tls:
    """Files, PEM: the page's own certificate and key, and the authority that signed it."""

    certificate: str
    key: str
    authority: str


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All of it.

    Attributes:
        name: the site's.
        ports: where it listens in its container.
        shown: what it shows.
    """

    name: str
    ports: tuple[int, ...]
    tls: Tls
    shown: Farm | Headquarters
