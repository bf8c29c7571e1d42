"""Many small files, one folder a class, as in TensorFlow's tutorial on loading images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tensorflow as tf

from pipeline_opt.synth import make_image_folder
from suite.workload import AUTO, WRITTEN, Knobs, Setting, Workload, scaled, settings

BATCH = 128
CLASSES = 20
SIZE = [32, 32]


def make(folder: Path, scale: float) -> None:
    make_image_folder(folder, scaled(20_000, scale, least=500), classes=CLASSES, size=(48, 48))


def process_path(path: Any) -> tuple[Any, Any]:
    class_names = tf.constant([f"class_{number:03}" for number in range(CLASSES)])
    label = tf.argmax(tf.strings.split(path, "/")[-2] == class_names)
    image = tf.io.decode_jpeg(tf.io.read_file(path), channels=3)
    return tf.image.resize(image, SIZE) / 255.0, label


def dataset(place: str, knobs: Knobs) -> tf.data.Dataset:
    files = tf.data.Dataset.list_files(f"{place}/*/*.jpg", shuffle=True)
    return knobs.finished(files.map(process_path, **knobs.map).batch(BATCH))


def batched(place: str, knobs: Knobs) -> tf.data.Dataset:
    """Each call reads and decodes a batch of files: what a call costs is paid once."""

    def read(path: Any) -> Any:
        return tf.ensure_shape(tf.io.decode_jpeg(tf.io.read_file(path), channels=3), [48, 48, 3])

    def process(paths: Any) -> tuple[Any, Any]:
        class_names = tf.constant([f"class_{number:03}" for number in range(CLASSES)])
        folders = tf.strings.split(paths, "/").to_tensor()[:, -2]
        images = tf.map_fn(read, paths, fn_output_signature=tf.TensorSpec([48, 48, 3], tf.uint8), parallel_iterations=1)
        return tf.image.resize(images, SIZE) / 255.0, tf.argmax(folders[:, tf.newaxis] == class_names, axis=1)

    files = tf.data.Dataset.list_files(f"{place}/*/*.jpg", shuffle=True)
    return knobs.finished(files.batch(BATCH).map(process, **knobs.map))


WORKLOAD = Workload(
    name="small_files",
    sentence="20,000 JPEG files of 2 KB in folders by class: read, decoded, resized to 32 x 32, in batches of 128.",
    family="small-files",
    make=make,
    dataset=dataset,
    forms={"batched": batched},
    by_hand=Setting("batched", Knobs(calls=AUTO, prefetch=AUTO)),
    grid=settings(forms=(WRITTEN, "batched"), calls=(None, 1, 2, 4, AUTO), cycle=(None,), prefetch=(1, AUTO)),
)
