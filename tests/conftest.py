"""What every test starts with: a quiet TensorFlow, fixed hypothesis profiles, small data sets of known content."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hdfs import hdfs as hdfs
from hypothesis import HealthCheck, settings

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

settings.register_profile("dev", deadline=None, max_examples=30, suppress_health_check=[HealthCheck.too_slow])
# The same examples for the same code, so that a run that fails fails again; `dev` draws new ones every time.
settings.register_profile(
    "ci", deadline=None, max_examples=100, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("ci" if os.environ.get("CI") else "dev")


@pytest.fixture
def seeded(tf: Any) -> Iterator[None]:
    """TensorFlow's global seed set for one test, and unset again: other tests count on there being none."""
    tf.random.set_seed(1)
    yield
    tf.random.set_seed(None)


@pytest.fixture(scope="session")
def tf() -> Any:
    """TensorFlow, imported when the first test asks for it."""
    import tensorflow

    return tensorflow


@pytest.fixture(scope="session")
def records(tmp_path_factory: pytest.TempPathFactory, tf: Any) -> Path:
    """Four TFRecord shards of 25 records each; record n of shard s is the text `s:n`."""
    folder = tmp_path_factory.mktemp("records")
    for shard in range(4):
        with tf.io.TFRecordWriter(str(folder / f"part-{shard}.tfrecord")) as writer:
            for number in range(25):
                writer.write(f"{shard}:{number}".encode())
    return folder


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes, cats and dogs, of six small JPEG images each."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("images")
    for number, name in enumerate(("cats", "dogs")):
        (folder / name).mkdir()
        for index in range(6):
            colour = (40 * index, 100 * number, 10)
            Image.new("RGB", (20 + index, 16), colour).save(folder / name / f"{index}.jpg")
    return folder


CLOCKED = ("test_probe_truth.py", "test_waits.py", "test_hdfs_shaped.py", "test_bridge_ahead.py")
"""What is held against a clock. It comes first, while the process is small and has few threads; the rest stays in order."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.name in CLOCKED:
            item.add_marker(pytest.mark.clock)
    items.sort(key=lambda item: CLOCKED.index(item.path.name) if item.path.name in CLOCKED else len(CLOCKED))
