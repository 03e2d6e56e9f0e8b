"""The container of one of our own programs, `services/<name>`."""

from components._services import HealthCheck, Service
from services import _settings
from services._health import HEALTH_PORT

#: Users that exist in no image.
USERS = {"alarms": 8201, "uplink": 8202, "page": 8203, "watch": 8204}

#: Where the programs lie in their image.
FOLDER = "/opt/fjord-edge"

_SETTINGS = "settings.json"


def own_service(name: str, image: str, *, memory_mib: int, cpu_shares: int) -> Service:
    """One of our own programs: `services/<name>`."""
    return Service(
        name=name,
        image=image,
        user=USERS[name],
        command=["/usr/bin/python3", "-m", f"services.{name}", f"/etc/{name}/{_SETTINGS}"],
        memory_mib=memory_mib,
        cpu_shares=cpu_shares,
        health_check=HealthCheck(command=["curl", "-fsS", f"http://127.0.0.1:{HEALTH_PORT}"], start_period="30s"),
        configuration=f"/etc/{name}",
        data=f"/var/lib/{name}",
        environment=[f"PYTHONPATH={FOLDER}", "PYTHONUNBUFFERED=1", "PYTHONDONTWRITEBYTECODE=1"],
    )


def own_files(settings: object) -> dict[str, str]:
    """Its files by name."""
    return {_SETTINGS: _settings.render(settings)}
