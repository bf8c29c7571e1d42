"""How one file of a far storage comes in, against a clock that only its elements move."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf

from pipeline_opt.sources import TFRecords
from pipeline_opt.storage import resolve
from pipeline_opt.tuner import streams

pytestmark = pytest.mark.tf


class Ticks:
    """Seconds that pass where a test says so."""

    def __init__(self) -> None:
        self.moment = 0.0

    def now(self) -> float:
        return self.moment

    cpu = now


def test_the_end_of_a_file_is_no_part_of_its_reading(monkeypatch: pytest.MonkeyPatch, records: Path) -> None:
    ticks = Ticks()

    def element(seconds: float, *, kept: bool = True) -> Any:
        def wait(_: Any) -> bytes:
            ticks.moment += seconds
            return bytes(50_000)

        one = tf.data.Dataset.range(1).map(lambda number: tf.numpy_function(wait, [number], tf.string))
        return one.filter(lambda _: kept)

    file = element(0.5).concatenate(element(0.25)).concatenate(element(0.25)).concatenate(element(100.0, kept=False))
    monkeypatch.setattr(streams, "_dataset_of", lambda *_: file)
    source = TFRecords(paths=(str(records / "*.tfrecord"),))
    found = streams.stream_of(source, resolve(source), ticks)  # type: ignore[arg-type]
    assert found.open_s == 0.5
    assert found.bytes_per_s == 200_000
    assert found.cpu_s == pytest.approx(1.0 / 3)
