"""`pipeline-opt lint`: what slows a pipeline down or does harm, with what each of them costs on this machine."""

from __future__ import annotations

import dataclasses
from typing import Final

from pipeline_opt.api import lint
from pipeline_opt.cli import optimize as shared
from pipeline_opt.cli import options as o
from pipeline_opt.cli.console import Output, progress_bar
from pipeline_opt.cli.measuring import accelerator_of
from pipeline_opt.cli.outputs import JsonFile
from pipeline_opt.cli.reaching import access_settings, wanted_access
from pipeline_opt.cli.startup import load_tensorflow
from pipeline_opt.cli.targets import make_pipeline, plan_options, reading_options
from pipeline_opt.errors import UsageError

EXAMPLES: Final = (
    "pipeline-opt lint train.py:make_dataset --epochs 5",
    "pipeline-opt lint pipe.toml --budget 20 --json lint.json",
)


def run(
    targets: shared.Targets = None,
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
    accelerator: shared.Accelerator = "none",
    budget: shared.Budget = 60.0,
    memory: shared.Memory = None,
    epochs: shared.JobEpochs = 1,
    bits: shared.Bits = False,
    order_free: shared.OrderFree = False,
    force: o.Force = False,
    json_file: o.Json = None,
) -> None:
    """List what slows a pipeline down or does harm, each with what it costs.

    Measures every stage for a moment, and tries each change that is predicted to help, alone, against the pipeline as it is, in
    turns. Changes nothing: `optimize` does, and proves that elements are the same.
    """
    if not targets and config is None:
        raise UsageError("nothing to look at; give a path, FILE.py:FUNCTION, or --config FILE")
    reading, reaching = reading_options(delimiter, header, record_bytes), access_settings(via, access)
    options = plan_options(order, config, file_format, maps, random_maps, batch_size, shuffle_buffer, reading, reaching)
    emulated = accelerator_of(accelerator, None)
    wishes = shared.wishes_of(emulated, budget_s=budget, memory=memory, epochs=epochs, bits=bits, order_free=order_free)
    json_out = JsonFile(json_file, force=force)
    load_tensorflow(wanted_access(config, targets or (), reaching))
    pipeline = make_pipeline(targets or (), options)
    with progress_bar("Looking") as advance:
        found = lint(
            pipeline,
            on_progress=lambda seconds, what: advance(min(seconds / wishes.budget_s, 1.0), what),
            **dataclasses.asdict(wishes),
        )
    Output(quiet_stdout=json_out.is_stdout).raw(str(found))
    json_out.write(found.summary())
