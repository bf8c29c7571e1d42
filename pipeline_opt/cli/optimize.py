"""`pipeline-opt optimize`: a faster pipeline of the same elements, with the reason for every change and the proof."""

from __future__ import annotations

import dataclasses
import warnings
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Any, Final

import typer

from pipeline_opt.api import optimize
from pipeline_opt.cli import applying
from pipeline_opt.cli import options as o
from pipeline_opt.cli.console import Output, note, progress_bar
from pipeline_opt.cli.exits import InterruptedRun
from pipeline_opt.cli.measuring import Measuring, RunProgress, accelerator_of
from pipeline_opt.cli.outputs import Folder, JsonFile, derived_name
from pipeline_opt.cli.reaching import access_settings, size_of, wanted_access
from pipeline_opt.cli.startup import load_tensorflow
from pipeline_opt.cli.targets import make_pipeline, plan_options, reading_options
from pipeline_opt.errors import PlanError, PlanWarning, UsageError
from pipeline_opt.lazy import lazy_module
from pipeline_opt.optimized import Optimized
from pipeline_opt.pipeline import Pipeline
from pipeline_opt.plan import Plan
from pipeline_opt.profiler.accelerator import Accelerator as EmulatedAccelerator
from pipeline_opt.profiler.loop import Limits
from pipeline_opt.profiler.profile import profile as profile_record
from pipeline_opt.record import Record
from pipeline_opt.reports.info_optimized import AFTER, BEFORE, Lanes
from pipeline_opt.tuner.decision import GIVEN
from pipeline_opt.tuner.scratch import Scratch
from pipeline_opt.tuner.wishes import Wishes
from pipeline_opt.variants import writes_files

pages = lazy_module("pipeline_opt.reports.page_optimized")

EXAMPLES: Final = (
    "pipeline-opt optimize train.py:make_dataset --budget 60s --epochs 5",
    "pipeline-opt optimize data/train --accelerator h100-resnet50",
    "pipeline-opt optimize pipe.toml --apply",
)
PAGE: Final = "optimize.html"
FILES: Final = ("explain.txt", "tuned.toml", "tuned.py", PAGE)

LANES_S: Final = 3.0
"""Seconds of the run in which the page shows who worked when, one of what was given and one of what is used."""
LANES_SHARE: Final = 0.25
"""The most that such a run may take of the budget, which it comes on top of."""
OPTIONS: Final = {"budget_s": "--budget", "memory_bytes": "--memory", "epochs": "--epochs", "step_s": "--accelerator"}
"""What is asked, by the option that says it."""

Targets = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="TARGET",
        help="Data: files, folders, globs. Or FILE.py:FUNCTION or MODULE:FUNCTION that returns a Dataset or a "
        "Pipeline. Or a plan as a TOML file.",
    ),
]
Accelerator = Annotated[
    str, typer.Option("--accelerator", metavar="SPEC", help=o.ACCELERATOR_HELP + " none unless given.")
]


def _seconds(text: str | float) -> float:
    """Seconds, as a number or as 60s or 2min.

    Raises:
        typer.BadParameter: It says something else.
    """
    minutes = str(text).endswith("min")
    try:
        return 60 * float(str(text).removesuffix("min")) if minutes else float(str(text).removesuffix("s"))
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is not valid; valid: seconds, also as 60s or 2min") from error


Budget = Annotated[
    float,
    typer.Option("--budget", metavar="S", parser=_seconds, help="Seconds that tuning may take, about: 60s, 2min."),
]
Memory = Annotated[
    str | None,
    typer.Option(
        "--memory", metavar="BYTES", help="Memory that the pipeline may hold, 4GiB say; half of what is free."
    ),
]
JobEpochs = Annotated[int, typer.Option("--epochs", metavar="N", help="Epochs that the job runs.")]
Bits = Annotated[bool, typer.Option("--bits", help="Results have to be the same bit for bit.")]
OrderFree = Annotated[bool, typer.Option("--order-free", help="The order of elements does not matter.")]
Apply = Annotated[
    bool, typer.Option("--apply", help="Write the tuned plan over the TOML file given; the old one is kept beside it.")
]
Declined = Annotated[bool, typer.Option("--declined", help="Say, too, what could not be done, and why.")]


def run(
    targets: Targets = None,
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
    accelerator: Accelerator = "none",
    budget: Budget = 60.0,
    memory: Memory = None,
    epochs: JobEpochs = 1,
    bits: Bits = False,
    order_free: OrderFree = False,
    declined: Declined = False,
    apply: Apply = False,
    out: o.Out = None,
    force: o.Force = False,
    json_file: o.Json = None,
) -> None:
    """Find a faster pipeline of the same elements.

    Measures every stage for a moment, follows rewriting rules by a cost model, tries the best plans against the given one and
    against AUTOTUNE in turns, and compares elements. What is not shown to be faster is not used.

    Writes the plan as TOML and as code, the explanation as text, and an HTML page with the lanes of before and after, from a
    run of some seconds each, the reason for every change, the proof and the trials.
    """
    if not targets and config is None:
        raise UsageError("nothing to optimize; give a path, FILE.py:FUNCTION, or --config FILE")
    reading, reaching = reading_options(delimiter, header, record_bytes), access_settings(via, access)
    options = plan_options(order, config, file_format, maps, random_maps, batch_size, shuffle_buffer, reading, reaching)
    emulated = accelerator_of(accelerator, None)
    wishes = wishes_of(emulated, budget_s=budget, memory=memory, epochs=epochs, bits=bits, order_free=order_free)
    applied_to = applying.file_to_apply_to(targets or (), config) if apply else None
    json_out = JsonFile(json_file, force=force)
    folder = Folder(out, derived_name("optimize", [*(targets or ()), str(config or "")]), FILES, json_out, force=force)
    try:
        load_tensorflow(wanted_access(config, targets or (), reaching))
        pipeline = make_pipeline(targets or (), options)
        best = _optimized(pipeline, wishes)
        output = Output(quiet_stdout=json_out.is_stdout)
        _show(output, folder, best, declined)
        json_out.write(best.summary())
        if applied_to is not None:
            output.text(applying.apply(best, applied_to))
        _draw(folder, best, pipeline, _Runs(emulated, wishes))
        output.text(f"written to {folder}: {', '.join(folder.written)}")
    finally:
        folder.drop_if_empty()


def wishes_of(emulated: EmulatedAccelerator | None, *, memory: str | None, **asked: Any) -> Wishes:
    """What is asked, checked.

    Raises:
        UsageError: An option is out of range.
    """
    bytes_ = None if memory is None else size_of("--memory", memory)
    step_s, step_rows = (0.0, None) if emulated is None else (emulated.step_s, emulated.batch_size)
    try:
        return Wishes(memory_bytes=bytes_, step_s=step_s, step_rows=step_rows, **asked)
    except UsageError as error:
        name, equals, rest = str(error).partition("=")
        raise UsageError(f"{OPTIONS.get(name, name)}{equals}{rest}") from error


def _optimized(pipeline: Pipeline, wishes: Wishes) -> Optimized:
    with progress_bar("Optimizing") as advance:

        def tell(seconds: float, what: str) -> None:
            advance(min(seconds / wishes.budget_s, 1.0), what)

        return optimize(pipeline, on_progress=tell, **dataclasses.asdict(wishes))


def _show(output: Output, folder: Folder, best: Optimized, declined: bool) -> None:
    text = best.explain(declined=declined)
    output.raw(text)
    folder.write("explain.txt", text + "\n")
    forms: dict[str, Any] = {"tuned.toml": best.pipeline.to_toml, "tuned.py": best.to_python}
    for name, make in forms.items():
        try:
            folder.write(name, make())
        except PlanError as error:
            note(f"note: no {name}: {error}")


class _Runs:
    """Short runs of what was given and of what is used, one after another.

    Args:
        emulated: What takes the batches, if anything does.
        wishes: What was asked.
    """

    def __init__(self, emulated: EmulatedAccelerator | None, wishes: Wishes) -> None:
        seconds = min(LANES_S, LANES_SHARE * wishes.budget_s)
        self._measuring = Measuring(emulated, Limits(seconds=seconds, epochs=wishes.epochs), o.Trace.AUTO)

    def lanes(self, best: Optimized, pipeline: Plan) -> Lanes:
        """The runs, and why there is none of one: it does not take the result with it."""
        given = best.tuning.given
        if best.tuning.untouched:
            return Lanes({}, ("not run to be drawn: it writes files where the user said, and would do so again",))
        with Scratch() as scratch, progress_bar("Profiling") as advance, warnings.catch_warnings():
            warnings.simplefilter("ignore", PlanWarning)
            before = scratch.own(given) if writes_files(given) else pipeline
            plans = {BEFORE: before, AFTER: scratch.own(best.tuning.plan)} if best.changed else {GIVEN: before}
            return self._run(plans, RunProgress(advance, self._measuring, tuple(plans)))

    def _run(self, plans: dict[str, Plan], progress: RunProgress) -> Lanes:
        runs: dict[str, Record] = {}
        missing: list[str] = []
        for name, plan in plans.items():
            try:
                runs[name] = self._profile(name, plan, progress)
            except Exception as error:  # noqa: BLE001  what was tuned is there, and said already
                missing.append(f"no lanes of {name}: its run failed: {error}")
                note(f"note: {missing[-1]}")
            if name in runs and _is_interrupted(runs[name]):
                break
        return Lanes(runs, tuple(missing))

    def _profile(self, name: str, plan: Plan, progress: RunProgress) -> Record:
        return profile_record(
            plan,
            self._measuring.accelerator,
            on_progress=partial(progress, name),
            on_reading=partial(progress.reading, name),
            **self._measuring.arguments(),
        )


def _is_interrupted(record: Record) -> bool:
    return (record.partial_reason or "").startswith("interrupted")


def _draw(folder: Folder, best: Optimized, pipeline: Plan, runs: _Runs) -> None:
    """Write the page; what was tuned is written by then.

    Raises:
        InterruptedRun: One of the runs was interrupted.
    """
    lanes = runs.lanes(best, pipeline)
    created = datetime.now(UTC).isoformat(timespec="seconds")
    folder.write(PAGE, pages.optimized_page(best.tuning, lanes, created))
    if any(map(_is_interrupted, lanes.runs.values())):
        raise InterruptedRun(f"interrupted; what was tuned, and a page of it, is in {folder}")
