"""A new image, or new files, prove themselves on the node before the container that runs is replaced."""

import json
from pathlib import Path

from components._files import CONFIGURATION, PROGRAMS, File
from components._services import Service


def canary_files(service: Service) -> list[File]:
    """The program, and what it starts."""
    asked = {
        "name": service.name,
        "image": service.image,
        "user": service.user,
        "command": list(service.command),
        "memoryMib": service.memory_mib,
        "slice": service.slice,
        "capabilities": list(service.capabilities),
        "environment": list(service.environment),
        "files": service.configuration_directory,
        "configuration": service.configuration,
        "data": service.data,
        "healthCheck": list(service.health_check.command),
    }
    program = (Path(__file__).parent / "on_node" / "canary.py").read_text()
    return [
        File(path=_program(service), contents=program, mode=0o755),
        File(path=_file(service), contents=json.dumps(asked, indent=2) + "\n", mode=0o600),
    ]


def try_canary(service: Service) -> str:
    """The command that fails where the service does not become healthy with its new image and files."""
    return f"{_program(service)} {_file(service)}"


def _program(service: Service) -> str:
    """Each service's own: services are installed side by side, and none may write what another keeps a copy of."""
    return f"{PROGRAMS}/canary-{service.name}"


def _file(service: Service) -> str:
    return f"{CONFIGURATION}/canary/{service.name}.json"
