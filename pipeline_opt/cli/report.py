"""`pipeline-opt report`: tables, figures, the page and traces from run files."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from pipeline_opt.cli import benchmark, profile
from pipeline_opt.cli import options as o
from pipeline_opt.cli.console import Output
from pipeline_opt.cli.outputs import Folder, JsonFile, derived_name
from pipeline_opt.cli.results import report_files, say_written, write_reports
from pipeline_opt.cli.run_files import first_of_each, load_variants
from pipeline_opt.summary import benchmark_summary, summary

EXAMPLES: Final = (
    "pipeline-opt report runs/benchmark-photos",
    "pipeline-opt report before.run after.run --out report --force",
)


def run(
    runs: Annotated[
        list[str],
        typer.Argument(metavar="RUN", help="Run files, NAME=FILE to name one, or a folder of them."),
    ],
    out: o.Out = None,
    force: o.Force = False,
    json_file: o.Json = None,
) -> None:
    """Make tables, figures and the page from run files.

    Nothing is measured, and TensorFlow is not needed. The first run is what the others are compared with. The numbers of
    --json are those of profile for one run, those of benchmark for several.
    """
    json_out = JsonFile(json_file, force=force)
    records = first_of_each(load_variants(runs))
    main = list(records)[-1]
    folder = Folder(out, derived_name("report", runs), report_files(list(records), main), json_out, force=force)
    output = Output(quiet_stdout=json_out.is_stdout)
    several = len(records) > 1
    numbers = benchmark_summary(records) if several else summary(records[main])
    (benchmark if several else profile).show(output, records)
    json_out.write(numbers)
    try:
        write_reports(folder, records, main, numbers, "Input pipeline report")
    finally:
        say_written(output, folder)
