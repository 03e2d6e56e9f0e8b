"""Who may import what: the lines that keep rendering pure and the node's programs free of dependencies."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.paths import CHECKOUT

TOUCH_PULUMI: dict[str, set[str]] = {
    "components": {"_docker.py", "_guest.py", "_hypervisor.py", "_options.py", "component.py", "libvirt.py"},
    "config": {"loader.py"},
    "tests/components": set(),
    "tests/config": set(),
}


def imported(module: Path) -> Iterator[str]:
    """The top-level packages that a module imports, wherever in it."""
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: relative import"
            yield str(node.module).partition(".")[0]


def names(module: Path) -> Iterator[str]:
    """What a module names: variables, attributes, and what it imports under whatever name."""
    for node in ast.walk(ast.parse(module.read_text())):
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.alias(name=name):
                yield name


@pytest.mark.parametrize("folder", TOUCH_PULUMI)
def test_only_these_modules_touch_pulumi(folder: str) -> None:
    """Tests go through tests/recording.py: nobody asserts inside an `apply`, which an unknown value never runs."""
    touching = {
        module.name
        for module in (CHECKOUT / folder).rglob("*.py")
        if any(name.startswith("pulumi") for name in imported(module))
    }
    assert touching == TOUCH_PULUMI[folder]


def test_libvirt_is_behind_one_module() -> None:
    importing = [module for module in (CHECKOUT / "components").rglob("*.py") if "pulumi_libvirt" in imported(module)]
    assert [module.name for module in importing] == ["libvirt.py"]


def test_no_stack_reads_anothers_state() -> None:
    """What a site has to know of others is in the registry, and nothing of it is secret."""
    program = [CHECKOUT / "__main__.py", *(CHECKOUT / "components").rglob("*.py"), *(CHECKOUT / "config").rglob("*.py")]
    named = {module: {*names(module)} for module in program}
    assert any("ComponentResource" in found for found in named.values())
    assert [module for module, found in named.items() if "StackReference" in found] == []


def test_a_program_on_node_or_hypervisor_needs_the_standard_library_alone() -> None:
    programs = list((CHECKOUT / "components").glob("*/on_*/*.py"))
    assert len(programs) == 14
    for program in programs:
        assert set(imported(program)) <= sys.stdlib_module_names, program
        assert program.read_text().startswith("#!/usr/bin/env python3\n")


def test_the_policy_pack_is_apart_from_the_program_and_its_rules_from_pulumi() -> None:
    beyond = {path.name: set(imported(path)) - sys.stdlib_module_names for path in (CHECKOUT / "policy").glob("*.py")}
    assert beyond == {"__main__.py": {"pulumi_policy", "policy"}, "plan.py": {"policy"}, "rules.py": {"yaml"}}
