import base64
import io
import tarfile
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from components._files import Directory, File, archive, digest

names = st.text("aZ0æ_@.-", min_size=1, max_size=8).filter(lambda name: not name.startswith("."))
paths = st.lists(names, min_size=1, max_size=4).map(lambda parts: "/" + "/".join(parts))
modes = st.integers(min_value=0, max_value=0o777)
owners = st.integers(min_value=0, max_value=65535)
files = st.builds(File, path=paths, contents=st.text(max_size=50), mode=modes, owner=owners)
directories = st.builds(Directory, path=paths, mode=modes, owner=owners)
entries = st.lists(files | directories, unique_by=lambda entry: entry.path, max_size=4)


def unpacked(packed: str) -> list[File | Directory]:
    found: list[File | Directory] = []
    with tarfile.open(fileobj=io.BytesIO(base64.b64decode(packed, validate=True))) as tar:
        for member in tar.getmembers():
            assert member.uid == member.gid
            path, file = f"/{member.name}", tar.extractfile(member)
            if file:
                contents = file.read().decode()
                found.append(File(path=path, contents=contents, mode=member.mode, owner=member.uid))
            else:
                found.append(Directory(path=path, mode=member.mode, owner=member.uid))
    return found


@given(entries)
def test_what_is_packed_comes_out_with_contents_modes_and_owners(packed: list[File | Directory]) -> None:
    assert unpacked(archive(packed)) == sorted(packed, key=lambda entry: entry.path)


@given(entries, st.randoms(use_true_random=False))
def test_the_same_entries_give_the_same_text_in_any_order(packed: list[File | Directory], random: Random) -> None:
    shuffled = list(packed)
    random.shuffle(shuffled)
    assert archive(shuffled) == archive(packed)
    assert digest(shuffled) == digest(packed)


@given(entries, entries)
def test_the_digest_changes_exactly_when_an_entry_does(
    one: list[File | Directory], other: list[File | Directory]
) -> None:
    assert (digest(one) == digest(other)) == (
        sorted(one, key=lambda entry: entry.path) == sorted(other, key=lambda entry: entry.path)
    )


def test_a_directory_comes_before_what_is_in_it() -> None:
    inside, outside = File(path="/etc/x/a", contents=""), Directory(path="/etc/x")
    assert [entry.path for entry in unpacked(archive([inside, outside]))] == ["/etc/x", "/etc/x/a"]


def test_a_files_contents_are_not_shown() -> None:
    assert "hush" not in repr(File(path="/a", contents="hush"))
