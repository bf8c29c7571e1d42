"""Clients that wait for ever: whoever asks them gets an error in time, with path, seconds and remedy."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from remote_files import RemoteStore, remote_store

from pipeline_opt.access import Access
from pipeline_opt.errors import SourceError
from pipeline_opt.storage import bounded
from pipeline_opt.storage.bounded import answered, each_answer, guarded
from pipeline_opt.storage.fsspec_files import FsspecFiles

SOON_S = 0.05
SILENT = r"cannot read testing://d.*: no answer within 0.05 s; check that the server works.*\(access: timeout_s\)"


@pytest.fixture
def hang() -> Iterator[Callable[..., Any]]:
    """A function that does not return before the test ends."""
    ended = threading.Event()
    yield lambda *_, **__: ended.wait(20) and None
    ended.set()


def test_what_comes_in_time_is_handed_on() -> None:
    assert answered("testing://d/a", "fsspec", lambda: 7) == 7
    with pytest.raises(KeyError):
        answered("testing://d/a", "fsspec", {}.popitem)


def test_a_client_that_hangs(hang: Callable[[], object]) -> None:
    with pytest.raises(SourceError, match=SILENT):
        answered("testing://d/a", "fsspec", hang, SOON_S)


def test_a_listing_may_take_long_while_its_store_shows_life() -> None:
    signs: list[int] = []
    enough = threading.Event()

    def sign() -> None:
        signs.append(1)
        if len(signs) == 3:
            enough.set()
        raise FileNotFoundError("which is an answer, too")

    assert answered("testing://d", "fsspec", lambda: enough.wait(20), SOON_S, sign) is True
    assert len(signs) >= 3


def test_a_listing_whose_store_shows_no_life(hang: Callable[[], object]) -> None:
    with pytest.raises(SourceError, match=SILENT):
        answered("testing://d", "fsspec", hang, SOON_S, hang)


def test_a_listing_ends_in_the_end(hang: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded, "LISTING_S", 0.2)
    with pytest.raises(SourceError, match=r"no answer within 0.2 s"):
        answered("testing://d", "fsspec", hang, SOON_S, lambda: None)


def test_after_an_error_no_more_is_asked_for() -> None:
    asked: list[str] = []

    def look(path: str) -> None:
        asked.append(path)
        time.sleep(0.001)
        raise SourceError(path)

    with pytest.raises(SourceError):
        each_answer(look, [str(number) for number in range(10_000)])
    assert len(asked) < 10_000
    assert each_answer(str.upper, ["a", "b"]) == ["A", "B"]


def test_guarded_files_read_as_they_are() -> None:
    content = bytes(range(256)) * 5000
    with guarded(io.BytesIO(content), lambda look: look()) as stream:
        assert stream.read(10) == content[:10]
        assert stream.seek(-7, io.SEEK_END) == len(content) - 7
        assert stream.read() == content[-7:]
        assert stream.seek(1000) == stream.tell() == 1000
        assert stream.read() == content[1000:]


def test_a_file_that_hangs_while_it_is_read(hang: Callable[..., Any]) -> None:
    class Hanging(io.BytesIO):
        read = hang
        close = hang

    stream = guarded(Hanging(), lambda look: answered("testing://d/a", "fsspec", look, SOON_S))
    with pytest.raises(SourceError, match=SILENT), stream:
        stream.read(1)


QUESTIONS: dict[str, tuple[str, Callable[[FsspecFiles], Any]]] = {
    "is_file": ("info", lambda files: files.is_file("testing://d/a")),
    "is_dir": ("info", lambda files: files.is_dir("testing://d")),
    "entries": ("ls", lambda files: files.entries("testing://d")),
    "glob": ("glob", lambda files: files.glob("testing://d/*")),
    "total_bytes": ("info", lambda files: files.total_bytes(["testing://d/a"])),
    "head": ("_open", lambda files: files.head("testing://d/a", 1)),
    "open": ("_open", lambda files: files.open("testing://d/a")),
}


@pytest.mark.parametrize("question", QUESTIONS)
def test_no_question_to_an_fsspec_store_waits_for_ever(
    question: str, hang: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    method, ask = QUESTIONS[question]
    with remote_store({"d/a": b"content"}):
        files = FsspecFiles("testing://d/a", Access(timeout_s=SOON_S))
        ask(files)
        with monkeypatch.context() as patched:
            patched.setattr(RemoteStore, method, hang)
            patched.setattr(RemoteStore, "info", hang)
            with pytest.raises(SourceError, match=SILENT):
                ask(files)


def test_a_client_that_tells_of_one_path_by_listing_is_given_no_more_time(
    hang: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    with remote_store({"d/a": b"content"}):
        files = FsspecFiles("testing://d/a", Access(timeout_s=SOON_S))
        monkeypatch.setattr(RemoteStore, "ls", hang)
        monkeypatch.delattr(RemoteStore, "info")
        with pytest.raises(SourceError, match=SILENT):
            files.entries("testing://d")


def test_questions_that_hang_keep_no_thread_that_a_process_waits_for(hang: Callable[[], object]) -> None:
    before = set(threading.enumerate())
    with pytest.raises(SourceError):
        each_answer(lambda path: answered(path, "fsspec", partial(hang), SOON_S), ["testing://d/a"])
    for thread in set(threading.enumerate()) - before:
        assert thread.daemon or not thread.join(20)
