"""What a verb leaves behind: run files as soon as runs end, then figures, the page and the traces made from them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from pipeline_opt.cli.console import Output, progress_bar
from pipeline_opt.cli.exits import ExitCode, InterruptedRun
from pipeline_opt.cli.failures import report_failure
from pipeline_opt.cli.outputs import Folder, JsonFile, as_json
from pipeline_opt.cli.watchdog import Watchdog
from pipeline_opt.errors import OutputError, PipelineOptError, StageError
from pipeline_opt.interrupts import no_interrupt
from pipeline_opt.lazy import lazy_module
from pipeline_opt.pipeline import Pipeline
from pipeline_opt.profiler.running import Running
from pipeline_opt.record import Record
from pipeline_opt.reports import units
from pipeline_opt.reports.info_knobs import knobs_info
from pipeline_opt.reports.info_overlap import overlap_info
from pipeline_opt.reports.info_stages import stages_info
from pipeline_opt.reports.perfetto import trace_events

plots = lazy_module("pipeline_opt.reports.plots")
pages = lazy_module("pipeline_opt.reports.page")

SHARED: Final = ("summary.json", "overlap.png", "stages.png", "knobs.png", "report.html")
"""Written whatever the runs are called."""

PLAN_FILES: Final = ("pipeline.toml", "pipeline.py")
"""Written where the plan can be written so."""

_MEANINGS: Final = {
    "summary.json": "the numbers",
    "overlap.png": "extract, transform, load and train over time",
    "stages.png": "what each stage costs",
    "knobs.png": "what AUTOTUNE chose",
    "report.html": "all of it on one page",
    "trace.json": "open in ui.perfetto.dev",
    "pipeline.toml": "the plan, for --config",
    "pipeline.py": "the plan as plain tf.data code",
    "compare.png": "throughput, utilization and waiting, side by side",
}


def run_file(name: str) -> str:
    """The run file of a variant."""
    return f"{name}.run"


def trace_file(name: str, main: str) -> str:
    """The trace of a variant: plainly named for the main one."""
    return "trace.json" if name == main else f"{name}.trace.json"


def report_files(names: Sequence[str], main: str) -> tuple[str, ...]:
    """The files that `write_reports` writes."""
    return (*SHARED, *(trace_file(name, main) for name in names))


def write_plan(folder: Folder, pipeline: Pipeline) -> tuple[str, ...]:
    """Write the plan as TOML and as code where it can be written so; the reasons where it cannot.

    Raises:
        OutputError: A file cannot be written.
    """
    reasons = []
    for name, make in zip(PLAN_FILES, (pipeline.to_toml, pipeline.to_python), strict=True):
        try:
            text = make()
        except PipelineOptError as error:
            reasons.append(f"no {name}: {error}")
        else:
            folder.write(name, text)
    return tuple(reasons)


def write_reports(
    folder: Folder, records: Mapping[str, Record], main: str, numbers: dict[str, Any], title: str
) -> None:
    """Write what can be made from records.

    Args:
        folder: Where.
        records: Runs by name, the baseline first.
        main: The run that figures of a single run are of.
        numbers: What `summary.json` holds.
        title: Heading of the page.

    Raises:
        OutputError: A file cannot be written; what was written before stays.
    """
    makers: dict[str, Callable[[], str | bytes]] = {
        "summary.json": lambda: as_json(numbers),
        "overlap.png": lambda: plots.to_png(plots.plot_overlap(overlap_info(records))),
        "stages.png": lambda: plots.to_png(plots.plot_stages(stages_info(records[main]))),
        "knobs.png": lambda: plots.to_png(plots.plot_knobs(knobs_info(records[main]))),
        "report.html": lambda: pages.page(records, title),
    }
    for name, record in records.items():
        makers[trace_file(name, main)] = partial(_trace, record)
    with progress_bar("Writing") as advance:
        for number, (name, make) in enumerate(makers.items()):
            advance(number / len(makers), name)
            folder.write(name, make())


def _trace(record: Record) -> str:
    return json.dumps(trace_events(record))


def say_written(output: Output, folder: Folder) -> None:
    """Say what is in the folder now."""
    if folder.written:
        output.line(f"Wrote {folder}")
        width = max(len(name) for name in folder.written)
        for name in folder.written:
            what = _MEANINGS.get(name, "")
            output.line(f"  {name:<{width}}  {what}".rstrip())


@dataclass
class Results:
    """The runs of a verb that measures, and where they go.

    Args:
        output: What is printed.
        json_file: Where the numbers go that `--json` asks for.
        folder: Where everything else goes.
        numbers: Makes the numbers from the runs.
        show: Prints the runs.
        title: Heading of the page.
    """

    output: Output
    json_file: JsonFile
    folder: Folder
    numbers: Callable[[Mapping[str, Record]], dict[str, Any]]
    show: Callable[[Output, Mapping[str, Record]], None]
    title: str
    runs: dict[str, Record] = field(default_factory=dict)

    def keep(self, name: str, record: Record) -> None:
        """Take a run, and save it at once.

        Raises:
            OutputError: It cannot be saved; it is still shown.
        """
        with no_interrupt(later=True):
            self.runs[name] = record
            self.folder.save_run(run_file(name), record)

    def watch(self, pipeline: Pipeline, limit_s: float | None) -> Watchdog:
        """A watchdog that saves and shows a run which does not end by itself."""
        return Watchdog(limit_s, partial(self._give_up, pipeline))

    def conclude(self, pipeline: Pipeline, failure: BaseException | None) -> None:
        """Show and write what there is, then raise what went wrong.

        Args:
            pipeline: The plan that the last run is of.
            failure: What ended the measuring, if anything did.

        Raises:
            InterruptedRun: A run was interrupted.
        """
        try:
            if self.runs:
                self._present(pipeline)
        except KeyboardInterrupt as error:
            raise InterruptedRun(f"interrupted while writing; what is complete is in {self.folder}") from error
        except Exception as error:
            if failure is not None:
                error.add_note(f"that was after another error: {failure}")
            raise
        if isinstance(failure, KeyboardInterrupt) and self.runs:
            raise InterruptedRun(f"interrupted; what was measured until then is in {self.folder}") from failure
        if failure is not None:
            raise failure
        for run in self.runs.values():
            if run.partial and (run.partial_reason or "").startswith("interrupted"):
                raise InterruptedRun(f"{run.partial_reason}; what was measured until then is in {self.folder}")

    def _give_up(self, pipeline: Pipeline, name: str, running: Running, reason: str, asked: bool) -> ExitCode:
        failure = None if asked else StageError(f"{reason}: what the pipeline reads does not answer")
        try:
            record = running.give_up(reason)
            if failure is None:
                self.keep(name, record)
            else:
                failure.record = record
                add_partial(failure, self, (name,))
            self.conclude(pipeline, failure)
        except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001  said here: nobody else can
            return report_failure(error)
        return ExitCode.OK

    def _present(self, pipeline: Pipeline) -> None:
        self.show(self.output, self.runs)
        numbers = self.numbers(self.runs)
        self.json_file.write(numbers)
        try:
            reasons = write_plan(self.folder, pipeline)
            write_reports(self.folder, self.runs, list(self.runs)[-1], numbers, self.title)
        finally:
            say_written(self.output, self.folder)
        for reason in reasons:
            self.output.text(reason)


def add_partial(failure: PipelineOptError, results: Results, names: Sequence[str]) -> None:
    """Keep the run that an error left, as the first of some names that has none, and let the error say where it is."""
    if failure.record is None:
        return
    name = next(name for name in names if name not in results.runs)
    cut = f"the partial run ({units.plural(len(failure.record.steps), 'step')})"
    try:
        results.keep(name, failure.record)
    except OutputError as error:
        failure.add_note(f"{cut} is not saved: {error}")
    else:
        failure.add_note(f"{cut} is saved: {results.folder.path / run_file(name)}")
