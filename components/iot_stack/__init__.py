"""The containers of a site: broker, collector, database."""

from components.iot_stack.component import IoTStack, IoTStackArgs, docker_provider

__all__ = ["IoTStack", "IoTStackArgs", "docker_provider"]
