"""Work whose cost is known twice: by a clock inside the work itself, and by the same work run alone, without tf.data."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

import pipeline_opt as po

Floats = NDArray[np.float64]

SAMPLE = 32
"""Elements in a measurement, and measurements, that tell how fast a machine is."""

Alone = Callable[[], Mapping[str, float]]
"""Does the work of stages once more outside tf.data; the microseconds for an element by stage."""


class Work(NamedTuple):
    """A function from a string to a number that depends on all that was done, and the strings to do it with."""

    name: str
    function: Callable[[Any], Any]
    elements: Sequence[str]


PIECES = 200
"""Pieces of text that one op takes some 30 to 100 us for, as machines go."""


def regex_work(name: str, times: int, pieces: int = PIECES) -> Work:
    """One op on one thread, in a few kilobytes of memory, a number of times."""

    def rewrite(element: Any) -> Any:
        for _ in range(times):
            element = tf.strings.regex_replace(element, "([0-9])([a-z])", r"\1\2")
        return tf.cast(tf.strings.length(element), tf.float64)

    return Work(name, rewrite, ["ab1cd2" * pieces])


def pieces_for(us: float) -> int:
    """How much text one such op takes so long for on this machine, about."""
    sample = alone([regex_work("sample", 1)], SAMPLE, 1)
    return round(PIECES * us / statistics.median(sample()["sample"] for _ in range(SAMPLE)))


def read_work(name: str, paths: Sequence[str]) -> Work:
    """Reading a file."""
    return Work(name, lambda path: tf.cast(tf.strings.length(tf.io.read_file(path)), tf.float64), paths)


def stamps(work: Work, element: Any) -> Any:
    """Do the work; when it began and ended, in seconds, and its result."""
    # One op after another: where two could go on at once, TensorFlow would wake a thread for the second.
    with tf.control_dependencies([element]):
        start = tf.timestamp()
    with tf.control_dependencies([start]):
        result = work.function(tf.identity(element))
    with tf.control_dependencies([result]):
        end = tf.timestamp()
    return tf.stack([start, end, result])


def clocked(work: Work) -> Callable[..., tuple[Any, ...]]:
    """The work as a map that hands on its element, and what came with it, and adds its stamps."""

    def run(element: Any, *others: Any) -> tuple[Any, ...]:
        return (element, *others, stamps(work, element))

    return run


def clocked_pipe(works: Sequence[Work], parallelism: int | None) -> po.Pipeline:
    """One map for each work, named after it, over the elements of the first, for ever."""
    pipe = po.Pipeline.from_tensors(list(works[0].elements)).repeat()
    for work in works:
        pipe = pipe.map(clocked(work), name=work.name, num_parallel_calls=parallelism)
    return pipe


def spent_s(batch: Any) -> Floats:
    """How long each work of a clocked pipeline took for each element of a batch, in seconds: (elements, works)."""
    start, end, _ = np.stack(batch[1:]).T
    return end - start


def alone(works: Sequence[Work], elements: int, threads: int) -> Alone:
    """The works with their clocks, one after another for each of so many elements, on some threads at once."""
    loop = _loop(works, elements)

    def run() -> dict[str, float]:
        with ThreadPoolExecutor() as others:
            running = [others.submit(loop) for _ in range(threads - 1)]
            found = [loop(), *(each.result() for each in running)]
        return {work.name: statistics.fmean(us[work.name] for us in found) for work in works}

    return run


def _loop(works: Sequence[Work], elements: int) -> Callable[[], dict[str, float]]:
    """A graph that does the works for so many elements, each timed from the end of the one before."""

    @tf.function
    def loop() -> Any:
        strings = tf.constant(list(works[0].elements))

        def body(i: Any, seconds: Any) -> Any:
            element = strings[i % len(works[0].elements)]
            with tf.control_dependencies([element, seconds]):
                begin = tf.timestamp()
            ends, before = [], begin
            for work in works:
                # One after another: the next may not begin before this one's result is known.
                with tf.control_dependencies([before]):
                    own = tf.identity(element)
                _, before, _ = tf.unstack(stamps(work, own))
                ends.append(before)
            # The loop's own arithmetic comes last: where it can go on beside the work, a thread is woken for the work.
            with tf.control_dependencies([before]):
                begin, i = tf.identity(begin), tf.identity(i)
                return i + 1, seconds + tf.stack(ends) - tf.stack([begin, *ends[:-1]])

        start = (tf.constant(0), tf.zeros([len(works)], tf.float64))
        return tf.while_loop(lambda i, _: i < elements, body, start, parallel_iterations=1)[1]

    loop()
    names = [work.name for work in works]
    return lambda: dict(zip(names, loop().numpy() / elements * 1e6, strict=True))


def records_alone(stage: str, path: str, compression: str, elements: int) -> Alone:
    """Reading and inflating the next records of a file, as a batch, without a function."""
    options = tf.data.Options()
    options.experimental_optimization.apply_default_optimizations = False
    options.autotune.enabled = False
    records = iter(tf.data.TFRecordDataset(path, compression).repeat().batch(elements).with_options(options))

    def read() -> dict[str, float]:
        start = time.perf_counter()
        next(records)
        return {stage: (time.perf_counter() - start) / elements * 1e6}

    return read


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
