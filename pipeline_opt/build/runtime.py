"""The TensorFlow that is installed here, for those who may not name it."""

from __future__ import annotations

from typing import Any

from pipeline_opt.lazy import lazy_module

tf = lazy_module("tensorflow")


def tensorflow_version() -> str:
    """The version; imports TensorFlow."""
    return str(tf.__version__)


def devices() -> tuple[str, ...]:
    """Every device, the host first, as `CPU:0`; takes hold of the accelerators, as running anything does."""
    return tuple(str(device.name).removeprefix("/device:") for device in tf.config.list_logical_devices())


def is_dataset(value: Any) -> bool:
    """Whether a value is a `tf.data.Dataset`."""
    return isinstance(value, tf.data.Dataset)
