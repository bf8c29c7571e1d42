"""`pipeline-opt benchmark`: run the same work naively and pipelined, and compare."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Final

import typer

from pipeline_opt.benchmark import benchmark as benchmark_plans
from pipeline_opt.cli import options as o
from pipeline_opt.cli.apart import needs_process, run_apart
from pipeline_opt.cli.console import Output, note, progress_bar
from pipeline_opt.cli.contest import ON_ONE, VARIANTS, Contest, entries, stored_bytes_per_s, with_beside
from pipeline_opt.cli.measuring import NONE, Measuring, RunProgress, accelerator_of, limits_of
from pipeline_opt.cli.outputs import Folder, JsonFile, derived_name
from pipeline_opt.cli.reaching import access_settings, wanted_access
from pipeline_opt.cli.results import PLAN_FILES, Results, add_partial, report_files, run_file
from pipeline_opt.cli.startup import load_tensorflow
from pipeline_opt.cli.targets import make_pipeline, plan_options, reading_options
from pipeline_opt.cli.watchdog import Watchdog
from pipeline_opt.errors import PipelineOptError
from pipeline_opt.lazy import lazy_module
from pipeline_opt.pipeline import Pipeline
from pipeline_opt.profiler.loop import Limits
from pipeline_opt.record import Record
from pipeline_opt.reports.info_storage import followed, profiles_of
from pipeline_opt.reports.info_variants import headline, variant_rows
from pipeline_opt.sources import Images
from pipeline_opt.stages import Map
from pipeline_opt.summary import benchmark_summary

probes = lazy_module("pipeline_opt.reports.terminal_probe")
terminal = lazy_module("pipeline_opt.reports.terminal")
synth = lazy_module("pipeline_opt.synth")

EXAMPLES: Final = (
    "pipeline-opt benchmark",
    "pipeline-opt benchmark data --accelerator 20ms@25GB/s --steps 200",
    "pipeline-opt benchmark data --order interleave,map,batch,prefetch --epochs 1",
    "pipeline-opt benchmark file:///data gs://bucket/data hdfs://namenode/data",
)


LIMITS: Final = Limits(steps=100, seconds=12.0)
"""Without any limit given: the same work for all, and an end to it where one of them is slow."""

FOR_IMAGES: Final = "h100-resnet50"
FOR_OTHERS: Final = "20ms@25GB/s"

Paths = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="PATH",
        help="Data: files, folders, globs; or FILE.py:FUNCTION that returns a Pipeline, or a plan as a TOML file. "
        "Without any, about 200 MB of JPEG shards, made once and kept in the cache folder.",
    ),
]
AcceleratorSpec = Annotated[
    str | None,
    typer.Option(
        "--accelerator",
        metavar="SPEC",
        help=f"{o.ACCELERATOR_HELP} {FOR_IMAGES} for images and {FOR_OTHERS} for others unless given.",
    ),
]
Variants = Annotated[
    str | None,
    typer.Option(
        "--variants",
        metavar="NAMES",
        help=f"Which to run, commas between, of {', '.join(VARIANTS)}. Unless given: {', '.join(ON_ONE)}, and on remote "
        "storage advised; of several storages pipelined, and of the remote ones advised.",
    ),
]


def run(
    paths: Paths = None,
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
    accelerator: AcceleratorSpec = None,
    in_flight: o.InFlight = None,
    steps: o.Steps = None,
    seconds: o.Seconds = None,
    epochs: o.Epochs = None,
    trace: o.TraceOption = o.Trace.AUTO,
    variants: Variants = None,
    out: o.Out = None,
    force: o.Force = False,
    json_file: o.Json = None,
) -> None:
    """Run the same work naively and pipelined, and compare; or the same pipeline on several storages.

    naive is sequential: no parallelism, no prefetch, TensorFlow's own rewrites off. autotune leaves every knob to
    TensorFlow. pipelined is the order asked for. advised is that with what a probe of the storage says of reading. Paths on
    different storages, by scheme and host, are taken for copies of the same data. Without a limit each run takes 100 steps,
    12 seconds at the most. Writes run files, figures, an HTML page, traces for ui.perfetto.dev and the plan.
    """
    reading = reading_options(delimiter, header, record_bytes)
    reaching = access_settings(via, access)
    options = plan_options(order, config, file_format, maps, random_maps, batch_size, shuffle_buffer, reading, reaching)
    contested = entries(paths or (), variants)
    accelerator_of(accelerator or FOR_IMAGES, in_flight)
    limits = limits_of(steps, seconds, epochs, LIMITS)
    names = tuple(name for entry in contested for name in entry.names)
    results = _results(names, derived_name("benchmark", [*(paths or ()), str(config or "")]), out, force, json_file)
    try:
        load_tensorflow(wanted_access(config, paths or (), reaching))
        if not paths and not config:
            contested = (contested[0]._replace(targets=(_default_data(),)),)
        reads = partial(make_pipeline, options=options, device=accelerator != NONE, endless=epochs is None)
        contests = [Contest(entry, reads(entry.targets)) for entry in contested]
        spec = accelerator or _suited(contests[0].pipeline)
        _measure(contests, names, Measuring(accelerator_of(spec, in_flight), limits, trace, spec), results)
    finally:
        results.folder.drop_if_empty()


def _results(names: tuple[str, ...], name: str, out: Path | None, force: bool, json_file: str | None) -> Results:
    """Where the runs go, looked at before any of them begins."""
    json_out = JsonFile(json_file, force=force)
    files = (*map(run_file, names), *PLAN_FILES, *report_files(names, names[-1]))
    folder = Folder(out, name, files, json_out, force=force)
    output = Output(quiet_stdout=json_out.is_stdout)
    return Results(output, json_out, folder, benchmark_summary, show, "Input pipeline benchmark")


def _default_data() -> str:
    with progress_bar("Making the data set, once") as advance:
        return str(synth.default_dataset(progress=lambda done, total: advance(done / total, f"{done:,} of {total:,}")))


def _suited(pipeline: Pipeline) -> str:
    """The accelerator for what the pipeline makes."""
    arguments = [dict(stage.function.arguments) for stage in pipeline.stages if isinstance(stage, Map)]
    decodes = any("image" in str(bound.get("schema")) for bound in arguments)
    return FOR_IMAGES if decodes or isinstance(pipeline.source, Images) else FOR_OTHERS


def _measure(contests: Sequence[Contest], names: tuple[str, ...], measuring: Measuring, results: Results) -> None:
    output, first = results.output, contests[0].pipeline
    output.text(f"Benchmark of {', '.join(names)}; {measuring.describe()}")
    output.cropped(str(first))
    output.line()
    for harm in first.warnings():
        note(f"warning: {harm.stage}: {harm.message}")
    failure: BaseException | None = None
    try:
        with progress_bar("Running") as advance, results.watch(first, measuring.limits.seconds) as watchdog:
            progress = RunProgress(advance, measuring, names)
            for contest in contests:
                _run(contest, progress, watchdog, measuring, results)
    except (PipelineOptError, KeyboardInterrupt) as error:
        failure = error
        if isinstance(error, PipelineOptError):
            add_partial(error, results, names)
    results.conclude(first, failure)


def _run(contest: Contest, progress: RunProgress, watchdog: Watchdog, measuring: Measuring, results: Results) -> None:
    """Run what a contest has on one storage, and keep it; runs before it may be interrupted already."""
    demand = next((stored_bytes_per_s(run) for run in results.runs.values() if run.source.scheme == "file"), None)
    for name, plan, beside in contest.plans(progress.probing, demand):
        if any(run.partial for run in results.runs.values()):
            return
        if needs_process(plan):
            progress.apart(name)
            results.keep(name, with_beside(run_apart(plan, measuring), beside))
            continue
        benchmark_plans(
            {name: plan},
            measuring.accelerator,
            on_progress=progress,
            on_start=watchdog.follow,
            on_reading=progress.reading,
            on_record=lambda name, record, beside=beside: results.keep(name, with_beside(record, beside)),  # type: ignore[misc]
            **measuring.arguments(),
        )


def show(output: Output, runs: Mapping[str, Record]) -> None:
    """Print the runs side by side, and what they say."""
    main = list(runs)[-1]
    output.show(terminal.comparison_renderable(runs))
    output.line()
    if len(runs) > 1:
        output.text(headline(variant_rows(runs)))
    output.show(terminal.summary_renderable(runs[main], main))
    output.line()
    profiles = profiles_of(runs)
    if profiles:
        output.show(probes.probe_renderable(profiles))
    for each in followed(runs):
        output.line()
        output.text(f"{each.variant}: {each.sentences[0]}")
        for sentence in each.sentences[1:]:
            output.text(f"- {sentence}")
    if profiles:
        output.line()
