"""`pipeline-opt profile`: run one pipeline and say where its time goes."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Annotated, Final

import typer

from pipeline_opt.cli import options as o
from pipeline_opt.cli.console import Output, progress_bar
from pipeline_opt.cli.measuring import Measuring, RunProgress, accelerator_of, limits_of
from pipeline_opt.cli.outputs import Folder, JsonFile, derived_name
from pipeline_opt.cli.reaching import access_settings, wanted_access
from pipeline_opt.cli.results import PLAN_FILES, Results, add_partial, report_files, run_file
from pipeline_opt.cli.startup import load_tensorflow
from pipeline_opt.cli.targets import make_pipeline, plan_options, reading_options
from pipeline_opt.errors import PipelineOptError, UsageError
from pipeline_opt.lazy import lazy_module
from pipeline_opt.pipeline import Pipeline
from pipeline_opt.profiler.loop import Limits
from pipeline_opt.profiler.profile import profile as profile_record
from pipeline_opt.record import Record
from pipeline_opt.summary import summary

terminal = lazy_module("pipeline_opt.reports.terminal")

EXAMPLES: Final = (
    "pipeline-opt profile data/train-*.tfrecord --accelerator h100-resnet50 --seconds 20",
    "pipeline-opt profile train.py:make_dataset --steps 200 --trace full",
    "pipeline-opt profile --config pipe.toml --json - | jq .throughput",
)

NAME: Final = "profile"

LIMITS: Final = Limits(epochs=1, seconds=20.0)
"""Without any limit given: one epoch, but no longer than people wait."""


def run(
    targets: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="TARGET",
            help="Data: files, folders, globs. Or FILE.py:FUNCTION or MODULE:FUNCTION that returns a Dataset or a "
            "Pipeline. Or a plan as a TOML file.",
        ),
    ] = None,
    config: o.Config = None,
    order: o.Order = None,
    file_format: o.Format = None,
    delimiter: o.Delimiter = None,
    header: o.Header = None,
    record_bytes: o.RecordBytes = None,
    via: o.Via = None,
    access: o.AccessSettings = None,
    maps: o.Maps = None,
    random_maps: o.RandomMaps = None,
    batch_size: o.BatchSize = None,
    shuffle_buffer: o.ShuffleBuffer = None,
    accelerator: Annotated[
        str, typer.Option("--accelerator", metavar="SPEC", help=o.ACCELERATOR_HELP + " none unless given.")
    ] = "none",
    in_flight: o.InFlight = None,
    steps: o.Steps = None,
    seconds: o.Seconds = None,
    epochs: o.Epochs = None,
    trace: o.TraceOption = o.Trace.AUTO,
    out: o.Out = None,
    force: o.Force = False,
    json_file: o.Json = None,
) -> None:
    """Run one pipeline and say where its time goes.

    Without --steps, --seconds or --epochs it is one epoch, 20 seconds at the most. Writes a run file, figures, an HTML
    page, a trace for ui.perfetto.dev and the plan.
    """
    if not targets and config is None:
        raise UsageError("nothing to profile; give a path, FILE.py:FUNCTION, or --config FILE")
    reading = reading_options(delimiter, header, record_bytes)
    reaching = access_settings(via, access)
    options = plan_options(order, config, file_format, maps, random_maps, batch_size, shuffle_buffer, reading, reaching)
    emulated = accelerator_of(accelerator, in_flight)
    measuring = Measuring(emulated, limits_of(steps, seconds, epochs, LIMITS), trace)
    json_out = JsonFile(json_file, force=force)
    files = (run_file(NAME), *PLAN_FILES, *report_files([NAME], NAME))
    folder = Folder(out, derived_name(NAME, [*(targets or ()), str(config or "")]), files, json_out, force=force)
    output = Output(quiet_stdout=json_out.is_stdout)
    results = Results(output, json_out, folder, lambda runs: summary(runs[NAME]), show, "Input pipeline")
    try:
        load_tensorflow(wanted_access(config, targets or (), reaching))
        pipeline = make_pipeline(targets or (), options, device=emulated is not None)
        _measure(pipeline, measuring, results)
    finally:
        folder.drop_if_empty()


def _measure(pipeline: Pipeline, measuring: Measuring, results: Results) -> None:
    output = results.output
    output.text(f"Profile; {measuring.describe()}")
    output.cropped(str(pipeline))
    output.line()
    failure: BaseException | None = None
    try:
        with progress_bar("Profiling") as advance, results.watch(pipeline, measuring.limits.seconds) as watchdog:
            progress = RunProgress(advance, measuring, (NAME,))
            run = profile_record(
                pipeline,
                measuring.accelerator,
                on_progress=partial(progress, NAME),
                on_start=partial(watchdog.follow, NAME),
                on_reading=partial(progress.reading, NAME),
                **measuring.arguments(),
            )
        results.keep(NAME, run)
    except (PipelineOptError, KeyboardInterrupt) as error:
        failure = error
        if isinstance(error, PipelineOptError):
            add_partial(error, results, (NAME,))
    results.conclude(pipeline, failure)


def show(output: Output, runs: Mapping[str, Record]) -> None:
    """Print one run: the verdict with its numbers, and what every stage costs."""
    ((name, record),) = runs.items()
    output.show(terminal.summary_renderable(record, name))
    output.show(terminal.stage_renderable(record))
    output.line()
