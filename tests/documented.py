"""The commands that the documents tell a reader to type, and the test that runs each."""

import re
from collections.abc import Mapping
from pathlib import Path

from lab.paths import CHECKOUT

DOCUMENTS = [CHECKOUT / "README.md", CHECKOUT / "CONTRIBUTING.md", *sorted((CHECKOUT / "docs").glob("*.md"))]

#: What a command in a sentence begins with; a single word names a program and is no command.
PROGRAMS = {"apt", "bin/edge", "eval", "lab/bootstrap", "make", "openssl", "pulumi", "ssh", "ssh-keyscan"}

_CI = ".ci/run"
_COPY = "tests/e2e/test_docs.py::test_a_command_does_its_work_in_a_checkout_without_a_lab"
_LAB = "tests/e2e/test_docs.py::test_a_command_of_the_readme_answers"
_SITE = "tests/e2e/test_docs.py::test_a_site_of_ones_own_is_deployed_beside_oslo_by_the_readmes_steps"
_EDGE = "tests/e2e/test_edge.py::test_"
_DEVICE = "tests/e2e/test_device.py::test_"
_ADDED = _DEVICE + "a_sensor_that_the_command_adds_restarts_its_readers_alone"
_SHOWN = _DEVICE + "a_device_that_is_set_up_as_the_command_shows_logs_in"
_HUB = "tests/edge/test_new_site.py::test_headquarters_is_made_and_is_loaded_as_soon_as_it_is_filled_in"
_HANDOVER = "tests/e2e/test_ownership.py::test_a_site_that_was_handed_over_is_its_new_teams_alone"
_SHELL = "tests/edge/test_ownership.py::test_the_shell_of_one_site_does_not_stay_anothers"
_RESEED = _EDGE + "another_seed_takes_three_steps_and_keeps_the_data"
_DAYS = "tests/e2e/test_days_after.py::test_"
_TUNNEL = "tests/e2e/test_tunnel.py::test_"
_LOST = _DAYS + "a_lost_node_is_replaced_and_has_every_reading_that_was_backed_up"
_SNAPSHOT = _DAYS + "a_snapshot_is_made_while_the_node_runs_and_brings_its_data_back"
_ENGINE = "tests/e2e/test_engine.py::test_a_preview_with_refresh_is_empty"
_OLDER = _DAYS + "an_older_backup_is_brought_back_by_hand"
_PASSPHRASE = "tests/e2e/test_ownership.py::test_a_site_whose_passphrase_is_lost_has_its_seed_again_by_its_copy"
_PLAN = "tests/edge/plan/test_plan.py::test_a_change_is_planned_for_the_site_that_it_touches_and_a_preview_folded_in"
_POLICY = "tests/e2e/test_policy.py::test_a_deployed_stack_keeps_every_rule"
_PIN = "tests/e2e/test_page.py::test_an_alarm_is_acknowledged_by_the_pin_that_the_stack_tells_and_by_no_other"
_UP = "lab/stacks.py::up"

#: Where each command is run.
RUN_BY: Mapping[str, str] = {
    "make check": _CI,
    "make up": _CI,
    "make test": _CI,
    "make down": _CI,
    "make bench": _LAB,
    "make node-image": _LAB,
    "make screenshot": "tests/e2e/test_browser.py::test_a_picture_of_it_is_taken",
    "pulumi stack output pagePin --show-secrets --stack <site>": _PIN,
    ".venv/bin/python -m lab status": _LAB,
    ".venv/bin/python -m lab edge status oslo": _LAB,
    ".venv/bin/python -m lab ssh oslo docker ps": _LAB,
    ".venv/bin/python -m lab exec --site oslo pulumi stack output pagePin --show-secrets --stack oslo": _LAB,
    "lab/bootstrap venv": "Makefile",
    "git rm Pulumi.*.yaml config/mesh/*.yaml": "tests/edge/test_new_site.py::empty",
    "make clean": _COPY,
    "make golden": _COPY,
    ".venv/bin/python -m config.codeowners": _COPY,
    "make lock": _COPY,
    ".venv/bin/pytest tests/config": _COPY,
    ".venv/bin/ruff format .": _COPY,
    "ssh-keyscan <hypervisor> >> config/known_hosts": _SITE,
    "bin/edge new-site <site> --owner <team>": "tests/e2e/test_ownership.py::"
    "test_a_new_sites_stack_file_tells_an_editor_its_schema_whatever_the_engine_sets_in_it",
    "bin/edge new-site hq --hub --endpoint <host>:<port> --mesh <network> --owner <team>": _HUB,
    "bin/edge env <site>": _HANDOVER,
    'eval "$(bin/edge env <site>)"': _SHELL,
    "bin/edge handover <site> --owner <team> --passphrase-file <file>": _HANDOVER,
    "pulumi preview --stack <site>": _SITE,
    "bin/edge doctor <site>": _EDGE + "doctor_finds_a_hypervisor_that_carries_its_node",
    "bin/edge status <site>": _EDGE + "status_tells_the_facts_and_that_all_is_well",
    "bin/edge status": "tests/e2e/test_fleet.py::test_all_sites_are_shown_side_by_side_those_that_are_not_deployed_too",
    "bin/edge drift <site>": "tests/e2e/test_fleet.py::"
    "test_drift_names_what_was_changed_by_hand_and_nothing_once_it_is_put_right",
    "bin/edge order --base <commit>": "tests/edge/test_order.py::test_the_command_reads_the_difference_from_git",
    "bin/edge rollout --base <commit>": "tests/e2e/test_fleet.py::"
    "test_a_rollout_deploys_what_a_commit_touches_in_its_order_each_with_its_own_passphrase",
    "bin/edge unlock <site>": "tests/e2e/test_backends.py::"
    "test_edge_unlock_clears_the_lock_that_a_killed_update_has_left",
    "bin/edge mesh <site>": _TUNNEL + "edge_mesh_shows_both_ends",
    "bin/edge pin <site>": "tests/e2e/test_pin.py::test_every_digest_and_checksum_is_found_again",
    "bin/edge device <site> list": _ADDED,
    "bin/edge device <site> add <id> --pen <pen> --quantity <quantity>": _ADDED,
    "bin/edge device <site> show <id>": _SHOWN,
    "bin/edge device <site> show <id> --out <folder>": _SHOWN,
    "bin/edge plan --base origin/main": _PLAN,
    "bin/edge plan --base origin/main --previews <folder>": _PLAN,
    "bin/edge preview <site>": "tests/e2e/test_plan.py::told",
    "bin/edge scan <site>": "tests/e2e/test_secrets.py::test_state_holds_none",
    "bin/edge key <site> --write": _TUNNEL + "both_ends_change_their_keys_in_two_steps_without_losing_a_summary",
    "bin/edge reseed <site>": _RESEED,
    "bin/edge reseed <site> --switch": _RESEED,
    "bin/edge reseed <site> --finish": _RESEED,
    "bin/edge key <site> --next --write": _TUNNEL + "both_ends_change_their_keys_in_two_steps_without_losing_a_summary",
    "bin/edge snapshot <site>": _SNAPSHOT,
    "bin/edge restore <site> <snapshot>": _SNAPSHOT,
    "bin/edge backup <site>": _LOST,
    "bin/edge backup <site> --list": _LOST,
    **dict.fromkeys(
        (
            "mapfile -t restic < <(jq -r '.restic[]' /etc/fjord-edge/backup/settings.json)",
            '"${restic[@]}" restore <backup> --target /srv/fjord-edge/older',
            "docker stop influxdb",
            "mv /srv/fjord-edge/influxdb /srv/fjord-edge/influxdb.before",
            "mv /srv/fjord-edge/older/srv/fjord-edge/.backup/influxdb /srv/fjord-edge/influxdb",
            "docker start influxdb",
        ),
        _OLDER,
    ),
    "bin/edge replace-node <site>": _LOST,
    "bin/edge delete-data <site>": _DAYS + "data_outlives_its_vm_and_goes_by_a_word_of_its_own",
    **dict.fromkeys(
        (
            "pulumi stack import --stack <site> --file <copy>",
            "pulumi up --refresh --stack <site>",
            "pulumi stack init <site>",
            "bin/edge destroy --lost-state <site>",
        ),
        "tests/e2e/test_rebuild.py::test_a_site_whose_state_is_lost_comes_back_with_every_reading",
    ),
    **dict.fromkeys(
        (
            "pulumi config get fjord-edge:seed --stack <site>",
            "pulumi stack rm --force --preserve-config --stack <site>",
            "pulumi config set --secret fjord-edge:seed --stack <site>",
        ),
        _PASSPHRASE,
    ),
    "bin/edge destroy <site>": "tests/e2e/test_rebuild.py::test_destroy_and_up_bring_every_reading_back",
    "pulumi preview --refresh": _ENGINE,
    "pulumi preview --stack <site> --policy-pack policy": _POLICY,
    "pulumi cancel --stack <site>": "tests/e2e/test_backends.py::"
    "test_a_lock_that_was_left_in_a_bucket_is_told_by_the_next_update_and_cleared",
    "pulumi up": _UP,
    "pulumi up --stack hq": _UP,
    "pulumi up --stack <site>": _UP,
    "ssh <user>@<address>": "lab/sensors.py::login",
    "pulumi stack output endpoints --stack <site>": _LAB,
    "pulumi stack output hostKey --stack <site>": _LAB,
    "pulumi stack output certificateAuthority --stack <site>": _LAB,
    "pulumi stack output backupKey --stack <site>": _LAB,
    "pulumi destroy --stack <site>": _LAB,
}

#: What a test must not do, and why.
NOT_RUN: Mapping[str, str] = {
    "apt install libvirt-daemon-system": "of the machine itself; the lab has the same daemon in a root of its own",
    "make drills": "four hours; each once: tests/e2e/test_pipeline.py, test_hypervisor_side.py",
}


_BLOCK = re.compile(r"^ *```(\w*)\n(.*?)^ *```", re.DOTALL | re.MULTILINE)


def commands(document: Path) -> set[str]:
    """The commands in a document: the lines of its `sh` blocks, and what stands in backquotes and begins like one."""
    lines = [line.partition(" #")[0] for block in blocks(document, "sh") for line in block.splitlines()]
    inline = re.findall(r"`([^`]+)`", _BLOCK.sub("", document.read_text()))
    told, said = ({" ".join(line.split()) for line in found} for found in (lines, inline))
    return told - {""} | {line for line in said if _is_command(line)}


def blocks(document: Path, language: str) -> list[str]:
    """The texts of a document's blocks in a language."""
    return [text for kind, text in _BLOCK.findall(document.read_text()) if kind == language]


def _is_command(line: str) -> bool:
    first, _, rest = line.partition(" ")
    return bool(rest) and (first in PROGRAMS or first.startswith(".venv/bin/"))
