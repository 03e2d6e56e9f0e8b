"""Which sites a change can touch, and what git says of it."""

import subprocess
from pathlib import Path

import pytest
import yaml

from edge.plan.revisions import Repository, Revision, judged_anew, refusable, touched
from edge.site import EdgeError

SITES = ("bergen", "hq", "oslo")


def write(folder: Path, **files: object) -> Revision:
    for site in SITES:
        (folder / f"Pulumi.{site}.yaml").write_text(yaml.safe_dump({"config": {}}))
        path = folder / "config" / "mesh" / f"{site}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        entry = {"role": "hub" if site == "hq" else "site", "owner": f"@fjord-edge/{site}"}
        path.write_text(yaml.safe_dump(files.get(site, entry)))
    return Revision(folder)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("Pulumi.oslo.yaml", {"oslo"}),
        ("Pulumi.atlantis.yaml", set()),
        ("Pulumi.oslo.off.yaml", set()),
        ("Pulumi.yaml", set(SITES)),
        ("config/mesh/oslo.yaml", {"hq", "oslo"}),
        ("config/mesh/hq.yaml", set(SITES)),
        ("config/site.py", set(SITES)),
        ("config/known_hosts", set(SITES)),
        ("components/iot_stack/component.py", set(SITES)),
        ("__main__.py", set(SITES)),
        ("requirements.txt", set(SITES)),
        ("services/alarms/settings.py", set(SITES)),
        # A machine that was there already gets one of its programs.
        ("node_image/rootfs/usr/local/lib/fjord-edge/install-files", set(SITES)),
        ("something/new", set(SITES)),
        # What is deployed of it is in requirements.txt.
        ("pyproject.toml", set()),
        ("requirements-dev.txt", set()),
        ("bin/edge", set()),
        ("tests/golden/oslo/config/mesh/oslo.yaml", set()),
        ("tests/sites.py", set()),
        ("edge/plan/steps.py", set()),
        ("policy/__main__.py", set()),
        ("docs/adr/0001.md", set()),
        ("README.md", set()),
        ("CODEOWNERS", set()),
        ("LICENSE", set()),
        (".gitlab-ci.yml", set()),
    ],
)
def test_a_file_touches_what_is_made_of_it(tmp_path: Path, path: str, expected: set[str]) -> None:
    revision = write(tmp_path)
    assert touched([path], revision, revision) == expected


@pytest.mark.parametrize("path", ["policy/rules.py", "policy/places.json", "policy/requirements.txt"])
def test_other_rules_judge_each_site_and_touch_none(tmp_path: Path, path: str) -> None:
    revision = write(tmp_path)
    assert judged_anew(["README.md", path], revision) == set(SITES)
    assert touched([path], revision, revision) == set()
    assert judged_anew(["edge/plan/policies.py", "policy/README.md"], revision) == set()


def test_a_sites_networks_may_overlap_those_of_any_other(tmp_path: Path) -> None:
    for name in ("before", "after"):
        (tmp_path / name).mkdir()
    before = write(tmp_path / "before")
    after = write(tmp_path / "after", oslo={"role": "site", "networks": ["10.9.0.0/24"]})
    assert touched(["config/mesh/oslo.yaml"], before, after) == {"hq", "oslo"}
    assert refusable(before, after) == set(SITES)
    assert refusable(before, before) == set()


def test_a_file_with_another_dot_in_its_name_is_no_sites(tmp_path: Path) -> None:
    write(tmp_path)
    for name in ("Pulumi.oslo.yaml", "Pulumi.bergen.yaml"):
        (tmp_path / name).rename(tmp_path / name.replace(".yaml", ".off.yaml"))
    assert Revision(tmp_path).sites == {"hq"}


def test_no_file_touches_no_site(tmp_path: Path) -> None:
    revision = write(tmp_path)
    assert touched([], revision, revision) == set()


@pytest.mark.parametrize("content", [b"a: [", b"a: sm\xf8r", b"owner: a\nowner: b", b"owner: 2028-03-30"])
def test_a_file_that_nobody_can_read_ends_no_plan(tmp_path: Path, content: bytes) -> None:
    revision = write(tmp_path)
    (tmp_path / "config" / "mesh" / "oslo.yaml").write_bytes(content)
    (tmp_path / "Pulumi.oslo.yaml").write_text("- a list")
    assert revision.owner("oslo") is None
    assert revision.encrypted_seed("oslo") == {"seed": None}


def git(folder: Path, *words: str) -> str:
    identity = ["-c", "user.name=any", "-c", "user.email=any@example.com"]
    done = subprocess.run(["git", *identity, *words], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def commit(folder: Path, name: str, text: str) -> str:
    (folder / name).write_text(text)
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", name)
    return git(folder, "rev-parse", "HEAD")


def test_what_others_merged_meanwhile_is_no_part_of_a_change(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet", "--initial-branch=main")
    first = commit(tmp_path, "first", "1")
    git(tmp_path, "checkout", "--quiet", "-b", "change")
    commit(tmp_path, "mine", "2")
    git(tmp_path, "checkout", "--quiet", "main")
    commit(tmp_path, "theirs", "3")
    git(tmp_path, "checkout", "--quiet", "change")
    repository = Repository(tmp_path)
    assert repository.common("main") == first
    assert repository.changed(first) == ["mine"]


def test_what_is_not_committed_yet_is_part_of_a_change(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet")
    first = commit(tmp_path, "first", "1")
    (tmp_path / "first").write_text("2")
    (tmp_path / "nøw").write_text("3")
    assert Repository(tmp_path).changed(first) == ["first", "nøw"]


@pytest.mark.parametrize("base", ["origin/main", "--help", "HEAD:first", ""])
def test_a_base_that_git_does_not_know_is_told_with_a_remedy(tmp_path: Path, base: str) -> None:
    git(tmp_path, "init", "--quiet")
    commit(tmp_path, "first", "1")
    with pytest.raises(EdgeError) as raised:
        Repository(tmp_path).common(base)
    told = f"git rev-parse: there is no commit {base}; in a shallow clone: git fetch --unshallow origin"
    assert str(raised.value) == told


def test_a_base_without_a_common_ancestor_is_told_with_a_remedy(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet", "--initial-branch=main")
    commit(tmp_path, "first", "1")
    git(tmp_path, "checkout", "--quiet", "--orphan", "other")
    commit(tmp_path, "second", "2")
    with pytest.raises(EdgeError) as raised:
        Repository(tmp_path).common("main")
    told = "git merge-base: main and HEAD have no common ancestor; in a shallow clone: git fetch --unshallow origin"
    assert str(raised.value) == told


def test_a_base_may_be_a_tag_with_a_message(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet")
    first = commit(tmp_path, "first", "1")
    git(tmp_path, "tag", "--annotate", "--message", "any", "v1")
    assert Repository(tmp_path).common("v1") == first


def test_a_commit_is_extracted_as_it_was(tmp_path: Path) -> None:
    folder, elsewhere = tmp_path / "repository", tmp_path / "elsewhere"
    folder.mkdir()
    git(folder, "init", "--quiet")
    first = commit(folder, "file", "1")
    commit(folder, "file", "2")
    assert (Repository(folder).extract(first, elsewhere).folder / "file").read_text() == "1"


def test_a_link_that_leads_out_of_a_commit_is_left_out_of_it(tmp_path: Path) -> None:
    folder, elsewhere = tmp_path / "repository", tmp_path / "elsewhere"
    folder.mkdir()
    git(folder, "init", "--quiet")
    for name, target in (("absolute", "/etc/hostname"), ("outside", "../.."), ("inside", "file")):
        (folder / name).symlink_to(target)
    Repository(folder).extract(commit(folder, "file", "1"), elsewhere)
    assert sorted(path.name for path in elsewhere.iterdir()) == ["file", "inside"]
    assert (elsewhere / "inside").read_text() == "1"


def test_what_is_no_text_ends_no_plan(tmp_path: Path) -> None:
    (tmp_path / ".github").mkdir()
    (tmp_path / ".github" / "CODEOWNERS").write_bytes(b"* @sm\xf8r\n")
    (tmp_path / "requirements.txt").write_bytes(b"# sm\xf8r\npulumi==3.1.0\n")
    revision = Revision(tmp_path)
    assert revision.codeowners.startswith("* @sm")
    assert revision.providers == {"pulumi": "3.1.0"}
