"""The containers of a site: broker, collector, database, alarms, uplink, page."""

from components.iot_stack.component import IoTStack, IoTStackArgs
from components.iot_stack.containers import MQTT_PORT, MQTT_TLS_PORT

__all__ = ["MQTT_PORT", "MQTT_TLS_PORT", "IoTStack", "IoTStackArgs"]
