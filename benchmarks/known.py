"""Work whose cost is known twice: by a clock inside the work itself, and by the same work run alone, without tf.data."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

import pipeline_opt as po

MEASURE_S = 0.03
"""How long one measurement lasts, about."""

SAMPLE = 16
"""Runs that tell how many make a measurement."""


class Work(NamedTuple):
    """A function from a string to a number that depends on all that was done, and the strings to do it with."""

    name: str
    function: Callable[[Any], Any]
    elements: Sequence[str]


def regex_work(name: str, times: int) -> Work:
    """Some 100 us of one op on one thread, in a few kilobytes of memory, a number of times."""

    def rewrite(element: Any) -> Any:
        for _ in range(times):
            element = tf.strings.regex_replace(element, "([0-9])([a-z])", r"\1\2")
        return tf.cast(tf.strings.length(element), tf.float64)

    return Work(name, rewrite, ["ab1cd2" * 200])


def read_work(name: str, paths: Sequence[str]) -> Work:
    """Reading a file."""
    return Work(name, lambda path: tf.cast(tf.strings.length(tf.io.read_file(path)), tf.float64), paths)


def clocked(work: Work) -> Callable[..., tuple[Any, ...]]:
    """The work as a map: it hands its element on and adds when the work began and ended, in seconds, and its result."""

    def run(element: Any, *clocks: Any) -> tuple[Any, ...]:
        # One op after another: where two could go on at once, TensorFlow would wake a thread for the second.
        with tf.control_dependencies([element]):
            start = tf.timestamp()
        with tf.control_dependencies([start]):
            result = work.function(tf.identity(element))
        with tf.control_dependencies([result]):
            end = tf.timestamp()
        return (element, *clocks, tf.stack([start, end, result]))

    return run


def clocked_pipe(works: Sequence[Work], parallelism: int | None) -> po.Pipeline:
    """One map for each work, named after it, over the elements of the first, for ever."""
    pipe = po.Pipeline.from_tensors(list(works[0].elements)).repeat()
    for work in works:
        pipe = pipe.map(clocked(work), name=work.name, num_parallel_calls=parallelism)
    return pipe


class Alone:
    """The same work outside tf.data, on some threads at once.

    Args:
        run: Does the work `runs` times, one after another; one for each thread.
        runs: How often.
        once: Does the work once. A call of a graph from Python takes a millisecond here, so that it is the difference
            between `run` and `once` that counts; without, a call is `run` itself.
    """

    def __init__(self, run: Sequence[Callable[[], Any]], runs: int, once: Callable[[], Any] | None = None) -> None:
        self._run, self._runs, self._once = run, runs, once
        self._us: list[float] = []

    def measure(self) -> None:
        """Once more, on every thread, once the core is awake and the memory warm."""
        self._run[0]()
        others = [threading.Thread(target=self._measure, args=(run,)) for run in self._run[1:]]
        for thread in others:
            thread.start()
        self._measure(self._run[0])
        for thread in others:
            thread.join()

    def take_us(self) -> float:
        """Microseconds for one run, the mean of what was measured since this was asked last."""
        mean = statistics.fmean(self._us)
        self._us = []
        return mean

    def _measure(self, run: Callable[[], Any]) -> None:
        seconds, runs = _seconds(run), self._runs
        if self._once is not None:
            seconds, runs = seconds - _seconds(self._once), runs - 1
        self._us.append(seconds / runs * 1e6)


def _seconds(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def alone(work: Work, threads: int) -> Alone:
    """The work and its clock, each run with the next element."""
    once = _chain(work, 1)
    sample = Alone([_chain(work, SAMPLE)], SAMPLE, once)
    sample.measure()
    runs = max(SAMPLE, round(MEASURE_S / (sample.take_us() * 1e-6)))
    return Alone([_chain(work, runs)] * threads, runs, once)


def _chain(work: Work, runs: int) -> Callable[[], Any]:
    elements = tf.constant([work.elements[i % len(work.elements)] for i in range(runs)])

    @tf.function(input_signature=[tf.TensorSpec([runs], tf.string)])
    def chain(strings: Any) -> Any:
        total = tf.zeros([3], tf.float64)
        for element in tf.unstack(strings):
            # One after another: the next may not begin before this one's result is known.
            with tf.control_dependencies([total]):
                own = tf.identity(element)
            total += clocked(work)(own)[-1]
        return total

    chain(elements)
    return lambda: chain(elements)


def records_alone(path: str, compression: str, runs: int) -> Alone:
    """Reading and inflating the next records of a file, as a batch, without a function."""
    options = tf.data.Options()
    options.experimental_optimization.apply_default_optimizations = False
    options.autotune.enabled = False
    records = iter(tf.data.TFRecordDataset(path, compression).repeat().batch(runs).with_options(options))
    return Alone([lambda: next(records)], runs)


def write_files(folder: Path, count: int, size: int) -> list[str]:
    """Files of random bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{number}.bin" for number in range(count)]
    for number, path in enumerate(paths):
        path.write_bytes(np.random.default_rng(number).bytes(size))
    return [str(path) for path in paths]


def write_gzip_records(path: Path, count: int, size: int) -> None:
    """Records of compressible bytes, so that inflating them costs something."""
    letters = np.frombuffer(b"etaoin shrdlu cmfwyp", np.uint8)
    rng = np.random.default_rng(7)
    with tf.io.TFRecordWriter(str(path), tf.io.TFRecordOptions(compression_type="GZIP")) as writer:
        for _ in range(count):
            writer.write(rng.choice(letters, size).tobytes())
