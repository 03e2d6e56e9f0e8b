"""Whose approval a change takes."""

from config.codeowners import codeowners_text
from config.loader import REGISTRY
from config.registry import load_registry
from edge.plan.approvals import approvals

CODEOWNERS = codeowners_text(load_registry(REGISTRY))


def test_a_sites_files_take_its_approvers_and_all_others_headquarters() -> None:
    changed = ["Pulumi.bergen.yaml", "components/_files.py", "config/mesh/oslo.yaml", "config/mesh/stavanger.yaml"]
    assert approvals(CODEOWNERS, changed) == {
        "@fjord-edge/oslo": ["config/mesh/oslo.yaml"],
        "@fjord-edge/platform": ["components/_files.py", "config/mesh/stavanger.yaml"],
        "@havbruk-vest/drift or @havbruk-vest/hms": ["Pulumi.bergen.yaml"],
    }


def test_nobody_is_asked_where_nothing_changes_or_nobody_is_named() -> None:
    assert approvals(CODEOWNERS, []) == {}
    assert approvals("", ["Pulumi.bergen.yaml"]) == {}
