"""What CI may do: actions pinned, least rights, nothing of a fork beside a secret or on our own runner."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from config.registry import Entry
from config.versions import IMAGES
from lab.paths import CHECKOUT

FOLDER = CHECKOUT / ".github" / "workflows"
#: The bare word `on` is a boolean in YAML 1.1.
ON = True
NOT_A_FORK = "github.event.pull_request.head.repo.full_name == github.repository"

WORKFLOWS: dict[str, Any] = {path.name: yaml.safe_load(path.read_text()) for path in sorted(FOLDER.iterdir())}
JOBS = [
    pytest.param(name, workflow["jobs"][job], id=f"{name}:{job}")
    for name, workflow in WORKFLOWS.items()
    for job in workflow["jobs"]
]


def steps(job: Any) -> Iterator[dict[str, Any]]:
    yield from job.get("steps", [])


def triggers(name: str) -> set[str]:
    events = WORKFLOWS[name][ON]
    return {events} if isinstance(events, str) else set(events)


def test_each_thing_that_ci_does_has_its_workflow() -> None:
    assert set(WORKFLOWS) == {
        "comment.yml",
        "deploy-sites.yml",
        "deploy.yml",
        "drift.yml",
        "images.yml",
        "pull-request.yml",
    }


@pytest.mark.parametrize("path", sorted(FOLDER.iterdir()), ids=lambda path: path.name)
def test_every_action_is_pinned_by_its_commit_with_its_version_beside_it(path: Path) -> None:
    used = re.findall(r"uses: (.+)", path.read_text())
    assert [use for use in used if not re.fullmatch(r"\./\S+|[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", use)] == []


@pytest.mark.parametrize("name", WORKFLOWS)
def test_a_workflow_has_no_rights_but_those_that_a_job_asks_for(name: str) -> None:
    assert WORKFLOWS[name]["permissions"] == {}


@pytest.mark.parametrize("name", WORKFLOWS)
def test_no_workflow_runs_a_forks_code_with_our_rights(name: str) -> None:
    assert not triggers(name) & {"pull_request_target", "workflow_run", "issue_comment"}


@pytest.mark.parametrize(("_name", "job"), JOBS)
def test_a_job_says_its_rights_and_its_limit(_name: str, job: Any) -> None:
    assert job["permissions"]
    assert "uses" in job or job["timeout-minutes"] <= 60


def test_who_may_write() -> None:
    writing = {
        (name, job, right)
        for name, workflow in WORKFLOWS.items()
        for job, content in workflow["jobs"].items()
        for right, level in content["permissions"].items()
        if level == "write"
    }
    assert writing == {
        ("comment.yml", "comment", "pull-requests"),
        *(("pull-request.yml", job, "pull-requests") for job in ("comment", "comment-again")),
        *(("images.yml", "services", right) for right in ("attestations", "id-token", "packages")),
    }


@pytest.mark.parametrize(("name", "job"), JOBS)
def test_a_job_of_a_pull_request_that_has_secrets_rights_or_our_runner_is_never_a_forks(name: str, job: Any) -> None:
    trusted = "environment" in job or "self-hosted" in job.get("runs-on", "") or "write" in job["permissions"].values()
    if "pull_request" in triggers(name) and (trusted or "secrets." in json.dumps(job)):
        assert NOT_A_FORK in " ".join(job["if"].split())


def test_the_job_that_may_comment_runs_nothing_of_the_branch() -> None:
    used = [step.get("uses", "").partition("@")[0] for step in steps(WORKFLOWS["comment.yml"]["jobs"]["comment"])]
    assert used == ["actions/download-artifact", ""]


@pytest.mark.parametrize(("name", "job"), JOBS)
def test_our_own_runner_works_for_one_sites_environment(name: str, job: Any) -> None:
    if "self-hosted" in job.get("runs-on", ""):
        assert job["environment"].startswith("${{ matrix.site }}")
        assert "pull_request" in triggers(name) or job["concurrency"]["group"] == "site-${{ matrix.site }}"


@pytest.mark.parametrize(("_name", "job"), JOBS)
def test_a_checkout_leaves_no_token_behind(_name: str, job: Any) -> None:
    for step in steps(job):
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False


@pytest.mark.parametrize(("_name", "job"), JOBS)
def test_no_text_from_outside_becomes_part_of_a_script(_name: str, job: Any) -> None:
    assert [step["run"] for step in steps(job) if "${{" in step.get("run", "")] == []


@pytest.mark.parametrize("name", WORKFLOWS)
def test_a_command_that_fails_in_a_pipe_fails_its_step(name: str) -> None:
    """The shell that GitHub takes unasked has no pipefail; and `echo` hides how a command in its words ended."""
    assert WORKFLOWS[name]["defaults"] == {"run": {"shell": "bash"}}
    assert not re.search(r"echo .*\$\((?!\()", (FOLDER / name).read_text())


def test_a_deployment_has_a_job_for_each_step_and_each_waits_for_the_one_before() -> None:
    jobs = WORKFLOWS["deploy.yml"]["jobs"]
    numbered = [job for job in jobs if job != "order"]
    limit = next(step["run"] for step in steps(jobs["order"]) if "length" in step.get("run", ""))
    assert f"length <= {len(numbered)}'" in limit
    rings = Entry.model_json_schema()["properties"]["ring"]["maximum"]
    assert len(numbered) == len(["key change", "headquarters"]) + rings
    for index, name in enumerate(numbered):
        assert jobs[name]["if"] == f"${{{{ fromJSON(needs.order.outputs.steps)[{index}] }}}}"
        assert jobs[name]["with"]["sites"] == f"${{{{ toJSON(fromJSON(needs.order.outputs.steps)[{index}].sites) }}}}"
        assert jobs[name]["needs"] == (["order", numbered[index - 1]] if index else "order")


#: Where it is on this machine, for a step that does not end.
TIMEOUT = shutil.which("timeout") or "timeout"


def ran(step: dict[str, Any], folder: Path, programs: dict[str, str], **environment: str) -> int:
    """How a step's script ends in a folder, by the shell that GitHub takes, beside programs that are these scripts."""
    for name, script in programs.items():
        program = folder / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
    return subprocess.run(
        [TIMEOUT, "20", "bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
        cwd=folder,
        env={"PATH": f"{folder}:{os.environ['PATH']}", **environment},
        capture_output=True,
        check=False,
    ).returncode


MARKER = "<!-- fjord-edge plan -->"
PLAN = f'{MARKER}\n| Site | Verdict |\n"quoted" $(not run) `nor this`\n'


@pytest.fixture
def commented(tmp_path: Path) -> Any:
    """Runs the comment's step on a plan, with a `gh` that knows these comments; returns what it was asked and sent."""

    def run(comments: list[dict[str, Any]], plan: str = PLAN) -> tuple[int, list[str], Any]:
        (tmp_path / "comments.json").write_text(json.dumps(comments))
        (tmp_path / "plan.md").write_text(plan)
        gh = (
            "echo \"$*\" | tr '\\n' ' ' >> asked; echo >> asked\n"
            'case "$*" in *--jq*) for last; do :; done; jq --raw-output "$last" comments.json;; esac'
        )
        step = list(steps(WORKFLOWS["comment.yml"]["jobs"]["comment"]))[-1]
        status = ran(step, tmp_path, {"gh": gh}, COMMENTS="r/issues/7/comments", COMMENT="r/c")
        asked = (tmp_path / "asked").read_text().splitlines() if (tmp_path / "asked").exists() else []
        body = tmp_path / "body.json"
        return status, asked, json.loads(body.read_text()) if body.exists() else None

    return run


def test_the_first_plan_makes_the_comment(commented: Any) -> None:
    status, asked, body = commented([])
    assert status == 0
    assert asked[-1].startswith("api --silent --method POST r/issues/7/comments --input body.json")
    assert body == {"body": PLAN}


def test_a_later_plan_edits_it_and_nobody_elses(commented: Any) -> None:
    bot, person = {"login": "github-actions[bot]"}, {"login": "somebody"}
    comments = [
        {"id": 1, "user": person, "body": PLAN},
        {"id": 2, "user": bot, "body": "another tool's"},
        {"id": 3, "user": bot, "body": PLAN},
        {"id": 4, "user": bot, "body": PLAN},
    ]
    status, asked, _ = commented(comments)
    assert status == 0
    assert asked[-1].startswith("api --silent --method PATCH r/c/3 --input body.json")


def test_without_a_plan_nothing_is_written(commented: Any) -> None:
    status, asked, _ = commented([], plan="")
    assert status == 1
    assert asked == []


ANSWERS, CUT_OFF = '{"answers": true}', '{"answers": false}'


def one_each_time(lines: Iterable[str]) -> str:
    """A script that runs the first of these the first time it is started, and so on; any further start fails."""
    cases = "\n".join(f"{number}) {line} ;;" for number, line in enumerate(lines, 1))
    return f"echo >> $0-asked\ncase $(wc -l < $0-asked) in\n{cases}\nesac\nexit 99"


@pytest.fixture
def previewed(tmp_path: Path) -> Any:
    """Runs the preview's step; its status, and the files it leaves.

    Beside it are an `edge` that says these, one each time and nothing where it fails, and a `pulumi` that ends so.
    """

    def run(*said: str, pulumi: Sequence[int] = (0,)) -> tuple[int, dict[str, str]]:
        programs = {
            "bin/edge": one_each_time(f"printf '%s' '{text}'; exit {0 if text else 1}" for text in said),
            "pulumi": one_each_time(f"echo previewed; exit {status}" for status in pulumi),
        }
        [step] = [
            step for step in steps(WORKFLOWS["pull-request.yml"]["jobs"]["preview"]) if "edge preview" in str(step)
        ]
        ended = ran(step, tmp_path, programs, SITE="oslo")
        return ended, {path.name: path.read_text() for path in tmp_path.iterdir() if path.suffix}

    return run


def test_a_site_that_answers_is_previewed_whole(previewed: Any) -> None:
    assert previewed(ANSWERS) == (0, {"oslo.json": ANSWERS, "preview.txt": "previewed\n"})


def test_a_cut_fibre_fails_no_pull_request_and_the_plan_is_told_of_it(previewed: Any) -> None:
    assert previewed(CUT_OFF) == (0, {"oslo.json": CUT_OFF})


@pytest.mark.parametrize("cut_after", [1, 2])
def test_a_fibre_that_is_cut_after_the_site_answered_fails_no_pull_request(previewed: Any, cut_after: int) -> None:
    status, files = previewed(*cut_after * [ANSWERS], CUT_OFF, pulumi=[255, 255])
    assert (status, files["oslo.json"]) == (0, CUT_OFF)


def test_a_fibre_that_is_whole_again_lets_the_preview_be_made_again(previewed: Any) -> None:
    assert previewed(ANSWERS, ANSWERS, pulumi=[255, 0])[0] == 0


def test_a_preview_that_breaks_a_policy_fails_its_job_though_the_site_answers(previewed: Any) -> None:
    status, files = previewed(ANSWERS, ANSWERS, ANSWERS, pulumi=[1, 1])
    assert status == 1
    assert files == {"oslo.json": ANSWERS, "preview.txt": "previewed\n"}


def test_a_preview_that_fails_at_a_site_that_answers_fails_its_job_and_leaves_the_plan_as_it_is(previewed: Any) -> None:
    status, files = previewed("")
    assert status == 1
    assert "oslo.json" not in files


def test_the_services_image_is_pushed_under_the_tag_for_which_edge_pin_asks(tmp_path: Path) -> None:
    [step] = [step for step in steps(WORKFLOWS["images.yml"]["jobs"]["services"]) if step.get("id") == "push"]
    docker = 'echo "$*" >> typed; echo \'{"containerimage.digest": "sha256:feed"}\' > build.json'
    environment = {
        "PYTHONPATH": str(CHECKOUT),
        "GITHUB_REPOSITORY": "Farms/Fleet",
        "GITHUB_SHA": "c0ffee",
        "GITHUB_OUTPUT": "outputs",
        "GITHUB_STEP_SUMMARY": "summary",
    }
    assert ran(step, tmp_path, {"docker": docker}, **environment) == 0
    tags = re.findall(r"--tag (\S+)", (tmp_path / "typed").read_text())
    name, release = "ghcr.io/farms/fleet/services", IMAGES["services"].rpartition(":")[2]
    assert tags == [f"{name}:c0ffee", f"{name}:{release}"]
    assert (tmp_path / "summary").read_text() == f"services: {name}@sha256:feed\n"


DEPLOYMENT = WORKFLOWS["deploy-sites.yml"]["jobs"]["deploy"]


def test_a_site_is_deployed_then_waited_for_then_scanned_and_what_fails_ends_it() -> None:
    commands = [step["run"] for step in steps(DEPLOYMENT) if "run" in step]
    order = [re.search(r"pulumi up|edge status|edge scan|bootstrap", command) for command in commands]
    assert [found and found.group() for found in order] == ["bootstrap", "pulumi up", "edge status", "edge scan"]
    assert not any({"if", "continue-on-error"} & step.keys() for step in steps(DEPLOYMENT))


@pytest.fixture
def waited(tmp_path: Path) -> Any:
    """Runs the step that waits beside an `edge` to which the site is well at the look of this number, at 0 never.

    A second of its limit passes, and no time between two looks; its status, and what was typed, a line each.
    """

    def run(well_at: int) -> tuple[int, list[str]]:
        programs = {
            "bin/edge": f'echo "edge $*" >> typed; [ $(grep -c ^edge typed) -eq {well_at} ]',
            "sleep": f'echo "sleep $*" >> typed; exec {shutil.which("sleep")} 0.01',
            "timeout": f'echo "timeout $1" >> typed; shift; exec {TIMEOUT} 1 "$@"',
        }
        [step] = [step for step in steps(DEPLOYMENT) if "wait" in step.get("name", "")]
        status = ran(step, tmp_path, programs, SITE="oslo")
        return status, (tmp_path / "typed").read_text().splitlines()

    return run


def test_a_site_that_settles_is_looked_at_until_it_is_well(waited: Any) -> None:
    look, pause = "edge status oslo", "sleep 10"
    assert waited(well_at=3) == (0, ["timeout 300", look, pause, look, pause, look])


def test_a_site_that_does_not_become_well_fails_its_deployment(waited: Any) -> None:
    status, typed = waited(well_at=0)
    assert status == 124
    assert typed.count("edge status oslo") > 1
