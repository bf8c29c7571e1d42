"""`pipeline-opt explain`: a plan with its knobs, the purity of its functions, and what its order does."""

from __future__ import annotations

from typing import Annotated, Any, Final

import typer

from pipeline_opt.build.runtime import tensorflow_version
from pipeline_opt.cli import options as o
from pipeline_opt.cli.console import Output
from pipeline_opt.cli.outputs import JsonFile
from pipeline_opt.cli.startup import load_tensorflow
from pipeline_opt.cli.targets import make_pipeline, plan_options
from pipeline_opt.errors import UsageError
from pipeline_opt.pipeline import Pipeline
from pipeline_opt.summary import SCHEMA
from pipeline_opt.text.explain import knob_texts

EXAMPLES: Final = (
    "pipeline-opt explain data/train --order interleave,cache,map,shuffle,batch,prefetch",
    "pipeline-opt explain pipe.toml --python > pipeline.py",
)


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
    options = plan_options(order, None, file_format, maps, random_maps, batch_size, shuffle_buffer)
    load_tensorflow()
    pipeline = make_pipeline(targets, options)
    output = Output(quiet_stdout=json_out.is_stdout)
    if python or toml:
        output.raw(pipeline.to_python() if python else pipeline.to_toml())
    else:
        output.line(pipeline.explain())
    if json_file is not None:
        json_out.write(numbers_of(pipeline))


def numbers_of(pipeline: Pipeline) -> dict[str, Any]:
    """What `--json` writes."""
    purities = pipeline.purities()
    stages = []
    for stage in pipeline.stages:
        found = purities.get(stage.name)
        stages.append(
            {
                "name": stage.name,
                "kind": stage.kind,
                "arguments": dict(knob_texts(stage)),
                "purity": found.kind if found else None,
                "evidence": found.evidence if found else None,
            }
        )
    return {
        "schema": SCHEMA,
        "pipeline": {"text": str(pipeline), "fingerprint": pipeline.fingerprint},
        "environment": {"tensorflow": tensorflow_version()},
        "stages": stages,
        "warnings": [{"stage": harm.stage, "message": harm.message} for harm in pipeline.warnings()],
    }
