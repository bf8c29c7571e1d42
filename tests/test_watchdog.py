"""Runs whose thread waits inside TensorFlow: when they are given up, and that what they measured is kept."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from command_line import interruptible
from fake_clock import FakeClock
from fakes import naive

import pipeline_opt
from pipeline_opt import runfile
from pipeline_opt.cli.watchdog import HANGS_S, REACTS_S, Patience
from pipeline_opt.interrupts import no_interrupt
from pipeline_opt.profiler.running import Running
from pipeline_opt.profiler.step_log import StepLog

HANGING = """
import tensorflow as tf

def make():
    names = tf.data.Dataset.from_tensor_slices(["lines.txt", "pipe"])
    return names.flat_map(tf.data.TextLineDataset).batch(4)

def at_once():
    import pipeline_opt as po
    return po.Pipeline.from_tensors(["pipe"]).map(tf.io.read_file).batch(1)
"""
"""Twenty lines, then a read that never ends: nobody writes into the pipe. And one that begins with it."""


def running(clock: FakeClock, steps: int = 0) -> Running:
    """A run that has taken steps of a second each and waits for data."""
    log = StepLog(clock.now())
    log.begin_epoch(clock.now())
    for _ in range(steps):
        start = clock.now()
        clock.sleep(1.0)
        log.add(start, start, start, start, start, clock.now(), 4, 16)
    return Running(log, clock, lambda _: naive())


def test_a_signal_that_is_heard_gives_nothing_up() -> None:
    patience = Patience(None)
    assert not patience.gives_up(0.0)
    patience.signal(signal.SIGINT, 10.0)
    assert not patience.gives_up(1000.0), "the first Ctrl-C is the run's own"
    assert not patience.should_tell(10.0 + REACTS_S / 2)


def test_a_signal_that_is_not_heard_is_spoken_of_once() -> None:
    patience = Patience(None)
    patience.signal(signal.SIGINT, 10.0)
    assert patience.should_tell(10.0 + REACTS_S)
    assert not patience.should_tell(11.0 + REACTS_S)


@pytest.mark.parametrize(
    "numbers", [(signal.SIGINT, signal.SIGINT), (signal.SIGTERM,)], ids=["Ctrl-C twice", "SIGTERM"]
)
def test_a_run_that_does_not_react_is_given_up(numbers: tuple[int, ...]) -> None:
    patience = Patience(None)
    for number in numbers:
        patience.signal(number, 10.0)
    assert not patience.gives_up(10.1), "its thread may be at it"
    assert patience.gives_up(10.0 + REACTS_S)


def test_a_wait_past_the_limit_with_idle_cores_is_a_hang() -> None:
    clock = FakeClock()
    run = running(clock, steps=3)
    patience = Patience(limit_s=10.0)
    assert not patience.hangs(clock.now(), run, 100.0)
    clock.sleep(HANGS_S)
    assert not patience.hangs(clock.now(), run, 100.0), "it waits since 3 s, and the limit was at 10 s"
    clock.sleep(7.0)
    assert patience.hangs(clock.now(), run, 101.0), "1 s of a core in 37 s"
    assert not patience.hangs(clock.now(), run, 103.0), "3 s of a core in 37 s: it works"


def test_no_limit_and_no_wait_for_data_are_no_hang() -> None:
    clock = FakeClock()
    run = running(clock)
    patience, limitless = Patience(limit_s=1.0), Patience(limit_s=None)
    clock.sleep(1000.0)
    assert patience.hangs(clock.now(), run, 0.0)
    assert not limitless.hangs(clock.now(), run, 0.0)
    run.log.at = "step"
    assert not patience.hangs(clock.now(), run, 0.0), "a step may be as long as it likes"


def test_the_time_of_cores_counts_from_the_last_step() -> None:
    clock = FakeClock()
    run = running(clock, steps=1)
    patience = Patience(limit_s=1.0)
    assert not patience.hangs(clock.now(), run, 10.0)
    run.log.add(*[clock.now()] * 5, clock.now() + 5.0, 4, 16)
    clock.sleep(5.0)
    assert not patience.hangs(clock.now(), run, 20.0)
    clock.sleep(HANGS_S)
    assert patience.hangs(clock.now(), run, 20.5)


@pytest.fixture
def hanging(tmp_path: Path) -> Path:
    """A folder with a pipeline that hangs after five batches."""
    (tmp_path / "functions.py").write_text(HANGING)
    (tmp_path / "lines.txt").write_text("line\n" * 20)
    os.mkfifo(tmp_path / "pipe")
    return tmp_path


def begin(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """A verb, in a process of its own, that has come to the read."""
    environment = {**os.environ, "PYTHONPATH": str(Path(pipeline_opt.__file__).parent.parent)}
    command = [sys.executable, "-u", "-m", "pipeline_opt", *arguments, "--out", "o"]
    process: subprocess.Popen[str] = subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=interruptible,
    )
    wait_for_hang(process)
    return process


def wait_for_hang(process: subprocess.Popen[str]) -> None:
    """Wait until a process has used no core for a while, having read its input."""
    stat = Path(f"/proc/{process.pid}/stat")

    def cores() -> int:
        return sum(map(int, stat.read_text().rpartition(")")[2].split()[11:13]))

    used = -100
    while process.poll() is None:
        now = cores()
        if now > 100 and now - used <= 10:
            return
        used = now
        time.sleep(1.0)


@pytest.mark.tf
@pytest.mark.parametrize(
    "numbers", [(signal.SIGINT, signal.SIGINT), (signal.SIGTERM,)], ids=["Ctrl-C twice", "SIGTERM"]
)
@pytest.mark.parametrize("trace", ["off", "full"])
def test_a_run_that_hangs_is_saved(hanging: Path, numbers: tuple[Any, ...], trace: str) -> None:
    process = begin(hanging, "profile", "functions.py:make", "--trace", trace)
    for number in numbers:
        process.send_signal(number)
        time.sleep(REACTS_S + 1.0)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert ("where Ctrl-C does not reach it" in said) == (len(numbers) == 2)
    assert "interrupted after 5 steps, in a wait of " in said
    record = runfile.load(hanging / "o" / "profile.run")
    assert record.partial
    assert len(record.steps) == 5
    assert (hanging / "o" / "report.html").exists()
    assert "Traceback" not in said


@pytest.mark.tf
def test_a_read_that_hangs_before_the_first_run_can_be_ended(hanging: Path) -> None:
    process = begin(hanging, "benchmark", "functions.py:at_once")
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "error: interrupted; nothing was measured" in said
    assert "Traceback" not in said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("later", [True, False])
def test_a_signal_waits_for_what_is_being_saved(number: int, later: bool) -> None:
    saved = []

    def save() -> None:
        with no_interrupt(later=later):
            signal.raise_signal(number)
            saved.append(1)

    before = signal.signal(number, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt) if later else nullcontext():
            save()
        assert signal.getsignal(number) is signal.default_int_handler
    finally:
        signal.signal(number, before)
    assert saved == [1]
