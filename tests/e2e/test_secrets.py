"""No secret in the clear where anyone but root on the node could read it."""

import pytest

from edge.scan import derived
from lab.paths import LOGS
from lab.sensors import on_node
from lab.stacks import Stack


def leaked(stack: Stack, text: str) -> list[str]:
    return [name for name, secret in derived(stack.seed, stack.name, stack.site).items() if secret in text]


@pytest.fixture(params=["hq", "oslo"])
def stack(request: pytest.FixtureRequest, stacks: dict[str, Stack]) -> Stack:
    return stacks[request.param]


def test_the_search_finds_a_secret_where_there_is_one(oslo: Stack) -> None:
    assert leaked(oslo, on_node(oslo, "sudo cat /etc/fjord-edge/mesh/mesh.json")) == ["tunnel key"]


def test_state_holds_none(stack: Stack) -> None:
    assert leaked(stack, stack.exported_state()) == []
    scanned = stack.shell(f"bin/edge scan {stack.name} --config-file={stack.config_file}")
    assert scanned.stdout == f"no secret of {stack.name} is in the clear, and its state is encrypted\n"
    assert scanned.returncode == 0


def test_logs_of_the_engine_hold_none(stack: Stack) -> None:
    assert leaked(stack, (LOGS / f"pulumi-{stack.name}.log").read_text()) == []


def test_processes_and_containers_hold_none_in_words_or_environment(stack: Stack) -> None:
    words = on_node(stack, "sudo sh -c 'cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null' | tr '\\0' '\\n'")
    assert leaked(stack, words) == []
    containers = on_node(stack, "docker ps --quiet | xargs --no-run-if-empty docker inspect")
    assert leaked(stack, containers) == []


def test_logs_of_the_node_hold_none(stack: Stack) -> None:
    """They are searched on the node: the secrets go there by standard input, and nothing but a number comes back."""
    collect = "journalctl --boot --no-pager; for each in $(docker ps --all --quiet); do docker logs $each; done"
    search = (
        f"{{ {collect}; }} > /run/logs 2>&1; grep --count --fixed-strings --file=- /run/logs; wc --lines < /run/logs"
    )
    secrets = "".join(f"{secret}\n" for secret in derived(stack.seed, stack.name, stack.site).values())
    found, lines = on_node(stack, f"sudo sh -c '{search}; rm /run/logs'", stdin=secrets).split()
    assert int(lines) > 100
    assert found == "0"


def test_configuration_is_its_own_services_alone(oslo: Stack) -> None:
    readable = on_node(
        oslo,
        "sudo find /etc/fjord-edge/mosquitto /etc/fjord-edge/telegraf /etc/fjord-edge/alarms /etc/fjord-edge/uplink "
        "-type f -perm /077",
    )
    assert readable == ""
