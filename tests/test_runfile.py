"""Run files: what goes in comes out, and nothing but RunFileError comes out of a damaged one."""

from __future__ import annotations

import dataclasses
import errno
import io
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import naive, no_steps, pipelined, record, windowed
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline_opt import runfile
from pipeline_opt.errors import OutputExistsError, RunFileError
from pipeline_opt.record import (
    ConsumerInfo,
    Epochs,
    Intervals,
    KnobSeries,
    OpCost,
    Record,
    StageRecord,
    Steps,
    Window,
)


def same(a: Any, b: Any) -> bool:
    """Equality that looks into arrays and keeps types."""
    if isinstance(a, np.ndarray):
        return isinstance(b, np.ndarray) and a.dtype == b.dtype and a.tobytes() == b.tobytes()
    if dataclasses.is_dataclass(a):
        return type(a) is type(b) and all(same(getattr(a, f.name), getattr(b, f.name)) for f in dataclasses.fields(a))
    if isinstance(a, tuple):
        return isinstance(b, tuple) and len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return isinstance(b, dict) and list(a) == list(b) and all(map(same, a.values(), b.values()))
    return type(a) is type(b) and (a == b or a != a)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.run"


@pytest.mark.parametrize("make", [naive, pipelined, no_steps, record, windowed])
def test_what_goes_in_comes_out(make: Callable[[], Record], path: Path) -> None:
    it = make()
    assert runfile.save(it, path) == path
    assert same(runfile.load(path), it)
    assert list(path.parent.iterdir()) == [path]


floats = st.floats(width=64)
names = st.text(max_size=8)
maybe = st.one_of(st.none(), floats)
plain: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | names,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=6,
)


def arrays(size: int, whole: bool = False, low: int = -(2**63), high: int = 2**63 - 1) -> st.SearchStrategy[Any]:
    values: st.SearchStrategy[Any] = st.integers(low, high) if whole else floats
    return st.lists(values, min_size=size, max_size=size).map(lambda v: np.array(v, np.int64 if whole else np.float64))


@st.composite
def records(draw: st.DrawFn) -> Record:
    steps, work, epochs = (draw(st.integers(0, 4)) for _ in range(3))
    stages = tuple(
        StageRecord(
            name,
            draw(names),
            draw(st.sampled_from(["extract", "transform"])),
            elements=draw(st.none() | st.integers()),
            work_s=draw(maybe),
            parallelism=draw(st.none() | st.just("auto") | st.integers(1, 9)),
            phase_work_s=draw(st.dictionaries(names, floats, max_size=2)),
            ops=tuple(OpCost(draw(names), draw(floats), 3) for _ in range(draw(st.integers(0, 2)))),
            absent=draw(st.dictionaries(names, names, max_size=2)),
        )
        for name in draw(st.lists(names, max_size=3))
    )
    return record(
        toml=draw(st.none() | names),
        consumer=ConsumerInfo(
            "accelerator", draw(names), draw(maybe), in_flight=2, double_buffered=draw(st.booleans())
        ),
        steps=Steps(*(draw(arrays(steps)) for _ in range(6)), *(draw(arrays(steps, whole=True)) for _ in range(2))),
        epoch_starts=tuple(draw(st.lists(st.integers(0, steps), max_size=2))),
        epochs=Epochs(*(draw(arrays(epochs)) for _ in range(5))),
        wall_s=draw(floats),
        first_batch_s=draw(maybe),
        partial=draw(st.booleans()),
        partial_reason=draw(st.none() | names),
        windows=tuple(Window(a, b) for a, b in draw(st.lists(st.tuples(floats, floats), max_size=2))),
        intervals=Intervals(
            draw(arrays(work)),
            draw(arrays(work)),
            draw(arrays(work, whole=True, low=0, high=1)),
            draw(arrays(work, whole=True, low=-1, high=len(stages) - 1)),
            draw(arrays(work, whole=True)),
        ),
        stages=stages,
        knobs=tuple(KnobSeries(draw(names), "parallelism", draw(arrays(n)), draw(arrays(n)), True) for n in (0, 3)),
        notes=tuple(draw(st.lists(names, max_size=2))),
        extra=draw(st.dictionaries(names, plain, max_size=3)),
    )


slowly = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


@slowly
@given(records())
def test_any_record_comes_out_as_it_went_in(tmp_path_factory: pytest.TempPathFactory, it: Record) -> None:
    path = tmp_path_factory.mktemp("run") / "a.run"
    runfile.save(it, path)
    assert same(runfile.load(path), it)


def test_the_same_run_gives_the_same_bytes(path: Path) -> None:
    runfile.save(naive(), path)
    first = path.read_bytes()
    runfile.save(naive(), path, force=True)
    assert path.read_bytes() == first


def test_arrays_of_any_layout_are_saved_in_one(path: Path) -> None:
    it = naive()
    reversed_twice = it.steps.wait_start[::-1][::-1]
    big_endian = it.steps.wait_end.astype(">f8")
    runfile.save(
        dataclasses.replace(it, steps=dataclasses.replace(it.steps, wait_start=reversed_twice, wait_end=big_endian)),
        path,
    )
    assert same(runfile.load(path), it)


def test_a_subclass_is_saved_as_the_record_that_it_is(path: Path) -> None:
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Run(Record):
        cached: object = None

    it = naive()
    runfile.save(Run(**vars(it), cached=object()), path)
    assert same(runfile.load(path), it)


@pytest.mark.parametrize("value", [object(), {1, 2}, np.arange(3), np.float64(1.5).astype("f4")])
def test_extra_values_that_are_not_plain_are_refused(value: object, path: Path) -> None:
    with pytest.raises(RunFileError, match=r"cannot write the run file .*a\.run: .*plain values"):
        runfile.save(record(extra={"mine": value}), path)
    assert not path.exists()


# -- writing --


def test_an_earlier_file_is_kept_without_force(path: Path) -> None:
    runfile.save(no_steps(), path)
    with pytest.raises(OutputExistsError, match=r"a\.run exists already; .*force"):
        runfile.save(naive(), path)
    assert same(runfile.load(path), no_steps())
    runfile.save(naive(), path, force=True)
    assert same(runfile.load(path), naive())


@pytest.mark.parametrize("where", ["write", "fsync", "replace"])
def test_a_full_disk_keeps_the_earlier_file(where: str, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # GIVEN an earlier run, and a disk that fills up
    runfile.save(no_steps(), path)
    before = path.read_bytes()

    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    class FullFile(io.FileIO):
        write = full  # type: ignore[assignment]

    if where == "write":
        monkeypatch.setattr("builtins.open", FullFile)
    else:
        monkeypatch.setattr(os, where, full)
    # WHEN another is saved over it
    with pytest.raises(RunFileError) as caught:
        runfile.save(naive(), path, force=True)
    # THEN the error says what was needed and what there is, and the earlier file is untouched
    monkeypatch.undo()
    assert "a.run: no space is left; needed: " in str(caught.value)
    assert "bytes, free: " in str(caught.value)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_ctrl_c_while_writing_leaves_nothing_behind(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        runfile.save(naive(), path)
    assert list(path.parent.iterdir()) == []


def test_a_link_is_followed_not_replaced(path: Path) -> None:
    target = path.parent / "elsewhere.run"
    runfile.save(no_steps(), target)
    path.symlink_to(target)
    runfile.save(naive(), path, force=True)
    assert path.is_symlink()
    assert same(runfile.load(target), naive())


@pytest.mark.parametrize(
    ("name", "said"),
    [("none/a.run", "there is no folder .*none"), (".", "it is a folder"), ("x" * 300, "File name too long")],
)
def test_paths_that_cannot_be_written(name: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(RunFileError, match=f"cannot write the run file .*: {said}"):
        runfile.save(naive(), tmp_path / name, force=True)


def test_a_run_too_large_to_be_read_again_is_not_written(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runfile, "MAX_BYTES", 1000)
    with pytest.raises(RunFileError, match=r"the run holds [\d,]+ bytes; valid: up to 1,000"):
        runfile.save(naive(), path)


# -- reading --


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("good") / "a.run"
    runfile.save(pipelined(), path)
    return path.read_bytes()


def refuse(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    with pytest.raises(RunFileError) as caught:
        runfile.load(path)
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_files_that_are_no_run_files(path: Path, good: bytes) -> None:
    assert "is cut off after 0 bytes" in refuse(path, b"")
    assert "is cut off after 2 bytes" in refuse(path, good[:2])
    assert "is not a run file: it begins with b'\\x89PNG'" in refuse(path, b"\x89PNG\r\n")
    assert "is damaged" in refuse(path, good[:-1])
    assert "is damaged" in refuse(path, good[: len(good) // 2])
    assert "is not a run file: it is an archive without record.json" in refuse(path, archive({"a.txt": b"hello"}))


def test_a_file_that_is_missing_or_a_folder(path: Path) -> None:
    with pytest.raises(RunFileError, match=r"no such run file: .*a\.run"):
        runfile.load(path)
    with pytest.raises(RunFileError, match=r"cannot read the run file .*: Is a directory"):
        runfile.load(path.parent)


def archive(members: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as out:
        for name, content in members.items():
            out.writestr(name, content)
    return file.getvalue()


def changed(good: bytes, change: Callable[[dict[str, Any], dict[str, bytes]], object]) -> bytes:
    """A well-formed archive whose record, or another member, is changed."""
    with zipfile.ZipFile(io.BytesIO(good)) as file:
        members = {name: file.read(name) for name in file.namelist()}
    content = json.loads(members["record.json"])
    change(content, members)
    members["record.json"] = json.dumps(content).encode()
    return archive(members)


def npy(array: np.ndarray, **options: Any) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, array, **options)
    return file.getvalue()


def test_unknown_fields_are_passed_over_and_missing_ones_get_their_default(path: Path, good: bytes) -> None:
    def change(content: dict[str, Any], _: dict[str, bytes]) -> None:
        content["record"]["new_in_2040"] = [1]
        content["record"]["steps"]["colour"] = "blue"
        del content["record"]["notes"], content["record"]["epochs"]

    path.write_bytes(changed(good, change))
    it = runfile.load(path)
    assert same(it, dataclasses.replace(pipelined(), notes=(), epochs=Epochs.empty()))


def test_a_newer_version_says_what_to_do(path: Path, good: bytes) -> None:
    said = refuse(path, changed(good, lambda content, _: content.update(format_version=2)))
    assert "has format version 2, and this pipeline_opt reads 1; load it with" in said


DAMAGES: dict[str, tuple[Callable[[dict[str, Any], dict[str, bytes]], object], str]] = {
    "format": (lambda c, m: c.update(format="other"), "is not a run file: its record.json does not say"),
    "version": (lambda c, m: c.update(format_version="1"), "format_version='1' is not a whole number from 1"),
    "old version": (lambda c, m: c.update(format_version=0), "format_version=0 is not"),
    "no record": (lambda c, m: c.update(record=[]), "record.json holds no record"),
    "lacks field": (lambda c, m: c["record"].pop("created"), "record lacks a field: .*created"),
    "wrong type": (lambda c, m: c["record"].update(wall_s="long"), "record.wall_s='long' is of the wrong type"),
    "bool for int": (lambda c, m: c["record"].update(warmup=True), "record.warmup=True is of the wrong type"),
    "null for text": (lambda c, m: c["record"].update(created=None), "record.created=None is of the wrong type"),
    "no list": (lambda c, m: c["record"].update(windows=3), "record.windows=3 is of the wrong type"),
    "no fields": (lambda c, m: c["record"].update(steps=3), "record.steps is not a set of fields: 3"),
    "no stage": (lambda c, m: c["record"]["stages"].append("x"), r"record.stages\[4\] is not a set of fields"),
    "epoch outside": (lambda c, m: c["record"].update(epoch_starts=[99]), "lie outside of 8 steps"),
    "no array name": (lambda c, m: c["record"]["steps"].update(bytes=[1]), "record.steps.bytes names no array"),
    "no array": (lambda c, m: m.pop("steps/bytes.npy"), "no item named 'steps/bytes.npy'"),
    "other array": (lambda c, m: c["record"]["steps"].update(bytes="../x"), "no item named"),
    "short array": (lambda c, m: m.update({"steps/bytes.npy": npy(np.arange(3))}), "have different lengths"),
    "wrong dtype": (lambda c, m: m.update({"steps/bytes.npy": npy(np.ones(8))}), "is of type float64; valid: int64"),
    "two dimensions": (lambda c, m: m.update({"steps/bytes.npy": npy(np.ones((8, 1), int))}), r"has shape \(8, 1\)"),
    "cut array": (lambda c, m: m.update({"steps/bytes.npy": m["steps/bytes.npy"][:-1]}), "of 8 numbers has 63 bytes"),
    "no npy": (lambda c, m: m.update({"steps/bytes.npy": b"hello, hello"}), "magic string is not correct"),
    "newer npy": (
        lambda c, m: m.update({"steps/bytes.npy": npy(np.arange(8), version=(2, 0))}),
        "unknown .npy version",
    ),
    "no stage of that number": (
        lambda c, m: m.update({"intervals/stage.npy": npy(np.full(len(pipelined().intervals), 9))}),
        "name phases or stages that do not exist; stages: 4",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_within_a_well_formed_archive(damage: str, path: Path, good: bytes) -> None:
    change, said = DAMAGES[damage]
    path.write_bytes(changed(good, change))
    with pytest.raises(RunFileError, match=said):
        runfile.load(path)


def test_an_array_that_claims_to_be_huge_takes_no_memory(path: Path, good: bytes) -> None:
    def change(_: dict[str, Any], members: dict[str, bytes]) -> None:
        members["steps/bytes.npy"] = members["steps/bytes.npy"].replace(b"(8,), }" + b" " * 12, b"(8000000000000,), }")

    assert "of 8,000,000,000,000 numbers has 64 bytes" in refuse(path, changed(good, change))


def test_a_bomb_is_not_unpacked(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runfile, "MAX_BYTES", 1 << 20)
    content = archive({"record.json": b" " * (1 << 21)}, zipfile.ZIP_DEFLATED)
    assert len(content) < 1 << 13
    assert "it would unpack to 2,097,152 bytes" in refuse(path, content)


def test_text_nested_without_end(path: Path) -> None:
    assert "is damaged" in refuse(path, archive({"record.json": b"[" * 200_000}))


def test_a_pickle_in_place_of_an_array_is_not_run(path: Path, good: bytes) -> None:
    ran: list[int] = []

    class Evil:
        def __reduce__(self) -> tuple[Callable[[int], None], tuple[int]]:
            return ran.append, (1,)

    evil = npy(np.array([Evil()] * 8, object), allow_pickle=True)
    said = refuse(path, changed(good, lambda c, m: m.update({"steps/bytes.npy": evil})))
    assert "has shape (8,) and type object" in said
    assert not ran


@slowly
@given(st.data())
def test_whatever_the_damage_only_a_run_file_error_comes_out(
    tmp_path_factory: pytest.TempPathFactory, good: bytes, data: st.DataObject
) -> None:
    content = bytearray(good)
    for _ in range(data.draw(st.integers(1, 4))):
        # The directory at the end is where damage does most; half of the hits go there.
        low = data.draw(st.sampled_from([0, max(0, len(content) - 2500)]))
        at = data.draw(st.integers(min(low, max(0, len(content) - 1)), max(0, len(content) - 1)))
        match data.draw(st.sampled_from(["flip", "cut", "zero", "insert"])):
            case "flip" if content:
                content[at] ^= 1 << data.draw(st.integers(0, 7))
            case "cut":
                del content[at:]
            case "zero":
                content[at : at + 16] = bytes(len(content[at : at + 16]))
            case _:
                content[at:at] = data.draw(st.binary(min_size=1, max_size=8))
    path = tmp_path_factory.mktemp("bad") / "a.run"
    path.write_bytes(bytes(content))
    try:
        it = runfile.load(path)
    except RunFileError:
        return
    # Harmless damage, such as a time stamp's, leaves every number as it was.
    assert same(it, pipelined())
