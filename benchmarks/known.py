"""Work of known cost: real CPU work, gzip and file reads, calibrated alone, without profiler and tf.data."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

REPEATS = 32
"""Runs in one calibration, one after another inside one graph, so that calling from Python adds next to nothing."""

ROUNDS = 7


class Work(NamedTuple):
    """A function from an element to an element of the same kind, and an element to begin with."""

    name: str
    function: Callable[[Any], Any]
    element: str


def regex_work(name: str, units: int) -> Work:
    """One op on one thread in a few kilobytes of memory: some half a microsecond for each unit."""

    def rewrite(element: Any) -> Any:
        return tf.strings.regex_replace(element, "([0-9])([a-z])", r"\1\2")

    rewrite.__name__ = name
    return Work(name, rewrite, "ab1cd2" * units)


def calibrate(work: Work) -> float:
    """Microseconds that one run of the function takes on one thread, alone."""

    @tf.function
    def chain(element: Any) -> Any:
        for _ in range(REPEATS):
            element = work.function(element)
        return element

    element = tf.constant(work.element)
    return _per_run_us(lambda: chain(element), REPEATS)


def calibrate_read(paths: Sequence[str]) -> float:
    """Microseconds that reading one of some files takes, alone."""
    chosen = tf.constant(list(paths)[:REPEATS])

    @tf.function(input_signature=[tf.TensorSpec([len(chosen)], tf.string)])
    def read(names: Any) -> Any:
        total = tf.constant(0)
        for name in tf.unstack(names):
            # One after another: the next may not begin before this one's size is known.
            with tf.control_dependencies([total]):
                total += tf.strings.length(tf.io.read_file(tf.identity(name)))
        return total

    return _per_run_us(lambda: read(chosen), len(chosen))


def calibrate_records(path: str, compression: str, count: int) -> float:
    """Microseconds that reading one record of a file takes, alone: the file is skipped through without a function."""
    options = tf.data.Options()
    options.experimental_optimization.apply_default_optimizations = False
    options.autotune.enabled = False
    dataset = tf.data.TFRecordDataset(path, compression).skip(count - 1).with_options(options)
    return _per_run_us(lambda: next(iter(dataset)), count)


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


def _per_run_us(run: Callable[[], Any], runs: int) -> float:
    run()
    seconds = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds) / runs * 1e6
