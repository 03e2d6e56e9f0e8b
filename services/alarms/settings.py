"""What the alarms are told: devices, limits, and when the node itself is not well."""

from dataclasses import dataclass, field

from services._settings import Broker


@dataclass(frozen=True, kw_only=True)
class Rule:
    """Limits of one sensor's quantity; an alarm is raised after `for_seconds` beyond one, over `hysteresis` inside."""

    sensor: str
    pen: str
    quantity: str
    unit: str
    low: float | None
    high: float | None
    hysteresis: float
    for_seconds: int


@dataclass(frozen=True, kw_only=True)
class Sensor:
    """A device that must not be silent for longer than this."""

    id: str
    pen: str
    silent_seconds: int
    quantities: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """Something that ends: its name and its last day, ISO 8601."""

    name: str
    not_after: str


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All of it."""

    site: str
    broker: Broker
    sensors: tuple[Sensor, ...]
    rules: tuple[Rule, ...]
    retention_days: int
    repeat_seconds: int
    disk_percent: int
    queue_messages: int
    uplink_seconds: int
    certificates: tuple[Certificate, ...]
    certificate_days: int
    webhook: str | None
    webhook_key: str = field(repr=False)
    data: str = "/var/lib/alarms"
