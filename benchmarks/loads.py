"""The pipelines that profiling is measured on. Each element carries when its own work began and ended."""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from known import Floats, regex_work, stamps

import pipeline_opt as po
from pipeline_opt.synth import default_dataset


class Clocks:
    """A consumer that keeps the clocks of every element."""

    def __init__(self) -> None:
        self._stamps: list[Any] = []

    def __call__(self, batch: Any) -> None:
        self._stamps.append(tf.nest.flatten(batch)[-1].numpy())

    def spans(self) -> tuple[Floats, Floats]:
        """When each element's work began and when it ended, in seconds of `time.time`."""
        start, end = np.concatenate(self._stamps).T[:2]
        return start, end


def jpeg() -> po.Pipeline:
    """Decoding and resizing of real JPEGs, for ever, the knobs fixed."""
    records = po.Pipeline.from_tfrecords(default_dataset()).interleave(cycle_length=2, num_parallel_calls=2)
    return records.map(decode, num_parallel_calls=2).repeat().batch(32).prefetch(2)


def cheap() -> po.Pipeline:
    """Elements of some 100 us, for ever, the knobs fixed."""
    work = regex_work("work", 1)
    source = po.Pipeline.from_dataset(tf.data.Dataset.from_tensors(work.elements[0]).repeat())
    return source.map(lambda element: stamps(work, element), num_parallel_calls=2).batch(64).prefetch(2)


def decode(record: Any) -> tuple[Any, Any]:
    """A JPEG record as an image for training, and when decoding began and ended."""
    encoded = tf.io.parse_single_example(record, {"image/encoded": tf.io.FixedLenFeature([], tf.string)})[
        "image/encoded"
    ]
    with tf.control_dependencies([encoded]):
        start = tf.timestamp()
    with tf.control_dependencies([start]):
        image = tf.io.decode_jpeg(tf.identity(encoded), channels=3)
    with tf.control_dependencies([image]):
        end = tf.timestamp()
    return tf.image.resize(image, [224, 224]) / 255.0, tf.stack([start, end])


def command_line(description: str | None, seconds: float, of_what: str) -> argparse.ArgumentParser:
    """The options of a benchmark over these pipelines; `seconds` is what a run takes unless given."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=seconds, help=of_what)
    parser.add_argument("--only", choices=("jpeg", "cheap"), help="one of the two pipelines")
    parser.add_argument("--json", type=Path, help="write the numbers to a file")
    return parser


def pipelines(only: str | None) -> Iterator[tuple[str, po.Pipeline]]:
    """The pipelines asked for, by name; an op's time is then that of one thread, as in the benchmark of truth."""
    warnings.simplefilter("ignore", po.PlanWarning)
    tf.config.threading.set_intra_op_parallelism_threads(1)
    makers: tuple[Callable[[], po.Pipeline], ...] = (jpeg, cheap)
    for make in makers:
        if only in (None, make.__name__):
            yield make.__name__, make()
