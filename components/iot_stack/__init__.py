"""The containers of a site: broker, collector, database."""

from components.iot_stack.component import IoTStack, IoTStackArgs

__all__ = ["IoTStack", "IoTStackArgs"]
