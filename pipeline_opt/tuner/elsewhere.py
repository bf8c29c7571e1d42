"""Another storage or accelerator, as the numbers that a prediction takes."""

from __future__ import annotations

import os
from pathlib import Path

from pipeline_opt.errors import UsageError
from pipeline_opt.profiler.accelerator import Accelerator
from pipeline_opt.storage.measured import StorageProfile


def storage_numbers(storage: StorageProfile | str | os.PathLike[str]) -> dict[str, float | None]:
    """What a probe measured: the mean time to the first byte, one stream's rate, and that of all streams where it was reached.

    Raises:
        SourceError: The profile cannot be read.
        UsageError: It lacks the time to the first byte or a stream's rate.
    """
    profile = storage if isinstance(storage, StorageProfile) else StorageProfile.load(Path(storage))
    samples, rate = profile.ttfb.samples, profile.stream_bytes_per_s
    if not samples:
        raise UsageError(f"{profile.uri}: the time to first byte is not known: {profile.ttfb.reason}")
    if rate is None:
        raise UsageError(f"{profile.uri}: no rate of a stream is known; probe for longer")
    total = profile.total_bytes_per_s if profile.knee is not None else None
    return {"open_s": sum(samples) / len(samples), "stream_bytes_per_s": rate, "total_bytes_per_s": total}


def accelerator_numbers(accelerator: Accelerator | str, rows: float) -> dict[str, float | None]:
    """The seconds of a step for a batch of so many rows.

    Raises:
        UsageError: There is no such accelerator.
    """
    made = accelerator if isinstance(accelerator, Accelerator) else Accelerator.parse(accelerator)
    return {"step_s": made.seconds_for(round(rows))}
