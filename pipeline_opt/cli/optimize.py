"""`pipeline-opt optimize`: a faster pipeline of the same elements, with the reason for every change and the proof."""

from __future__ import annotations

from typing import Annotated, Any, Final

import typer

from pipeline_opt.api import optimize
from pipeline_opt.cli import options as o
from pipeline_opt.cli.console import Output, note, progress_bar
from pipeline_opt.cli.measuring import accelerator_of
from pipeline_opt.cli.outputs import Folder, JsonFile, derived_name
from pipeline_opt.cli.reaching import access_settings, size_of, wanted_access
from pipeline_opt.cli.startup import load_tensorflow
from pipeline_opt.cli.targets import make_pipeline, plan_options, reading_options
from pipeline_opt.errors import PlanError, UsageError
from pipeline_opt.optimized import Optimized
from pipeline_opt.pipeline import Pipeline

EXAMPLES: Final = (
    "pipeline-opt optimize train.py:make_dataset --budget 60 --epochs 5",
    "pipeline-opt optimize data/train --accelerator h100-resnet50",
)
FILES: Final = ("explain.txt", "tuned.toml", "tuned.py")

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
Budget = Annotated[float, typer.Option("--budget", metavar="S", help="Seconds that tuning may take.")]
Memory = Annotated[
    str | None,
    typer.Option(
        "--memory", metavar="BYTES", help="Memory that the pipeline may hold, 4GiB say; half of what is free."
    ),
]
JobEpochs = Annotated[int, typer.Option("--epochs", metavar="N", help="Epochs that the job runs.")]
Bits = Annotated[bool, typer.Option("--bits", help="Results have to be the same bit for bit.")]
OrderFree = Annotated[bool, typer.Option("--order-free", help="The order of elements does not matter.")]
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
    out: o.Out = None,
    force: o.Force = False,
    json_file: o.Json = None,
) -> None:
    """Find a faster pipeline of the same elements.

    Measures every stage for a moment, follows rewriting rules by a cost model, tries the best plans against the given one and
    against AUTOTUNE in turns, and compares elements. What is not shown to be faster is not used.
    """
    if not targets and config is None:
        raise UsageError("nothing to optimize; give a path, FILE.py:FUNCTION, or --config FILE")
    reading, reaching = reading_options(delimiter, header, record_bytes), access_settings(via, access)
    options = plan_options(order, config, file_format, maps, random_maps, batch_size, shuffle_buffer, reading, reaching)
    emulated = accelerator_of(accelerator, None)
    wishes = {
        "budget_s": budget,
        "memory_bytes": None if memory is None else size_of("--memory", memory),
        "epochs": epochs,
        "step_s": 0.0 if emulated is None else emulated.step_s,
        "bits": bits,
        "order_free": order_free,
    }
    json_out = JsonFile(json_file, force=force)
    folder = Folder(out, derived_name("optimize", [*(targets or ()), str(config or "")]), FILES, json_out, force=force)
    try:
        load_tensorflow(wanted_access(config, targets or (), reaching))
        best = _optimized(make_pipeline(targets or (), options), wishes)
        _show(Output(quiet_stdout=json_out.is_stdout), folder, best, declined)
        json_out.write(best.summary())
    finally:
        folder.drop_if_empty()


def _optimized(pipeline: Pipeline, wishes: dict[str, Any]) -> Optimized:
    with progress_bar("Optimizing") as advance:

        def tell(seconds: float, what: str) -> None:
            advance(min(seconds / wishes["budget_s"], 1.0), what)

        return optimize(pipeline, on_progress=tell, **wishes)


def _show(output: Output, folder: Folder, best: Optimized, declined: bool) -> None:
    text = best.explain(declined=declined)
    output.raw(text)
    _write(folder, best, text)
    output.text(f"written to {folder}")


def _write(folder: Folder, best: Optimized, text: str) -> None:
    folder.write("explain.txt", text + "\n")
    forms: dict[str, Any] = {"tuned.toml": best.pipeline.to_toml, "tuned.py": best.to_python}
    for name, make in forms.items():
        try:
            folder.write(name, make())
        except PlanError as error:
            note(f"note: no {name}: {error}")
