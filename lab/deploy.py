"""From nothing to two deployed stacks: what is missing is built, then hypervisor, registry, stacks, readings."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from lab import hypervisor, nas, toolchain
from lab.boot import await_health
from lab.console import step
from lab.hypervisor.root import packages_tarball
from lab.registry import publish as publish_images
from lab.sensors import Reading, now_ms, publish
from lab.stacks import NAMES, Stack
from lab.toolchain import Toolchain
from node_image.build import node_image

Result = TypeVar("Result")

#: What a sensor measures when all is well.
_VALUES = {"temperature": 8.5, "oxygen": 9.1, "humidity": 78.0}


def deploy() -> list[Stack]:
    """Bring up the lab and all its stacks, and publish a reading of each sensor.

    Raises:
        LabError: what went wrong, and what to do; the next call goes on from there.
    """
    engine, image = _build()
    hypervisor.start()
    stacks = configured(engine, image)
    with step("deploy " + " and ".join(NAMES)):
        at_once([stack.up for stack in stacks])
    with step("wait until all containers are healthy"):
        # Without a change the engine waits for nothing, and after a power cut the nodes are still booting.
        for stack in stacks:
            await_health(stack)
    with step("publish readings as the sensors would"):
        for stack in stacks:
            publish(stack, *_readings(stack))
    return stacks


def configured(engine: Toolchain, image: Path) -> list[Stack]:
    """The lab's stacks, their config files written for this lab's keys and images."""
    with step("publish the services' images in the lab's registry"):
        images = publish_images()
    stacks = [Stack(name, engine) for name in NAMES]
    for stack in stacks:
        stack.configure(_overlay_values(image, images))
    nas.admit(stacks)
    return stacks


def at_once(tasks: Sequence[Callable[[], Result]]) -> list[Result]:
    """Run tasks side by side; the first failure is raised after all have ended."""
    with ThreadPoolExecutor(len(tasks)) as pool:
        return [future.result() for future in [pool.submit(task) for task in tasks]]


def _build() -> tuple[Toolchain, Path]:
    """Compiling keeps both cores busy; what installs packages waits for the disk, so one goes on beside the other."""

    def from_source() -> Toolchain:
        engine = toolchain.ensure()
        toolchain.services()
        return engine

    def from_packages() -> Path:
        packages_tarball()
        return node_image()

    with ThreadPoolExecutor(2) as pool:
        engine, image = pool.submit(from_source), pool.submit(from_packages)
        return engine.result(), image.result()


def _overlay_values(image: Path, images: Mapping[str, str]) -> dict[str, str]:
    """What overlay.yaml's names stand for in this lab."""
    return {
        "accelerator": hypervisor.accelerator(),
        "known_hosts": str(hypervisor.KNOWN_HOSTS),
        "node_image": str(image),
        "node_image_sha256": image.with_name(image.name + ".sha256").read_text().split()[0],
        "operator_key": hypervisor.CLIENT_KEY.with_suffix(".pub").read_text().strip(),
        "time_server": str(hypervisor.ADDRESS),
        "registry": images["mosquitto"].partition("/")[0],
        "nas_host_key": nas.host_key(),
        "registry_authority": hypervisor.REGISTRY_CA.read_text(),
        **images,
    }


def _readings(stack: Stack) -> list[Reading]:
    sensors = stack.site.iot.sensors if stack.site.iot else ()
    return [
        Reading(sensor.id, quantity, _VALUES[quantity], now_ms())
        for sensor in sensors
        for quantity in sensor.quantities
    ]
