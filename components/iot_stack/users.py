"""Who may log in at the broker, and what each may read and write there."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from config.derive import MqttUser
from config.iot import Iot

READ, WRITE, BOTH = "read", "write", "readwrite"


@dataclass(frozen=True, kw_only=True)
class BrokerUser:
    """A user and the topics that are granted: mosquitto.conf(5)'s acl_file, access and pattern."""

    user: MqttUser
    grants: Sequence[tuple[str, str]]


_SERVICES: dict[str, Sequence[tuple[str, str]]] = {
    "telegraf": [(READ, "sensors/+/+")],
    "health": [(READ, "$SYS/broker/uptime")],
}


def _of_site(site: str) -> dict[str, Sequence[tuple[str, str]]]:
    """The services whose topics have the site's name in them."""
    return {
        "alarms": [
            (READ, "sensors/+/+"),
            (BOTH, f"alerts/{site}/#"),
            (READ, f"acknowledgements/{site}/#"),
            (READ, "$SYS/broker/store/messages/count"),
            (READ, "$SYS/broker/publish/messages/dropped"),
            (READ, f"status/{site}/uplink"),
            (BOTH, f"status/{site}/alarms"),
        ],
        "uplink": [(READ, f"alerts/{site}/#"), (BOTH, f"status/{site}/uplink")],
        "page": [
            (READ, "sensors/+/+"),
            (READ, f"alerts/{site}/#"),
            (WRITE, f"acknowledgements/{site}/#"),
            (READ, f"status/{site}/alarms"),
            (READ, f"status/{site}/uplink"),
            (WRITE, f"status/{site}/page"),
        ],
    }


def broker_users(iot: Iot, site: str, derived: Callable[[str], MqttUser]) -> list[BrokerUser]:
    """The devices, each of which writes its own readings and reads nothing, then the services.

    Args:
        iot: the site's section.
        site: its name.
        derived: gives a user's password.
    """
    return [
        *(
            BrokerUser(user=derived(name), grants=[(WRITE, f"sensors/{sensor}/+") for sensor in sensors])
            for name, sensors in iot.devices.items()
        ),
        *(BrokerUser(user=derived(name), grants=grants) for name, grants in (_SERVICES | _of_site(site)).items()),
    ]
