"""The models of `fjord-edge:site.iot`: what a site measures, keeps, watches and sends."""

from collections.abc import Iterable
from datetime import date, timedelta
from itertools import combinations
from typing import Annotated, Self

from pydantic import Field, StringConstraints, field_validator, model_validator

from config.base import Model
from config.names import HostName, Mirror, Name, QuantityName, WebAddress, check_pinned
from config.versions import IMAGES

#: The pen under which the node's own alarms stand.
NODE_PEN = "node"

#: Users of the broker that are no sensors, now or soon; see components/iot_stack/users.py.
SERVICES = ("telegraf", "health", "alarms", "uplink", "page")

#: On disk, index included, a reading in a shard of a day; measured are 5.5 to 9.8 (docs/benchmarks.md).
BYTES_PER_READING = 10

#: Of the data disk, what readings may fill: the rest is for the write-ahead log of the day's, which takes 40 bytes each
#: until the cache is full, for compaction, the broker's queue and a backup's staging.
READINGS_SHARE = 0.6

#: The broker keeps what arrives in so many hours while nobody reads, and no fewer messages than that, nor more: each
#: takes half a KiB of its memory.
QUEUE_HOURS = 6
MIN_QUEUED, MAX_QUEUED = 100_000, 400_000

#: W: what was acknowledged so long before a power cut is stored; of what came later something may be lost. Measured by
#: `make drills` (docs/benchmarks.md); the broker's reason is in ADR 18.
POWER_CUT_SECONDS = 1.0

#: A server's certificate that is valid longer is refused by phones.
MAX_SERVER_DAYS = 825

#: A certificate that ends within so many days is told.
CERTIFICATE_DAYS = 60

#: A number that a value can be compared with.
Finite = Annotated[float, Field(allow_inf_nan=False)]

#: Devices in a group, unless its quantity is declared not personal.
MIN_SENSORS = 5


class Certificates(Model):
    """The life of the site's certificates; written down, so that a preview never shows a change that is none."""

    not_before: date
    """First day, UTC."""
    not_after: date
    """Last day, UTC."""

    @model_validator(mode="after")
    def life_is_positive(self) -> Self:
        """A certificate must end after it begins."""
        if self.not_after <= self.not_before:
            raise ValueError(f"notAfter {self.not_after} is not later than notBefore {self.not_before}")
        return self


class Page(Model):
    """The web page for the people there."""

    certificate: Certificates
    """The life of its certificate."""

    @model_validator(mode="after")
    def phones_accept_it(self) -> Self:
        """Also one that the phone's owner trusts (https://support.apple.com/en-us/103769)."""
        days = (self.certificate.not_after - self.certificate.not_before).days + 1
        if days > MAX_SERVER_DAYS:
            raise ValueError(
                f"certificate: {days} days are more than the {MAX_SERVER_DAYS} that phones accept; "
                f"write notAfter {self.certificate.not_before + timedelta(days=MAX_SERVER_DAYS - 1)} or earlier"
            )
        return self

    def outlives(self, authority: Certificates) -> bool:
        """Whether it would be valid on a day on which its authority is not."""
        life = self.certificate
        return life.not_before < authority.not_before or life.not_after > authority.not_after


class Limits(Model):
    """Beyond which values an alarm is raised."""

    low: Finite | None = None
    """Raised below it, in the quantity's unit."""
    high: Finite | None = None
    """Raised above it, in the quantity's unit."""

    @model_validator(mode="after")
    def limits_do_not_cross(self) -> Self:
        """No value would be without an alarm."""
        if self.low is not None and self.high is not None and self.low >= self.high:
            raise ValueError(f"low {self.low} is not below high {self.high}; no value would be right")
        return self


class Quantity(Limits):
    """Something that is measured at this site."""

    unit: Annotated[str, StringConstraints(pattern=r"^\S.{0,11}$")]
    """Its unit, as people read it."""
    hysteresis: Finite = Field(default=0.0, ge=0)
    """An alarm is over when a value is so far inside the limit again, in the quantity's unit."""
    for_seconds: int = Field(default=60, ge=0, le=86_400)
    """An alarm is raised when the value has been beyond the limit for so many seconds."""


class Sensor(Model):
    """One device that publishes `sensors/<id>/<quantity>`."""

    id: Name
    """The sensor's name and MQTT user."""
    pen: Name
    """The pen it hangs in."""
    quantities: tuple[QuantityName, ...] = Field(min_length=1)
    """What it measures."""
    every_seconds: int = Field(default=10, ge=1, le=86_400)
    """It sends each of them once in so many seconds."""
    limits: dict[QuantityName, Limits] = Field(default_factory=dict)
    """Limits of its own; a side that it leaves out is the quantity's."""

    @model_validator(mode="after")
    def quantities_are_listed_once(self) -> Self:
        """Each is a topic of its own, and is counted as one."""
        for quantity in self.quantities:
            if self.quantities.count(quantity) > 1:
                raise ValueError(f"{self.id} has quantity {quantity} twice; remove one")
        return self

    @model_validator(mode="after")
    def limits_are_of_what_it_measures(self) -> Self:
        """A limit for something else would never raise an alarm."""
        for quantity in self.limits:
            if quantity not in self.quantities:
                raise ValueError(f"limits.{quantity}: {self.id} does not measure it; remove it, or add the quantity")
        return self


class Storage(Model):
    """How long readings are kept on the node, and how."""

    retention_days: int = Field(default=400, ge=2)
    """Readings older than so many days are deleted."""
    shard_hours: int = Field(default=24, ge=1, le=7 * 24)
    """Readings of so many hours lie, and are deleted, together."""

    @model_validator(mode="after")
    def a_shard_is_within_the_retention(self) -> Self:
        """InfluxDB refuses another (services/meta/data.go, ErrIncompatibleDurations)."""
        if self.shard_hours > self.retention_days * 24:
            raise ValueError(
                f"shardHours {self.shard_hours} is more than retentionDays {self.retention_days}, which are "
                f"{self.retention_days * 24} hours; InfluxDB refuses that: write {self.retention_days * 24} or less"
            )
        return self


class Group(Model):
    """Devices whose readings leave the site only together."""

    name: Name
    """What headquarters calls it."""
    quantity: QuantityName
    """What they measure."""
    sensors: tuple[Name, ...] = Field(min_length=1)
    """Its devices; fixed, and in no other group of this quantity."""
    min_sensors: int = Field(default=MIN_SENSORS, ge=1)
    """A minute in which fewer of its devices report is withheld."""


class Uplink(Model):
    """What leaves for headquarters: summaries of a minute over groups of devices, never a reading."""

    allowed_lateness_seconds: int = Field(default=30, ge=5, le=3600)
    """A minute's summary is computed so many seconds after its end."""
    late_horizon_hours: int = Field(default=24, ge=1, le=168)
    """A summary follows readings that come so many hours late, and up to an hour more, or until a longer cut is over; a
    personal quantity's leaves when the hours are over, and follows none."""
    outage_budget_days: int = Field(default=14, ge=1, le=365)
    """How many days a cut may last without a summary lost; the disk must hold it."""
    kib_per_second: int = Field(default=64, ge=1)
    """No more than this is sent, KiB/s."""
    not_personal: dict[QuantityName, Annotated[str, StringConstraints(min_length=10, max_length=200)]] = Field(
        default_factory=dict
    )
    """Quantities that say nothing of people, each with the reference of the written assessment."""
    rounding: dict[QuantityName, Annotated[float, Field(gt=0)]] = Field(default_factory=dict)
    """Personal quantities leave rounded to this step, in the quantity's unit."""
    groups: tuple[Group, ...] = ()
    """What is summarised; a quantity without a group never leaves."""

    @model_validator(mode="after")
    def groups_are_anonymous(self) -> Self:
        """A small or overlapping group gives single devices away."""
        for group in self.groups:
            personal = group.quantity not in self.not_personal
            told = f"group {group.name} of {group.quantity}"
            if personal and group.min_sensors < MIN_SENSORS:
                raise ValueError(
                    f"{told}: minSensors {group.min_sensors} is below {MIN_SENSORS}; raise it, or declare the quantity "
                    "in notPersonal with the reference of the assessment"
                )
            if len(set(group.sensors)) < group.min_sensors:
                raise ValueError(
                    f"{told} has {len(set(group.sensors))} devices, minSensors is {group.min_sensors}: nothing would "
                    "ever leave; add devices, or remove the group"
                )
            if personal and group.quantity not in self.rounding:
                raise ValueError(f"{told} is personal and has no step to round to; give one in rounding")
        return self

    @model_validator(mode="after")
    def groups_are_disjoint(self) -> Self:
        """The difference of two groups would be what their other devices measured."""
        for one, other in combinations(self.groups, 2):
            if one.quantity != other.quantity:
                continue
            if one.name == other.name:
                raise ValueError(f"group {one.name} of {one.quantity} is there twice; give one another name")
            if common := sorted(set(one.sensors) & set(other.sensors)):
                raise ValueError(
                    f"{common[0]} is in two groups of {one.quantity}, {one.name} and {other.name}; leave it in one"
                )
        return self

    @model_validator(mode="after")
    def horizon_is_within_the_budget(self) -> Self:
        """What is looked at again must still be there."""
        if self.late_horizon_hours > self.outage_budget_days * 24:
            raise ValueError(
                f"lateHorizonHours {self.late_horizon_hours} is more than outageBudgetDays {self.outage_budget_days}; "
                "lower it"
            )
        return self


class Alarms(Model):
    """When people are told, beside the limits of the quantities."""

    silent_seconds: int = Field(default=120, ge=5)
    """A quantity of which nothing newer comes for so many seconds is silent; one sent seldom may miss three of them."""
    repeat_seconds: int = Field(default=900, ge=10)
    """An alarm that nobody acknowledges is told again after so many seconds."""
    disk_percent: int = Field(default=85, ge=10, le=99)
    """A disk this full is told, percent."""
    queue_messages: int = Field(default=20_000, ge=100)
    """More messages in the broker than that are told: nobody reads them."""
    uplink_minutes: int = Field(default=30, ge=1)
    """Headquarters out of reach for so many minutes is told."""
    certificate_days: int = Field(default=CERTIFICATE_DAYS, ge=1)
    """A certificate that ends within so many days is told."""
    webhook: WebAddress | None = None
    """Where each alarm is posted until it is accepted, signed with a key that is derived from the seed."""


def mirrored(mirror: str | None, image: str) -> str:
    """An image's name at a mirror, which has it under the same name below its own."""
    if mirror is None:
        return image
    first, _, rest = image.partition("/")
    is_host = "." in first or ":" in first or first == "localhost"
    return f"{mirror}/{rest if rest and is_host else image}"


class Images(Model):
    """The containers' images, each pinned by digest."""

    mosquitto: str = IMAGES["mosquitto"]
    """MQTT broker."""
    telegraf: str = IMAGES["telegraf"]
    """Collector."""
    influxdb: str = IMAGES["influxdb"]
    """Local database."""
    services: str = IMAGES["services"]
    """Our own programs."""
    mirror: Mirror | None = None
    """A registry that has all of them under the same names and digests; they are pulled from there."""

    def pulled(self, service: str) -> str:
        """An image as it is pulled: from the mirror, where there is one."""
        return mirrored(self.mirror, getattr(self, service))


class Iot(Model):
    """The containers that take in, store and watch: `IoTStack`."""

    server_names: tuple[HostName, ...] = ()
    """Further DNS names by which sensors reach the broker."""
    certificates: Certificates
    """The life of the broker's certificates."""
    plain_mqtt: bool = False
    """Whether devices may speak without TLS too, to port 1883 in the farm's own network alone."""
    pens: tuple[Name, ...] = Field(min_length=1)
    """The site's pens, in the order in which people see them; each has a sensor."""
    quantities: dict[QuantityName, Quantity] = Field(min_length=1)
    """What is measured."""
    sensors: tuple[Sensor, ...] = Field(min_length=1)
    """Every sensor of the site."""
    gateways: dict[Name, tuple[Name, ...]] = Field(default_factory=dict)
    """Devices that publish for others: their MQTT user, and the sensors that they speak for."""
    storage: Storage = Storage()
    """What the local database keeps."""
    alarms: Alarms = Alarms()
    """What people are told."""
    uplink: Uplink = Uplink()
    """What headquarters is told."""
    page: Page | None = None
    """The page on the node; without it there is none."""
    images: Images = Images()
    """What runs."""

    @field_validator("images")
    @classmethod
    def images_are_pinned(cls, images: Images) -> Images:
        """A tag can change under a site's feet, a digest cannot."""
        for service in IMAGES:
            check_pinned(service, getattr(images, service))
        return images

    @property
    def readings_per_second(self) -> float:
        """What the sensors send when all is well."""
        return sum(len(sensor.quantities) / sensor.every_seconds for sensor in self.sensors)

    @property
    def queued_messages(self) -> int:
        """What the broker keeps for a reader that is away."""
        return max(MIN_QUEUED, round(self.readings_per_second * QUEUE_HOURS * 3600))

    @property
    def devices(self) -> dict[str, tuple[str, ...]]:
        """Every MQTT user that is a device, with the sensors for which it speaks."""
        return {sensor.id: (sensor.id,) for sensor in self.sensors} | self.gateways

    def limits(self, sensor: Sensor, quantity: str) -> Limits:
        """Those in force for a sensor."""
        general, own = self.quantities[quantity], sensor.limits.get(quantity, Limits())
        # Not validated here: `limits_leave_room` tells of which sensor they are.
        return Limits.model_construct(
            low=general.low if own.low is None else own.low, high=general.high if own.high is None else own.high
        )

    @model_validator(mode="after")
    def names_are_used_once(self) -> Self:
        """A name is an MQTT user: it belongs to one device, and to no service."""
        seen: set[str] = set()
        for name in (*(sensor.id for sensor in self.sensors), *self.gateways):
            if name in seen:
                raise ValueError(f"sensor {name} is listed twice; give each device an id of its own")
            if name in SERVICES:
                raise ValueError(f"{name} is a service's own name at the broker; give the device another")
            seen.add(name)
        return self

    @field_validator("pens")
    @classmethod
    def pens_are_the_farms(cls, pens: tuple[str, ...]) -> tuple[str, ...]:
        """A pen is listed once, and none is called what the node is called."""
        for pen in pens:
            if pen == NODE_PEN:
                raise ValueError(f"{NODE_PEN} stands for the node's own alarms; give the pen another name")
            if pens.count(pen) > 1:
                raise ValueError(f"pen {pen} is listed twice; remove one")
        return pens

    @model_validator(mode="after")
    def what_is_referred_to_exists(self) -> Self:
        """A name that nothing has is a typing error."""
        for sensor in self.sensors:
            _refer(f"sensor {sensor.id}: pen", [sensor.pen], self.pens, "pens")
            _refer(f"sensor {sensor.id}: quantity", sensor.quantities, self.quantities, "quantities")
        ids = {sensor.id for sensor in self.sensors}
        for gateway, spoken_for in self.gateways.items():
            _refer(f"gateway {gateway}: sensor", spoken_for, ids, "sensors")
        _refer("uplink.notPersonal: quantity", self.uplink.not_personal, self.quantities, "quantities")
        _refer("uplink.rounding: quantity", self.uplink.rounding, self.quantities, "quantities")
        measuring = {(sensor.id, quantity) for sensor in self.sensors for quantity in sensor.quantities}
        for group in self.uplink.groups:
            for name in group.sensors:
                if (name, group.quantity) not in measuring:
                    raise ValueError(
                        f"uplink.groups {group.name}: no sensor {name} measures {group.quantity}; "
                        "correct the name, or remove it from the group"
                    )
        return self

    @model_validator(mode="after")
    def limits_leave_room(self) -> Self:
        """Between the limits in force there are values that raise no alarm, and some that end one."""
        for sensor in self.sensors:
            for name in sensor.quantities:
                limits, hysteresis = self.limits(sensor, name), self.quantities[name].hysteresis
                if limits.low is None or limits.high is None:
                    continue
                told = f"sensor {sensor.id}: low {limits.low} of {name}"
                if limits.low >= limits.high:
                    raise ValueError(f"{told} is not below high {limits.high}; correct its limits or the quantity's")
                if hysteresis > limits.high - limits.low:
                    raise ValueError(
                        f"{told} and high {limits.high} are nearer than hysteresis {hysteresis}: an alarm would end "
                        "beyond the other limit only; lower the hysteresis"
                    )
        return self

    @model_validator(mode="after")
    def pens_have_sensors(self) -> Self:
        """Nobody would notice that nothing watches it."""
        for pen in self.pens:
            if all(sensor.pen != pen for sensor in self.sensors):
                raise ValueError(
                    f"pen {pen} has no sensor; add one to sensors, or remove the pen: `bin/edge device <site> add` "
                    "writes a pen with its first sensor (--new-pen)"
                )
        return self

    @model_validator(mode="after")
    def queue_fits_the_broker(self) -> Self:
        """What does not fit would be dropped without a word."""
        if self.queued_messages > MAX_QUEUED:
            raise ValueError(
                f"{self.readings_per_second:.0f} readings/s for {QUEUE_HOURS} h are {self.queued_messages} messages, "
                f"the broker keeps {MAX_QUEUED}. Let the sensors send less often (everySeconds)"
            )
        return self

    @model_validator(mode="after")
    def budget_is_kept(self) -> Self:
        """What is deleted cannot be summarised any more."""
        if self.uplink.outage_budget_days > self.storage.retention_days:
            raise ValueError(
                f"uplink.outageBudgetDays {self.uplink.outage_budget_days} is more than storage.retentionDays "
                f"{self.storage.retention_days}; keep readings longer, or lower the budget"
            )
        return self

    @model_validator(mode="after")
    def page_does_not_outlive_its_authority(self) -> Self:
        """A browser would refuse it."""
        if self.page and self.page.outlives(self.certificates):
            raise ValueError(
                f"page.certificate is not within iot.certificates, {self.certificates.not_before} to "
                f"{self.certificates.not_after}; change one of both"
            )
        return self

    def needed_gib(self, days: int) -> float:
        """What the readings of so many days take on the data disk, with its reserve."""
        return self.readings_per_second * 86_400 * days * BYTES_PER_READING / READINGS_SHARE / 2**30


def _refer(what: str, names: Iterable[str], known: Iterable[str], where: str) -> None:
    for name in names:
        if name not in known:
            raise ValueError(f"{what} {name} is not in {where}; add it there, or correct the name")
