"""What goes wrong around a run, and that what was measured is kept."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pipeline_opt as po
from pipeline_opt.pipeline import Pipeline
from pipeline_opt.profiler import trace
from pipeline_opt.profiler.profile import profile as profile_record

pytestmark = [pytest.mark.tf, pytest.mark.filterwarnings("ignore::pipeline_opt.errors.PlanWarning")]


def pipe() -> Pipeline:
    return Pipeline.from_tensors(np.arange(40)).map(lambda x: x + 1).batch(4)


def scratch_folders() -> set[Path]:
    return set(Path(tempfile.gettempdir()).glob("pipeline_opt_trace_*"))


@pytest.fixture(autouse=True)
def _nothing_left_behind(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    yield
    assert not scratch_folders()


def test_a_full_disk_ends_tracing_and_not_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tempfile, "mkdtemp", full)
    run = po.profile(pipe())
    assert len(run.steps) == 10
    assert any("No space left" in note for note in run.notes)
    assert all(stage.work_s is None for stage in run.stages)


def test_a_damaged_trace_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    read = trace.read_window

    def cut(window: Any) -> Any:
        for file in window.folder.glob("**/*.xplane.pb"):
            file.write_bytes(file.read_bytes()[:-7])
        return read(window)

    monkeypatch.setattr("pipeline_opt.profiler.observer.read_window", cut)
    run = po.profile(pipe())
    assert len(run.steps) == 10
    assert any("a trace could not be read" in note for note in run.notes)


def test_an_interrupt_while_traces_are_read_keeps_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr("pipeline_opt.profiler.observer.read_window", interrupted)
    run = po.profile(pipe())
    assert len(run.steps) == 10
    assert (run.partial, run.partial_reason) == (True, "interrupted while traces were read")
    assert any("interrupted" in note for note in run.notes)


def test_an_interrupt_while_traces_are_read_does_not_hide_an_earlier_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr("pipeline_opt.profiler.observer.read_window", interrupted)
    run = po.profile(pipe(), consumer=interrupted)
    assert run.partial_reason == "interrupted after 0 steps"


def test_data_that_vanishes_after_it_was_read(records: Path, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    shutil.copytree(records, folder)
    seen = []

    def step(_: Any) -> None:
        seen.append(1)
        if len(seen) == 13:
            shutil.rmtree(folder)

    run = po.profile(Pipeline.from_tfrecords(folder).interleave().batch(8).prefetch(), step)
    assert len(run.steps) == 13
    assert run.source.files == 4


def test_a_callback_that_fails_leaves_the_record() -> None:
    def broken(steps: int, _: float) -> None:
        if steps == 3:
            raise ZeroDivisionError("no")

    with pytest.raises(po.StageError, match="after each step failed: ZeroDivisionError: no") as caught:
        po.profile(pipe(), on_progress=broken)
    assert len(caught.value.record.steps) >= 2
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_an_exit_in_the_step_and_a_loop_never_begun_leave_no_files() -> None:
    def leave(_: Any) -> None:
        raise SystemExit(3)

    po.profiling(pipe())
    with pytest.raises(SystemExit):
        po.profile(pipe(), leave)


def test_files_and_bytes_of_pipelines_that_meet(records: Path) -> None:
    one = Pipeline.from_tfrecords(records).interleave()
    run = po.profile(Pipeline.concatenate(one, one).batch(8), trace="off")
    alone = po.profile(one.batch(8), trace="off")
    assert alone.source.bytes is not None
    assert (run.source.files, run.source.bytes) == (8, 2 * alone.source.bytes)


def test_what_an_old_tensorflow_drops_at_the_end_of_an_epoch_is_said() -> None:
    once, twice = po.profile(pipe(), epochs=1, trace="full"), po.profile(pipe(), epochs=2, trace="full")
    assert not any("drops what threads did" in note for note in once.notes)
    assert any("drops what threads did" in note for note in twice.notes) == trace.loses_ended_threads()


def test_it_is_told_that_traces_are_read_once_the_steps_are_over() -> None:
    told: list[str] = []
    profile_record(
        pipe(),
        on_start=lambda running: told.append(f"start {len(running.log)}"),
        on_progress=lambda steps, _: told.append(str(steps)),
        on_reading=lambda: told.append("reading"),
    )
    assert (told[0], told[-2:]) == ("start 0", ["10", "reading"])
