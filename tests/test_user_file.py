"""A user's own training file, profiled as it is: a hash table, Python code, random ops, its own names."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import Shell

pytestmark = pytest.mark.tf

TRAIN = """
import numpy as np
import tensorflow as tf

CLASSES = tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(["cat", "dog"], [0, 1]), default_value=-1)


def load_mask(index):
    return np.full((8, 8, 1), int(index) % 2, np.float32)


def with_mask(index):
    mask = tf.py_function(load_mask, [index], tf.float32)
    mask.set_shape([8, 8, 1])
    return index, mask


def augment(index, mask):
    return index, tf.image.random_flip_left_right(mask)


def label(index, mask):
    return mask, CLASSES.lookup(tf.where(index % 2 == 0, "cat", "dog"))


def make_dataset():
    dataset = tf.data.Dataset.range(120).shuffle(40)
    dataset = dataset.map(with_mask).map(augment, num_parallel_calls=2).map(label)
    return dataset.batch(16).prefetch(tf.data.AUTOTUNE)
"""


def test_stages_are_named_after_the_users_functions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shell = Shell(tmp_path, monkeypatch)
    file = tmp_path / "train.py"
    file.write_text(TRAIN)
    run = shell.json("profile", "train.py:make_dataset", "--epochs", "2", "--trace", "full", "--out", "out")
    names = [stage["name"] for stage in run["stages"]]
    assert names == ["range", "shuffle", "with_mask", "augment", "label", "batch", "prefetch"]
    by_name = {stage["name"]: stage for stage in run["stages"]}
    assert [by_name[name]["elements"] for name in ("with_mask", "augment", "label")] == [240] * 3
    assert all(by_name[name]["work_s"] > 0 for name in ("with_mask", "augment", "label"))
    assert by_name["augment"]["parallelism"] == 2
    assert run["elements"] == 240
    assert run["steps"] == 16
    assert file.read_text() == TRAIN
