"""`pipeline-opt explain`: a plan with its knobs, the purity of its functions, and what its order does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final

import typer

from pipeline_opt.access import Access
from pipeline_opt.build.purities import random_of
from pipeline_opt.build.purity import Purity
from pipeline_opt.build.runtime import tensorflow_version
from pipeline_opt.cli import options as o
from pipeline_opt.cli.console import Output
from pipeline_opt.cli.outputs import JsonFile
from pipeline_opt.cli.reaching import access_settings
from pipeline_opt.cli.startup import load_tensorflow
from pipeline_opt.cli.targets import make_pipeline, plan_options, reading_options
from pipeline_opt.errors import UsageError
from pipeline_opt.ingest.graph import nodes_of
from pipeline_opt.lazy import lazy_module
from pipeline_opt.order import Harm, harms
from pipeline_opt.pipeline import Pipeline
from pipeline_opt.plan import item_names, unfolded
from pipeline_opt.profiler.stagemap import StageInfo, from_nodes
from pipeline_opt.sources import OpaqueDataset, Source
from pipeline_opt.stages import Stage
from pipeline_opt.summary import SCHEMA
from pipeline_opt.text.explain import knob_texts, plan_lines

tables = lazy_module("rich.table")

EXAMPLES: Final = (
    "pipeline-opt explain data/train --order interleave,cache,map,shuffle,batch,prefetch",
    "pipeline-opt explain pipe.toml --python > pipeline.py",
)

LONGEST: Final = 100
"""Characters of an argument."""


def run(
    targets: Annotated[
        list[str],
        typer.Argument(
            metavar="TARGET",
            help="Data: files, folders, globs. Or FILE.py:FUNCTION or MODULE:FUNCTION that returns a Dataset or a "
            "Pipeline. Or a plan as a TOML file.",
        ),
    ],
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
    python: Annotated[bool, typer.Option("--python", help="Print the plan as plain tf.data code.")] = False,
    toml: Annotated[bool, typer.Option("--toml", help="Print the plan as TOML, for --config.")] = False,
    force: o.Force = False,
    json_file: o.Json = None,
) -> None:
    """Show a plan with its knobs, purity and warnings.

    One stage a line. Functions are traced to find out whether they are pure; no data passes through them. With --json:
    schema, pipeline (text, fingerprint), stages (name, kind, arguments, purity, evidence) and warnings (stage,
    message).
    """
    json_out = JsonFile(json_file, force=force)
    if python + toml + json_out.is_stdout > 1:
        raise UsageError("--python, --toml and --json - all print to stdout; choose one")
    reading = reading_options(delimiter, header, record_bytes)
    reaching = access_settings(via, access)
    options = plan_options(order, None, file_format, maps, random_maps, batch_size, shuffle_buffer, reading, reaching)
    load_tensorflow(Access(**reaching))
    pipeline = make_pipeline(targets, options)
    output = Output(quiet_stdout=json_out.is_stdout)
    if python or toml:
        output.raw(pipeline.to_python() if python else pipeline.to_toml())
        return
    pipeline = unfolded(pipeline)
    purities = pipeline.purities()
    found = harms(pipeline, random_of(purities))
    _show(output, pipeline, purities)
    for harm in found:
        output.text(f"warning: {harm.stage}: {harm.message}")
    json_out.write(numbers_of(pipeline, purities, found))


def numbers_of(pipeline: Pipeline, purities: Mapping[str, Purity], found: Sequence[Harm]) -> dict[str, Any]:
    """What `--json` writes."""
    return {
        "schema": SCHEMA,
        "pipeline": {"text": str(pipeline), "fingerprint": pipeline.fingerprint},
        "environment": {"tensorflow": tensorflow_version()},
        "stages": [
            {
                "name": name,
                "kind": stage.kind,
                "arguments": dict(knob_texts(stage)),
                "purity": purities[name].kind if name in purities else None,
                "evidence": purities[name].evidence if name in purities else None,
            }
            for name, stage in item_names(pipeline).items()
            if isinstance(stage, Stage)
        ],
        "warnings": [{"stage": harm.stage, "message": harm.message} for harm in found],
    }


def _show(output: Output, pipeline: Pipeline, purities: Mapping[str, Purity]) -> None:
    """Print the plan as a table that fits the terminal, an existing dataset with the stages that its graph tells of."""
    table = tables.Table(box=None, pad_edge=False)
    for column in ("stage", "kind", "arguments", "purity"):
        table.add_column(column, overflow="fold")
    for line in plan_lines(pipeline):
        purity = purities.get(line.path)
        judged = f"{purity.kind}: {purity.evidence}" if purity else ""
        knobs = " ".join(f"{name}={_cut(text)}" for name, text in knob_texts(line.item))
        table.add_row("  " * line.depth + line.path, line.item.kind, knobs, judged)
        for info in _inside(line.item):
            knob = "" if info.parallelism is None else f"num_parallel_calls={info.parallelism}"
            table.add_row(f"  {info.name}", info.kind, knob, "")
    output.show(table)


def _cut(text: str) -> str:
    """The beginning of a long text; `--toml` has all of it."""
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def _inside(item: Source | Stage) -> list[StageInfo]:
    """The stages of an existing dataset."""
    if not isinstance(item, OpaqueDataset) or item.dataset is None:
        return []
    return from_nodes(nodes_of(item.dataset)).stages
