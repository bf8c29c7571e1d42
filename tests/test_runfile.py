"""Run files: what goes in comes out, and an earlier file is kept whole."""

from __future__ import annotations

import dataclasses
import errno
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import naive, no_steps, pipelined, record, same, windowed
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


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.run"


@pytest.mark.parametrize("make", [naive, pipelined, no_steps, record, windowed])
def test_what_goes_in_comes_out(make: Callable[[], Record], path: Path) -> None:
    it = make()
    assert runfile.save(it, path) == path
    assert same(runfile.load(path), it)
    assert list(path.parent.iterdir()) == [path]


def numbers(low: float, high: float) -> st.SearchStrategy[float]:
    return st.floats(low, high, width=64)


times, work, counts = numbers(-1e9, 1e9), numbers(0, 1e12), st.integers(0, 2**53)
names = st.text(max_size=8)
plain: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | names,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=6,
)


def floats(size: int, values: st.SearchStrategy[float] = times) -> st.SearchStrategy[Any]:
    return st.lists(values, min_size=size, max_size=size).map(lambda v: np.array(v, np.float64))


def ints(size: int, low: int = 0, high: int = 2**53) -> st.SearchStrategy[Any]:
    return st.lists(st.integers(low, high), min_size=size, max_size=size).map(lambda v: np.array(v, np.int64))


def spans(size: int) -> st.SearchStrategy[Any]:
    """Starts and ends, both in ascending order."""
    return st.tuples(floats(size).map(np.sort), floats(size).map(np.sort)).map(
        lambda pair: (np.minimum(*pair), np.maximum(*pair))
    )


@st.composite
def stages_of(draw: st.DrawFn, name: str) -> StageRecord:
    return StageRecord(
        name,
        draw(names),
        draw(st.sampled_from(["extract", "transform"])),
        elements=draw(st.none() | counts),
        work_s=draw(st.none() | work),
        parallelism=draw(st.none() | st.just("auto") | st.integers(1, 9)),
        phase_work_s=draw(st.dictionaries(names, work, max_size=2)),
        ops=tuple(OpCost(draw(names), draw(work), 3) for _ in range(draw(st.integers(0, 2)))),
        absent=draw(st.dictionaries(names, names, max_size=2)),
    )


@st.composite
def records(draw: st.DrawFn) -> Record:
    steps, found, epochs = (draw(st.integers(0, 4)) for _ in range(3))
    stages = tuple(draw(stages_of(name)) for name in draw(st.lists(names, max_size=3)))
    return record(
        toml=draw(st.none() | names),
        consumer=ConsumerInfo(
            "accelerator",
            draw(names),
            draw(st.none() | numbers(0, 1e9)),
            in_flight=2,
            double_buffered=draw(st.booleans()),
        ),
        steps=Steps(*(array for _ in range(3) for array in draw(spans(steps))), draw(ints(steps)), draw(ints(steps))),
        epoch_starts=tuple(sorted(draw(st.lists(st.integers(0, steps), min_size=epochs, max_size=epochs)))),
        epochs=Epochs(*draw(spans(epochs))[:1], *draw(spans(epochs)), *draw(spans(epochs))),
        wall_s=draw(numbers(0, 1e9)),
        first_batch_s=draw(st.none() | numbers(0, 1e9)),
        partial=draw(st.booleans()),
        partial_reason=draw(st.none() | names),
        windows=tuple(Window(*sorted(pair)) for pair in draw(st.lists(st.tuples(times, times), max_size=2))),
        intervals=Intervals(
            *draw(spans(found)), draw(ints(found, 0, 1)), draw(ints(found, -1, len(stages) - 1)), draw(ints(found))
        ),
        stages=stages,
        knobs=tuple(
            KnobSeries(
                draw(names), "parallelism", draw(floats(n).map(np.sort)), draw(floats(n, numbers(-1, 2**63))), True
            )
            for n in (0, 3)
        ),
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
