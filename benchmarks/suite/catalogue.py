"""All workloads."""

from __future__ import annotations

from typing import Final

from suite import (
    audio,
    cache_pays,
    cache_too_large,
    csv_rows,
    jpeg_eval,
    jpeg_train,
    lm_packing,
    mixture,
    python_function,
    remote_shards,
    segmentation,
    small_files,
    ssd,
    tabular,
    text_buckets,
    text_classification,
    volumes,
)
from suite.workload import Workload

MODULES: Final = (
    jpeg_train,
    jpeg_eval,
    ssd,
    segmentation,
    text_classification,
    text_buckets,
    lm_packing,
    tabular,
    csv_rows,
    audio,
    volumes,
    python_function,
    remote_shards,
    small_files,
    mixture,
    cache_pays,
    cache_too_large,
)
WORKLOADS: Final[tuple[Workload, ...]] = tuple(module.WORKLOAD for module in MODULES)
