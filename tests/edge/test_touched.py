"""Which sites a change touches."""

import pytest

from edge.touched import touched

SITES = ("bergen", "hq", "oslo", "tromso")


@pytest.mark.parametrize(
    ("paths", "sites"),
    [
        (["Pulumi.oslo.yaml"], ["oslo"]),
        (["Pulumi.hq.yaml"], ["hq"]),
        (["config/mesh/oslo.yaml"], ["hq", "oslo"]),
        (["config/mesh/hq.yaml"], [*SITES]),
        (["Pulumi.tromso.yaml", "config/mesh/bergen.yaml"], ["bergen", "hq", "tromso"]),
        (["components/edge_node/facts.py"], [*SITES]),
        (["config/versions.py"], [*SITES]),
        (["config/known_hosts"], [*SITES]),
        (["services/alarms/settings.py"], [*SITES]),
        (["__main__.py"], [*SITES]),
        (["requirements.txt"], [*SITES]),
        (["Pulumi.yaml"], [*SITES]),
        # A site that was removed is headquarters' matter; one that is not registered is nobody's.
        (["config/mesh/atlantis.yaml", "Pulumi.atlantis.yaml"], ["hq"]),
        (["README.md", "docs/adr/0001-one-seed-a-site.md", "tests/sites.py", "lab/stacks.py", "edge/order.py"], []),
        (["lab/components/x.py", "requirements-dev.txt", "tests/golden/oslo/config/mesh/oslo.yaml"], []),
        ([], []),
    ],
)
def test_a_change_touches_whoever_reads_its_files(paths: list[str], sites: list[str]) -> None:
    assert touched(paths, SITES, "hq") == sites
