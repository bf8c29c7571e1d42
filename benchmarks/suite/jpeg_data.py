"""JPEG records as of ImageNet: photographs of some 95 KB and their labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tensorflow as tf

from pipeline_opt.synth import make_jpeg_shards
from suite.workload import scaled

FEATURES = {
    "image/encoded": tf.io.FixedLenFeature([], tf.string),
    "image/class/label": tf.io.FixedLenFeature([], tf.int64),
}


def make(folder: Path, scale: float) -> None:
    make_jpeg_shards(folder, scaled(1500, scale, least=32), shards=8, size=(500, 375))


def parse(record: Any) -> tuple[Any, Any]:
    """The encoded image and its label."""
    example = tf.io.parse_single_example(record, FEATURES)
    return example["image/encoded"], example["image/class/label"]
