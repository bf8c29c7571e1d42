"""Advice put into a plan, as far as the plan's order of elements is free."""

from __future__ import annotations

import dataclasses
import warnings
from typing import Any, Final

from pipeline_opt.access import DEFAULT
from pipeline_opt.errors import PlanError, PlanWarning
from pipeline_opt.plan import Combination, P, Plan
from pipeline_opt.sources import FileSource, Images, TextLines, TFRecords
from pipeline_opt.stages import AUTO, Interleave, Options, Prefetch, PrefetchToDevice, Shuffle
from pipeline_opt.storage.probe.advice import Advice

ONE_BY_ONE: Final = {"cycle_length": 1, "block_length": 1, "num_parallel_calls": 1}
"""The order of a sequential read; tf.data opens two files ahead even so."""


def apply(advice: Advice, plan: P, *, keep_order: bool | None = None) -> P:
    """A plan that reads as advised, with an interleave stage if it had none.

    Reading several files in turn changes the order of elements. It is free where the plan shuffles them, is not
    deterministic, or leaves the number of files to TensorFlow already; images keep their order, as a file holds one
    element. Where it is another one every time, records come as they are ready. Elsewhere files are read in the order that
    they are, the next ones opened ahead, and a warning says so.

    Args:
        advice: What `advise` gave.
        plan: A plan over files.
        keep_order: False: the order is free, whatever the plan says, and records come as they are ready; True: it is not free;
            None: the plan tells.

    Raises:
        PlanError: The plan reads no files, or is made of several plans: apply it to each of those.
    """
    if isinstance(plan.source, Combination) or not isinstance(plan.source, FileSource):
        raise PlanError(f"{plan.source.kind}: only a plan that reads files can be read as advised for a storage")
    free = order_is_free(plan) if keep_order is None else not keep_order
    if not free and not isinstance(plan.source, Images):
        cycle = plan.reader.cycle_length if plan.reader else 1
        warnings.warn(
            f"the plan's order is fixed (no shuffle), so that files are read {cycle} at a time as before, some of the next ones "
            f"opened ahead: not the {advice.streams} that the storage needs; shuffle, or say that the order is free",
            PlanWarning,
            stacklevel=2,
        )
        knobs: dict[str, Any] = {"num_parallel_calls": cycle} if plan.reader else {**ONE_BY_ONE}
    else:
        as_ready = order_is_random(plan) if keep_order is None else not keep_order
        knobs = _knobs(advice, plan, as_ready=as_ready)
    plan = dataclasses.replace(plan, source=_source(advice, plan.source))
    reader = plan.reader
    changed = plan.replace(reader.name, **knobs) if reader else plan.with_stages((Interleave(**knobs), *plan.stages))
    changed = _prefetching(changed, advice.prefetch)
    return _with_threads(changed, advice.private_threadpool_size) if isinstance(plan.source, Images) else changed


def _source(advice: Advice, source: FileSource) -> FileSource:
    """The source in requests of the size advised, unless it says another."""
    if advice.buffer_size is not None and isinstance(source, TFRecords | TextLines) and source.buffer_size is None:
        return dataclasses.replace(source, buffer_size=advice.buffer_size)
    if advice.route == "fsspec" and source.access.block_bytes is None:
        access = dataclasses.replace(source.access, block_bytes=advice.block_bytes)
        if access.read_ahead == DEFAULT.read_ahead:
            access = dataclasses.replace(access, read_ahead=advice.read_ahead)
        return dataclasses.replace(source, access=access)
    return source


def order_is_free(plan: Plan) -> bool:
    """Whether elements may come in another order than now."""
    reader = plan.reader
    undetermined = any(isinstance(stage, Options) and stage.deterministic is False for stage in plan.stages)
    unfixed = reader is not None and (reader.deterministic is False or reader.cycle_length == AUTO)
    return undetermined or unfixed or any(isinstance(stage, Shuffle) for stage in plan.stages)


def order_is_random(plan: Plan) -> bool:
    """Whether elements come in another order every time already, so that an interleave need not keep one.

    A shuffle without a seed of its own counts, though a global seed of TensorFlow's would make it repeat itself.
    """
    reader = plan.reader
    if reader is not None and reader.deterministic is not None:
        return not reader.deterministic
    stages = plan.stages
    undetermined = any(isinstance(stage, Options) and stage.deterministic is False for stage in stages)
    return undetermined or any(isinstance(stage, Shuffle) and stage.seed is None for stage in stages)


def _knobs(advice: Advice, plan: Plan, *, as_ready: bool) -> dict[str, Any]:
    if isinstance(plan.source, Images):
        # A file is read by one call of a map, which opens nothing ahead.
        return {"cycle_length": advice.streams, "num_parallel_calls": advice.streams}
    cycle = advice.cycle_length if as_ready else advice.cycle_length_in_order
    knobs = {"cycle_length": cycle, "block_length": advice.block_length, "num_parallel_calls": cycle}
    return knobs | ({"deterministic": False} if as_ready else {})


def _with_threads(plan: P, threads: int) -> P:
    """The plan with a pool of its own, of so many threads at least."""
    options = next((stage for stage in plan.stages if isinstance(stage, Options)), None)
    if options is None:
        return plan.append(Options(private_threadpool_size=threads))
    return plan.replace(options.name, private_threadpool_size=max(threads, options.private_threadpool_size or 0))


def _prefetching(plan: P, buffer_size: int) -> P:
    """The plan with a prefetch at its end, of so many batches at least."""
    last = next((stage for stage in reversed(plan.stages) if not isinstance(stage, Options)), None)
    if isinstance(last, PrefetchToDevice):
        return plan
    if not isinstance(last, Prefetch):
        return plan.append(Prefetch(buffer_size=buffer_size))
    if buffer_size == AUTO or last.buffer_size == AUTO or last.buffer_size >= buffer_size:
        return plan
    return plan.replace(last.name, buffer_size=buffer_size)
