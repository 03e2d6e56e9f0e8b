"""What our own programs on the node are told: their settings, of the site's section."""

from collections.abc import Callable

from components._influxdb import INFLUXDB_PORT
from components._page import TLS
from components.iot_stack.containers import MQTT_PORT
from components.iot_stack.telegraf import DATABASE
from config.derive import MqttUser
from config.iot import Iot, Sensor
from services._settings import Broker, Database
from services.alarms import settings as alarms
from services.page import settings as page
from services.uplink import settings as uplink

#: A device that sends seldom is silent after so many readings that did not come.
_MISSED = 3


def broker(user: MqttUser) -> Broker:
    """The site's broker, as a container beside it reaches it."""
    return Broker(
        host="mosquitto",
        port=MQTT_PORT,
        user=user.name,
        password=user.password,
    )


def database(user: str, password: str) -> Database:
    """The site's own database, as a container beside it reaches it."""
    return Database(url=f"http://influxdb:{INFLUXDB_PORT}", name=DATABASE, user=user, password=password)


def alarm_settings(
    iot: Iot, site: str, mqtt: Callable[[str], MqttUser], *, certificates: dict[str, str], webhook_key: str
) -> alarms.Settings:
    """What the alarms are raised by.

    Args:
        iot: the site's section.
        site: its name.
        mqtt: gives a broker user.
        certificates: last days by name, ISO.
        webhook_key: what is posted is signed with it.
    """
    asked = iot.alarms
    return alarms.Settings(
        site=site,
        broker=broker(mqtt("alarms")),
        sensors=tuple(
            alarms.Sensor(
                id=sensor.id,
                pen=sensor.pen,
                silent_seconds=_silent_seconds(iot, sensor),
                quantities=sensor.quantities,
            )
            for sensor in iot.sensors
        ),
        rules=tuple(_rules(iot)),
        retention_days=iot.storage.retention_days,
        repeat_seconds=asked.repeat_seconds,
        disk_percent=asked.disk_percent,
        queue_messages=asked.queue_messages,
        uplink_seconds=asked.uplink_minutes * 60,
        certificates=tuple(
            alarms.Certificate(name=name, not_after=not_after) for name, not_after in certificates.items()
        ),
        certificate_days=asked.certificate_days,
        webhook=asked.webhook,
        webhook_key=webhook_key,
    )


def uplink_settings(
    iot: Iot, site: str, mqtt: Callable[[str], MqttUser], *, influxdb_password: str, headquarters: Database
) -> uplink.Settings:
    """What headquarters is told, and how.

    Args:
        iot: the site's section.
        site: its name.
        mqtt: gives a broker user.
        influxdb_password: of the user `uplink` at the local database.
        headquarters: where summaries go.
    """
    asked = iot.uplink
    return uplink.Settings(
        site=site,
        broker=broker(mqtt("uplink")),
        readings=database("uplink", influxdb_password),
        headquarters=headquarters,
        groups=tuple(
            uplink.Group(
                name=group.name,
                quantity=group.quantity,
                sensors=group.sensors,
                min_sensors=group.min_sensors,
                step=None if group.quantity in asked.not_personal else asked.rounding[group.quantity],
            )
            for group in asked.groups
        ),
        sensors=tuple(
            uplink.Sensor(id=sensor.id, pen=sensor.pen, quantities=sensor.quantities) for sensor in iot.sensors
        ),
        not_personal=tuple(asked.not_personal),
        allowed_lateness_seconds=asked.allowed_lateness_seconds,
        late_horizon_hours=asked.late_horizon_hours,
        outage_budget_days=asked.outage_budget_days,
        kib_per_second=asked.kib_per_second,
    )


def page_settings(
    iot: Iot,
    site: str,
    mqtt: Callable[[str], MqttUser],
    *,
    influxdb_password: str,
    pin: str,
    ports: tuple[int, ...],
) -> page.Settings:
    """What the page shows.

    Args:
        iot: the site's section.
        site: its name.
        mqtt: gives a broker user.
        influxdb_password: of the user `page` at the local database.
        pin: what people type to acknowledge.
        ports: where it listens in its container.
    """
    farm = page.Farm(
        broker=broker(mqtt("page")),
        database=database("page", influxdb_password),
        pens=tuple(
            page.Pen(name=pen, sensors=tuple(_shown(iot, sensor) for sensor in iot.sensors if sensor.pen == pen))
            for pen in iot.pens
        ),
        retention_days=iot.storage.retention_days,
        outage_budget_days=iot.uplink.outage_budget_days,
        pin=pin,
    )
    return page.Settings(name=site, ports=ports, tls=TLS, shown=farm)


def _shown(iot: Iot, sensor: Sensor) -> page.Sensor:
    return page.Sensor(
        id=sensor.id,
        silent_seconds=_silent_seconds(iot, sensor),
        quantities=tuple(
            page.Quantity(name=name, unit=iot.quantities[name].unit, low=limits.low, high=limits.high)
            for name in sensor.quantities
            for limits in [iot.limits(sensor, name)]
        ),
    )


def _silent_seconds(iot: Iot, sensor: Sensor) -> int:
    return max(iot.alarms.silent_seconds, _MISSED * sensor.every_seconds)


def _rules(iot: Iot) -> list[alarms.Rule]:
    return [
        alarms.Rule(
            sensor=sensor.id,
            pen=sensor.pen,
            quantity=name,
            unit=quantity.unit,
            low=limits.low,
            high=limits.high,
            hysteresis=quantity.hysteresis,
            for_seconds=quantity.for_seconds,
        )
        for sensor in iot.sensors
        for name in sensor.quantities
        for quantity, limits in [(iot.quantities[name], iot.limits(sensor, name))]
        if limits.low is not None or limits.high is not None
    ]
