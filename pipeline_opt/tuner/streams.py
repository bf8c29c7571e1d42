"""How one file of a storage that is not this machine's disk comes in: the wait for its first byte, and its rate."""

from __future__ import annotations

import dataclasses
from functools import partial
from statistics import median
from typing import Any, Final, NamedTuple

from pipeline_opt.build.steps import build_steps
from pipeline_opt.clock import Clock
from pipeline_opt.plan import Plan
from pipeline_opt.sources import FileSource, ResolvedSource
from pipeline_opt.tuner.samples import drained, plain

FILES: Final = 3
MOST_S: Final = 2.0
"""Seconds that are spent on reading files, about."""


class Stream(NamedTuple):
    """What one stream does.

    Attributes:
        open_s: Seconds to a file's first element.
        bytes_per_s: The rate after it; None where a file held too little to tell.
        cpu_s: Core-seconds for an element.
    """

    open_s: float
    bytes_per_s: float | None
    cpu_s: float


def stream_of(source: FileSource, listed: ResolvedSource, clock: Clock) -> Stream:
    """Read a few files, one after another.

    Args:
        source: The source.
        listed: Its files.
        clock: Measures.
    """
    firsts, rest_s, rest_bytes, counts = list[float](), 0.0, 0, list[int]()
    datasets = [_dataset_of(source, listed, path) for path in listed.files[-FILES:]]
    started = clock.now()
    for dataset in datasets:
        iterator = iter(plain(dataset))
        begun, first, last = clock.now(), None, 0.0
        counts.append(0)
        for element in iterator:
            counts[-1] += 1
            last = clock.now()
            if first is None:
                first = last
                firsts.append(first - begun)
            else:
                rest_bytes += len(element.numpy()) if hasattr(element, "numpy") else 0
            if last - started > MOST_S:
                break
        # Not until the end is found, or the iterator is gone: both take long, but wait for no storage.
        rest_s += 0.0 if first is None else last - first
        if clock.now() - started > MOST_S:
            break
    rate = rest_bytes / rest_s if rest_s > 0.01 and rest_bytes > 1 << 16 else None
    most = max(counts, default=0)
    # Once more without a loop in Python, which takes longer than to read a small record.
    used = drained(datasets[counts.index(most)], most, clock).cpu_s / most if most else 0.0
    return Stream(median(firsts) if firsts else 0.0, rate, used)


def _dataset_of(source: FileSource, listed: ResolvedSource, path: str) -> Any:
    one = dataclasses.replace(source, paths=(path,))
    return build_steps(Plan(one), partial(_alone, listed, path), on_host=True)[-1].after


def _alone(listed: ResolvedSource, path: str, _: FileSource) -> ResolvedSource:
    return dataclasses.replace(listed, files=(path,), labels=None if listed.labels is None else (0,))
