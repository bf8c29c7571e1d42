"""The public calls that measure or tune: `profile`, `profiling`, `benchmark`, `probe`, `optimize`, `lint`; and `load`."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Unpack

from pipeline_opt import runfile
from pipeline_opt.benchmark import benchmark as benchmark_plans
from pipeline_opt.benchmark import variants
from pipeline_opt.clock import Clock, SystemClock
from pipeline_opt.errors import PipelineOptError, UsageError
from pipeline_opt.machine import machine
from pipeline_opt.optimized import Optimized
from pipeline_opt.pipeline import Pipeline
from pipeline_opt.plan import Plan
from pipeline_opt.probes import Probe
from pipeline_opt.profiler.arguments import ProfileArguments
from pipeline_opt.profiler.profile import Profiling as RecordProfiling
from pipeline_opt.profiler.profile import profile as profile_record
from pipeline_opt.run import Run
from pipeline_opt.storage.probe.measure import probe as probe_profile
from pipeline_opt.tuner.lint import Lint
from pipeline_opt.tuner.lint import lint as lint_plan
from pipeline_opt.tuner.optimize import tune
from pipeline_opt.tuner.wishes import Wishes


def profile(pipeline: Any, consumer: Any = None, **arguments: Unpack[ProfileArguments]) -> Run:
    """Run a pipeline and measure where its time goes.

    Args:
        pipeline: A `Pipeline`, or any `tf.data.Dataset`.
        consumer: What takes the batches: None to drain as fast as possible; a function of a batch (a training step); a compiled
            Keras model; an `Accelerator`, or its text form, such as `"20ms"` or `"h100-resnet50"`.
        **arguments: `steps`, `seconds`, `epochs`, `max_seconds`, `warmup`, `trace`, `clock`, `on_progress`; see
            `pipeline_opt.profiler.arguments.ProfileArguments`.

    Raises:
        UsageError: An argument is out of range.
        PlanError, SourceError: The pipeline cannot be built.
        StageError: The pipeline or the step failed while it ran; `error.record` is the partial run. Ctrl-C raises nothing: the
            run is partial.
    """
    try:
        return Run.of(profile_record(pipeline, consumer, **arguments))
    except PipelineOptError as error:
        if error.record is not None:
            error.record = Run.of(error.record)
        raise


class profiling(RecordProfiling):
    """Profile a training loop of your own.

    Example:
        with po.profiling(dataset) as batches:
            for batch in batches:
                train_step(batch)
        batches.run.summary()
    """

    @property
    def run(self) -> Run:
        """What was measured; there once the block has ended, also by an exception."""
        return Run.of(self.record)


def benchmark(pipeline: Plan | Mapping[str, Plan], consumer: Any = None, **arguments: Any) -> dict[str, Run]:
    """Profile the same work in several forms: `naive` (sequential), `autotune` (every knob) and `pipelined` (as it is).

    Args:
        pipeline: A pipeline, or several by name to be compared as they are.
        consumer: As for `profile`.
        **arguments: As for `profile`.
    """
    plans = variants(pipeline) if isinstance(pipeline, Plan) else pipeline
    return {name: Run.of(record) for name, record in benchmark_plans(plans, consumer, **arguments).items()}


def probe(uri: str | os.PathLike[str], **arguments: Any) -> Probe:
    """Measure a storage through the client that a pipeline would use: what it can do, and how a pipeline should read it.

        found = po.probe("gs://bucket/train", seconds=20)
        found.table(); found.plot(); found.save("bucket.json")
        found.advice(demand_bytes_per_s=200e6).sentences()

    Args:
        uri: A file, a folder or a glob.
        **arguments: `via`, `seconds`, `max_bytes`, `streams`, `access`, `clock`, `on_progress`; see
            `pipeline_opt.storage.probe.measure.probe`.

    Raises:
        UsageError: An argument is out of range.
        SourceError: The URI cannot be opened, does not answer, or holds nothing to read.
    """
    return Probe.of(probe_profile(os.fspath(uri), **arguments))


def optimize(pipeline: Any, **arguments: Any) -> Optimized:
    """Make a pipeline faster without changing what is trained on.

        best = po.optimize(dataset, epochs=5)
        model.fit(best.dataset)
        print(best.explain())

    While it measures, glibc's malloc keeps what is freed, so that no pipeline pays for the memory that another one gave back.
    Then it goes on as it does once it has freed a block of 32 MB; with `MALLOC_TRIM_THRESHOLD_` set it is left alone.

    Args:
        pipeline: A `Pipeline`, or any `tf.data.Dataset`.
        **arguments: `budget_s`, `memory_bytes`, `epochs`, `step_s`, `bits`, `order_free`, `seed`; see
            `pipeline_opt.tuner.wishes.Wishes`; and `clock`, `on_progress`.

    Returns:
        The faster pipeline, or the better of the given one and plain AUTOTUNE where none was shown to be faster.

    Raises:
        UsageError: An argument is out of range, or has an unknown name.
        PlanError, SourceError: The pipeline cannot be built.
    """
    wishes, clock, tell = _asked("optimize", arguments)
    return Optimized(tune(pipeline, wishes, machine(), clock, tell))


def lint(pipeline: Any, **arguments: Any) -> Lint:
    """Look for what slows a pipeline down or does harm, and measure what each of them costs on this machine.

        print(po.lint(dataset))

    Args:
        pipeline: A `Pipeline`, or any `tf.data.Dataset`; it is not changed.
        **arguments: As those of `optimize`.

    Raises:
        UsageError: An argument is out of range, or has an unknown name.
        PlanError, SourceError: The pipeline cannot be built.
    """
    wishes, clock, tell = _asked("lint", arguments)
    return lint_plan(pipeline, wishes, machine(), clock, tell)


def _asked(call: str, arguments: dict[str, Any]) -> tuple[Wishes, Clock, Callable[[float, str], object]]:
    """What is asked, a clock, and what is told of progress.

    Raises:
        UsageError: An argument is out of range, or has an unknown name.
    """
    clock, tell = arguments.pop("clock", None) or SystemClock(), arguments.pop("on_progress", None) or _silent
    valid = [field.name for field in dataclasses.fields(Wishes)]
    if unknown := sorted(set(arguments) - set(valid)):
        raise UsageError(f"{call} does not know {', '.join(unknown)}; valid: {', '.join(valid)}, clock, on_progress")
    return Wishes(**arguments), clock, tell


def _silent(seconds: float, what: str) -> None:
    """Told of progress, shows none."""


def load(path: str | os.PathLike[str]) -> Run | Pipeline:
    """Read a run file, or a pipeline from a TOML file. Runs no code.

    Raises:
        RunFileError: The run file is damaged or from a newer version.
        ConfigError: The pipeline cannot be read.
    """
    if Path(path).suffix == ".toml":
        return Pipeline.from_config(path)
    return Run.of(runfile.load(path))
