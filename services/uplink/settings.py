"""What the uplink is told: who is summarised with whom, and where summaries go."""

from dataclasses import dataclass

from services._settings import Broker, Database


@dataclass(frozen=True, kw_only=True)
class Group:
    """Devices that are summarised together, when at least `min_sensors` of them report.

    `step` is what a personal quantity is rounded to; None where the quantity says nothing of people.
    """

    name: str
    quantity: str
    sensors: tuple[str, ...]
    min_sensors: int
    step: float | None


@dataclass(frozen=True, kw_only=True)
class Sensor:
    """A device that alarms may be about."""

    id: str
    pen: str
    quantities: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All of it."""

    site: str
    broker: Broker
    readings: Database
    headquarters: Database
    groups: tuple[Group, ...]
    sensors: tuple[Sensor, ...]
    not_personal: tuple[str, ...]
    allowed_lateness_seconds: int
    late_horizon_hours: int
    outage_budget_days: int
    kib_per_second: int
    data: str = "/var/lib/uplink"
