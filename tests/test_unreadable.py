"""A storage that fails while a failure is being explained: the first error is told, and nothing measured is lost."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from remote_files import RemoteStore, remote_store

import pipeline_opt as po
from pipeline_opt.access import Access
from pipeline_opt.build import failures
from pipeline_opt.build.failures import translate
from pipeline_opt.build.reading import silent_losses
from pipeline_opt.errors import CorruptRecordError, SourceError, StageError
from pipeline_opt.plan import Plan
from pipeline_opt.sources import Csv, Images, ResolvedSource, TextLines, TFRecords
from pipeline_opt.storage.bare import file_source
from pipeline_opt.storage.damage import damaged_stream, foreign_file, misfit_row, silent_damage, undecodable_image

pytestmark = [pytest.mark.tf, pytest.mark.filterwarnings("ignore::pipeline_opt.errors.PlanWarning")]

ACCESS = Access(timeout_s=5)
FILES = ("testing://d/a", "testing://d/b")


class ClientError(Exception):
    """What a client of fsspec may raise: of no class that is known here."""


@pytest.fixture
def failing() -> Iterator[type[RemoteStore]]:
    """A store that lists its files, and cannot read them."""
    with remote_store({"d/a": gzip.compress(b"1,2\n" * 100), "d/b": b"1,2\n"}) as store:

        def fail(*_: object) -> None:
            raise ClientError("no quorum")

        store.before = fail
        yield store


@pytest.mark.usefixtures("failing")
def test_searches_leave_out_what_cannot_be_read() -> None:
    assert damaged_stream(FILES, "GZIP", access=ACCESS) is None
    assert misfit_row(FILES, "", ",", False, lambda _: True, ACCESS) is None
    assert undecodable_image(FILES, ACCESS) is None
    assert foreign_file(FILES, "", records=True, access=ACCESS) is None
    assert silent_damage(FILES, "GZIP", records=False, access=ACCESS) is None
    assert silent_damage(FILES, "", records=True, access=ACCESS) is None


def test_searches_go_on_after_what_cannot_be_read(failing: type[RemoteStore]) -> None:
    def fail(name: str, *_: object) -> None:
        if name == "d/a":
            raise ClientError("no quorum")

    failing.before = fail
    assert misfit_row(FILES, "", ",", False, lambda _: True, ACCESS) == ("testing://d/b", 1)
    damage = undecodable_image(FILES, ACCESS)
    assert damage is not None
    assert damage.path == "testing://d/b"


@pytest.mark.parametrize("kind", ["UnavailableError", "NotFoundError", "AbortedError"])
def test_searches_leave_out_what_tensorflow_cannot_read(tf: Any, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = ("ram://unreadable/a", "ram://unreadable/b")
    for path in paths:
        with tf.io.gfile.GFile(path, "wb") as file:
            file.write(gzip.compress(b"1,2\n"))

    def fail(*_: object) -> None:
        raise getattr(tf.errors, kind)(None, None, "the storage is away")

    monkeypatch.setattr(tf.io.gfile.GFile, "read", fail)
    assert damaged_stream(paths, "GZIP") is None
    assert misfit_row(paths, "", ",", False, lambda _: True) is None
    assert undecodable_image(paths) is None


@pytest.mark.parametrize("kind", ["UnavailableError", "NotFoundError"])
def test_what_tensorflow_cannot_read_is_an_error_of_ours(tf: Any, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the file was opened before."""
    path = "ram://unreadable/rows.csv"
    with tf.io.gfile.GFile(path, "wb") as file:
        file.write(b"1,2\n")

    def fail(*_: object) -> None:
        raise getattr(tf.errors, kind)(None, None, "the storage is away")

    monkeypatch.setattr(tf.io.gfile.GFile, "read", fail)
    with pytest.raises(SourceError, match=path):
        file_source((path,), "csv")


@pytest.mark.parametrize(
    ("source", "kind", "text", "error"),
    [
        (TFRecords(paths=FILES, access=ACCESS), "DataLossError", "corrupted record at 12", CorruptRecordError),
        (TextLines(paths=FILES, access=ACCESS), "DataLossError", "inflate() failed with error -3", CorruptRecordError),
        (Csv(paths=FILES, access=ACCESS), "InvalidArgumentError", "Expect 3 fields but have 2 in record 0", StageError),
        (Images(paths=FILES, access=ACCESS), "InvalidArgumentError", "Unknown image file format", StageError),
    ],
    ids=["record", "stream", "row", "image"],
)
@pytest.mark.usefixtures("failing")
def test_the_first_error_is_told(tf: Any, source: Any, kind: str, text: str, error: type[po.PipelineOptError]) -> None:
    def listed(_: Any) -> ResolvedSource:
        compression = "GZIP" if "inflate" in text else ""
        return ResolvedSource(FILES, (0, 0), ("d",), 100, compression, "fsspec")

    first = getattr(tf.errors, kind)(None, None, text)
    told = translate(first, Plan(source), resolve=listed)
    assert type(told) is error
    assert text in str(told)
    assert told.__cause__ is first


def test_an_explanation_that_fails_is_none(tf: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(_: object) -> None:
        raise SourceError("the storage is away")

    monkeypatch.setattr(failures, "EXPLANATIONS", (away,))
    told = translate(tf.errors.DataLossError(None, None, "corrupted record at 12"), Plan(TFRecords(paths=FILES)))
    assert "corrupted record at 12" in str(told)


def test_a_run_is_kept_whose_files_cannot_be_looked_at_afterwards(records: Path) -> None:
    files = {f"d/{path.name}": path.read_bytes() for path in records.iterdir()}
    with remote_store(files) as store:
        pipe = po.Pipeline.from_tfrecords("testing://d", access=ACCESS).batch(4)
        dataset_files = len(files)
        read: set[str] = set()

        def fail_later(name: str, at: int, _: int) -> None:
            # Every file has been read to its end by then.
            if len(read) == dataset_files and at == 0 and name in read:
                raise ClientError("no quorum")
            if at + 1 >= len(files[name]):
                read.add(name)

        store.before = fail_later
        run = po.profile(pipe, epochs=1, trace="off")
        assert len(run.steps) == 25
        assert silent_losses(Plan(TFRecords(paths=("testing://d",), access=ACCESS))) == ()
