import pytest

from lab.stacks import Stack, existing_stacks


@pytest.fixture(scope="session")
def stacks() -> dict[str, Stack]:
    return {stack.name: stack for stack in existing_stacks()}


@pytest.fixture(scope="session")
def oslo(stacks: dict[str, Stack]) -> Stack:
    return stacks["oslo"]


@pytest.fixture(scope="session")
def hq(stacks: dict[str, Stack]) -> Stack:
    return stacks["hq"]
