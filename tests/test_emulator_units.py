"""The emulator's parts, without a server: listing, ranges, the journal, folders as buckets."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline_opt.storage.emulator.contents import parse_range
from pipeline_opt.storage.emulator.environment import Environment, variables
from pipeline_opt.storage.emulator.journal import Exchange, Journal, waited
from pipeline_opt.storage.emulator.objects import Bucket
from pipeline_opt.storage.emulator.pages import page
from pipeline_opt.storage.emulator.refusals import RefusalError
from pipeline_opt.storage.emulator.resources import parse_fields, select
from pipeline_opt.storage.emulator.tree import Tree

NAMES = st.lists(st.text("ab/\u20ac\U0010ffff", min_size=1, max_size=6), unique=True, max_size=30)


# Listing


def listed(names: list[str], prefix: str, delimiter: str) -> tuple[list[str], list[str]]:
    """What a listing holds, by its definition."""
    items, prefixes = [], []
    for name in sorted(name for name in names if name.startswith(prefix)):
        rest = name[len(prefix) :]
        if delimiter and delimiter in rest:
            folded = prefix + rest[: rest.index(delimiter) + len(delimiter)]
            if folded not in prefixes:
                prefixes.append(folded)
        else:
            items.append(name)
    return items, prefixes


@given(NAMES, st.text("ab/", max_size=3), st.sampled_from(["", "/", "a", "b/"]), st.integers(1, 7))
def test_pages_together_are_the_listing(names: list[str], prefix: str, delimiter: str, limit: int) -> None:
    items: list[str] = []
    prefixes: list[str] = []
    token = None
    for _ in range(len(names) + 1):
        found = page(sorted(names), prefix, delimiter, limit, token)
        assert len(found.items) + len(found.prefixes) <= limit
        items += found.items
        prefixes += found.prefixes
        token = found.token
        if token is None:
            break
    assert token is None
    assert (items, prefixes) == listed(names, prefix, delimiter)


@given(NAMES, st.integers(1, 5))
def test_a_page_goes_on_after_its_last_name_was_deleted(names: list[str], limit: int) -> None:
    first = page(sorted(names), limit=limit)
    left = sorted(set(names) - set(first.items))
    if first.token is not None:
        assert page(left, token=first.token).items == left


@pytest.mark.parametrize("token", ["no", "", "e30=", "bmFtZTo=", "\u20ac"])
def test_a_token_that_no_page_gave_is_refused(token: str) -> None:
    with pytest.raises(ValueError, match="page token"):
        page(["a"], token=token)


# Ranges


@given(st.integers(0, 30), st.integers(0, 40), st.integers(0, 40))
def test_ranges_are_those_of_a_slice(size: int, first: int, last: int) -> None:
    content = list(range(size))
    for header, wanted in (
        (f"bytes={first}-", content[first:]),
        (f"bytes={first}-{first + last}", content[first : first + last + 1]),
        (f"bytes=-{last}", content[-last:] if last else []),
    ):
        if wanted:
            got = parse_range(header, size)
            assert got is not None
            assert content[got.start : got.stop] == wanted
        else:
            with pytest.raises(RefusalError) as refusal:
                parse_range(header, size)
            assert refusal.value.status == 416


@pytest.mark.parametrize("header", [None, "", "bytes=", "bytes=-", "lines=1-2", "bytes=5-2", "bytes=0-1,4-5"])
def test_what_is_no_range_asks_for_everything(header: str | None) -> None:
    assert parse_range(header, 10) is None


# Fields


def test_fields_select_parts_of_a_resource() -> None:
    resource = {"kind": "k", "items": [{"name": "a", "size": "1"}], "nextPageToken": "t", "owner": {"id": 1, "no": 2}}
    for text in ("items/name,nextPageToken", "items(name),nextPageToken"):
        assert select(resource, parse_fields(text)) == {"items": [{"name": "a"}], "nextPageToken": "t"}
    assert select(resource, parse_fields("owner(id),kind")) == {"kind": "k", "owner": {"id": 1}}
    for all_of_it in ("", "*"):
        assert select(resource, parse_fields(all_of_it)) == resource


@pytest.mark.parametrize("text", ["items(name", "a,,b", "a)", "a b c(", "?"])
def test_fields_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(RefusalError, match="Invalid field selection"):
        parse_fields(text)


# The journal


def test_sums_by_kind() -> None:
    def exchange(kind: str, status: int, first: float | None, fault: str | None = None) -> Exchange:
        return Exchange(kind, "gs://b/o", None, 10, status, fault, 1.0, first, 4.0)

    sums = waited([exchange("read", 206, 2.0), exchange("read", 0, None, "reset"), exchange("stat", 404, 1.5)])
    assert (sums["read"].count, sums["read"].bytes, sums["read"].failed) == (2, 20, 1)
    assert (sums["read"].first_byte_s, sums["read"].seconds) == (4.0, 6.0)
    assert sums["stat"].failed == 1
    assert "list" not in sums


def test_an_answer_that_is_leaving_is_waited_for() -> None:
    entered: list[Exchange] = []
    journal = Journal(entered.append)
    journal.settle()
    journal.leaving()
    exchange = Exchange("read", "gs://b/o", None, 1, 200, None, 0.0, 0.0, 0.0)
    journal.enter(exchange, left=True)
    journal.settle()
    assert entered == [exchange]


def test_times_are_noted_as_clients_see_them() -> None:
    entered: list[Exchange] = []
    journal = Journal(entered.append, late_s=0.25)
    journal.enter(Exchange("read", "gs://b/o", None, 1, 200, None, 1.0, 2.0, 3.0), left=False)
    journal.enter(Exchange("read", "gs://b/o", None, 0, 0, "reset", 1.0, None, 3.0), left=False)
    assert [(each.start_s, each.first_byte_s, each.end_s) for each in entered] == [(1.0, 2.25, 3.25), (1.0, None, 3.25)]


# The environment


def test_the_environment_is_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://elsewhere:1")
    monkeypatch.delenv("CURL_CA_BUNDLE", raising=False)
    before = dict(os.environ)
    environment = Environment(variables(1, Path("/ca.pem")))
    assert os.environ["https_proxy"] == "http://127.0.0.1:1"
    assert os.environ["CURL_CA_BUNDLE"] == "/ca.pem"
    environment.restore()
    assert dict(os.environ) == before


def test_hosts_that_need_no_proxy_stay_so_but_for_googles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "intern, .googleapis.com,*,localhost")
    assert variables(1, Path("ca"))["no_proxy"].split(",") == ["localhost", "127.0.0.1", "::1", "intern"]


# A folder as a bucket


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "empty").mkdir()
    (tmp_path / "a" / "b" / "two").write_text("2")
    (tmp_path / "one").write_text("1")
    return tmp_path


def settled(folder: Path) -> None:
    """Make all folders look as if they had changed long ago."""
    then = time.time() - 10
    for each in (folder, *folder.rglob("*")):
        os.utime(each, (then, then))


def test_files_are_objects_and_empty_folders_are_marks(folder: Path) -> None:
    assert Tree(folder).names() == ["a/b/two", "empty/", "one"]


def test_what_changes_on_the_disk_is_seen(folder: Path) -> None:
    settled(folder)
    tree = Tree(folder)
    tree.names()
    (folder / "a" / "three").write_text("3")
    assert tree.names(fresh=False) == ["a/b/two", "empty/", "one"]
    assert tree.names() == ["a/b/two", "a/three", "empty/", "one"]
    (folder / "one").unlink()
    assert tree.names() == ["a/b/two", "a/three", "empty/"]


def test_a_folder_that_has_not_changed_is_not_read_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settled(folder)
    tree = Tree(folder)
    first = tree.names()
    monkeypatch.setattr(os, "scandir", None)
    assert tree.names() is first


def test_a_circle_of_links_ends(folder: Path) -> None:
    (folder / "a" / "up").symlink_to(folder)
    names = Tree(folder).names()
    assert names == ["a/b/two", "empty/", "one"]


def test_names_that_are_no_text_are_left_out(folder: Path) -> None:
    (folder / os.fsdecode(b"\xff\xfe")).write_text("")
    assert Tree(folder).names() == ["a/b/two", "empty/", "one"]


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/x", "a//b", "./x", "a/.", "x\0y", ".emulated-upload-x"])
def test_no_name_leads_out_of_the_folder(folder: Path, name: str) -> None:
    bucket = Bucket("b", folder / "a", read_only=False)
    (folder / "x").write_text("secret")
    assert bucket.find(name) is None
    for call, status in (
        (bucket.open, 404),
        (bucket.delete, 404),
        (lambda name: bucket.put(name, folder / "one"), 400),
    ):
        with pytest.raises(RefusalError) as refusal:
            call(name)
        assert refusal.value.status == status


def test_nothing_is_changed_behind_a_link_that_leads_out(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    outside = tmp_path_factory.mktemp("outside")
    (outside / "kept").write_text("kept")
    (folder / "out").symlink_to(outside)
    bucket = Bucket("b", folder, read_only=False)
    assert bucket.stat("out/kept").size == 4, "what a link leads to can be read"
    for change in (lambda: bucket.put("out/new", folder / "one"), lambda: bucket.delete("out/kept")):
        with pytest.raises(RefusalError, match="a link leads out of the folder") as refusal:
            change()
        assert refusal.value.status == 403
    assert [path.name for path in outside.iterdir()] == ["kept"]


def test_putting_and_deleting(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    bucket = Bucket("b", folder, read_only=False)
    content = tmp_path_factory.mktemp("scratch") / "part"
    content.write_text("new")
    blob = bucket.put("x/y/z", content)
    assert (folder / "x" / "y" / "z").read_text() == "new"
    assert (blob.size, blob.name) == (3, "x/y/z")
    assert not content.exists()
    bucket.delete("x/y/z")
    assert not (folder / "x").exists()
    with pytest.raises(RefusalError, match="No such object"):
        bucket.delete("x/y/z")


def test_a_mark_stays_when_its_folder_is_emptied(folder: Path) -> None:
    bucket = Bucket("b", folder, read_only=False)
    bucket.put("made/", folder / "nothing")
    bucket.put("made/file", folder / "one")
    assert {"made/", "made/file"} <= set(bucket.names())
    bucket.delete("made/file")
    assert "made/" in bucket.names()
    bucket.delete("made/")
    assert not (folder / "made").exists()


def test_an_object_cannot_be_where_a_folder_is(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    bucket = Bucket("b", folder, read_only=False)
    content = tmp_path_factory.mktemp("scratch") / "part"
    content.write_text("new")
    before = sorted(folder.rglob("*"))
    with pytest.raises(RefusalError, match="cannot be a file here"):
        bucket.put("a", content)
    assert sorted(folder.rglob("*")) == before


def test_a_read_only_bucket_refuses_changes(folder: Path) -> None:
    bucket = Bucket("b", folder, read_only=True)
    for change in (lambda: bucket.put("x", folder / "one"), lambda: bucket.delete("one")):
        with pytest.raises(RefusalError, match="read-only") as refusal:
            change()
        assert refusal.value.status == 403
    assert bucket.stat("one").size == 1


def test_a_generation_changes_with_the_content(folder: Path) -> None:
    bucket = Bucket("b", folder, read_only=False)
    os.utime(folder / "one", (1, 1))
    assert bucket.stat("one").generation == 1_000_000
    assert bucket.stat("one").updated == "1970-01-01T00:00:01.000Z"
