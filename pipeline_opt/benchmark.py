"""The same work in several forms, one after another: sequential, left to AUTOTUNE, and in the order asked for."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from pipeline_opt.build.dataset import build
from pipeline_opt.errors import PlanWarning
from pipeline_opt.plan import Combination, Plan, unfolded
from pipeline_opt.profiler.arguments import TraceMode
from pipeline_opt.profiler.profile import profile
from pipeline_opt.profiler.running import Running
from pipeline_opt.record import Record
from pipeline_opt.sources import FileSource, Source
from pipeline_opt.storage import resolve
from pipeline_opt.variants import autotune, naive, with_own_files, without_files

WARM_STEPS = 2
"""Batches taken before anything is timed: the first of a process pay for loading kernels."""

WARM_BYTES = 2 * 1024**3
"""Bytes of local files that are read before anything is timed, so that no variant finds a colder page cache than the next."""

Progress = Callable[[str, int, float], None]
"""Called between steps with the variant's name, the steps done and the seconds since its start."""


def variants(plan: Plan) -> dict[str, Plan]:
    """The forms of a plan that a benchmark compares, by name; all yield the same elements.

    Caches and snapshots on disk are each form's own: the first would otherwise write what the others only read.

    Raises:
        UsageError: The plan begins with a finished dataset, whose stages cannot be changed.
    """
    plan = unfolded(plan)
    forms = {"naive": naive(plan), "autotune": autotune(plan), "pipelined": plan}
    return {name: with_own_files(form, name) for name, form in forms.items()}


def benchmark(
    plans: Mapping[str, Plan],
    consumer: Any = None,
    *,
    steps: int | None = None,
    seconds: float | None = None,
    epochs: int | None = None,
    max_seconds: float | None = None,
    trace: TraceMode = "auto",
    on_progress: Progress | None = None,
    on_start: Callable[[str, Running], None] | None = None,
    on_reading: Callable[[str], None] | None = None,
    on_record: Callable[[str, Record], None] | None = None,
) -> dict[str, Record]:
    """Profile every plan under the same consumer. Arguments are those of `profile`, errors too.

    Args:
        plans: Plans by name, as `variants` gives them.
        on_start: Called with the name of every plan, and what another thread may ask of its run.
        on_reading: Called with the name of every plan after its last step, before its traces are read.
        on_record: Called with the name and the record of every plan once it has run, so that a failure of the next
            one loses nothing.
    """
    first = next(iter(plans.values()))
    warm_up(first)
    records: dict[str, Record] = {}
    for name, plan in plans.items():
        with warnings.catch_warnings():
            # That a naive plan has no prefetch is the point of it.
            warnings.simplefilter("ignore", PlanWarning)
            records[name] = profile(
                plan,
                consumer,
                steps=steps,
                seconds=seconds,
                epochs=epochs,
                max_seconds=max_seconds,
                trace=trace,
                on_progress=None if on_progress is None else partial(on_progress, name),
                on_start=None if on_start is None else partial(on_start, name),
                on_reading=None if on_reading is None else partial(on_reading, name),
            )
        if on_record is not None:
            on_record(name, records[name])
        if records[name].partial:
            break
    return records


def warm_up(plan: Plan) -> None:
    """Bring local files into the page cache and the ops of a plan into the process.

    The copy to a device is left out: an emulated accelerator may stand for the device. A pipeline that fails here fails
    again when it is measured, and then leaves a record.
    """
    for path in local_files(plan.source):
        with open(path, "rb") as file:
            while file.read(1 << 22):
                pass
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PlanWarning)
        first = build(without_files(plan), on_host=True).take(WARM_STEPS)
        with contextlib.suppress(Exception):
            for _ in first:
                pass


def local_files(source: Source) -> list[str]:
    """The local files of a source, as many as fit `WARM_BYTES` in all; none if they are larger."""
    if isinstance(source, Combination):
        return [path for plan in source.plans for path in local_files(plan.source)]
    if not isinstance(source, FileSource):
        return []
    resolved = resolve(source)
    fits = resolved.bytes is not None and resolved.bytes <= WARM_BYTES
    return [path for path in resolved.files if "://" not in path] if fits else []
