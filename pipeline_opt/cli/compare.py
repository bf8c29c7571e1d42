"""`pipeline-opt compare`: whether one pipeline is faster than another, noise considered."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Final

import typer

from pipeline_opt.cli import options as o
from pipeline_opt.cli.console import Output
from pipeline_opt.cli.exits import ExitCode
from pipeline_opt.cli.outputs import Folder, JsonFile, as_json, derived_name
from pipeline_opt.cli.results import say_written
from pipeline_opt.cli.run_files import first_of_each, load_variants
from pipeline_opt.errors import UsageError
from pipeline_opt.lazy import lazy_module
from pipeline_opt.reports.compare import Comparison, Estimate, compare, fails_below
from pipeline_opt.reports.info_compare import CompareInfo, compare_info
from pipeline_opt.summary import SCHEMA

plots = lazy_module("pipeline_opt.reports.plots")
terminal = lazy_module("pipeline_opt.reports.terminal")

EXAMPLES: Final = (
    "pipeline-opt compare runs/benchmark-photos",
    "pipeline-opt compare main.run branch.run --fail-below 0.95",
    "pipeline-opt compare main=a1.run,a2.run,a3.run branch=b1.run,b2.run,b3.run",
)
FILES: Final = ("compare.png", "compare.json")


def run(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN",
            help="The baseline, then what is compared with it: run files, NAME=FILE,FILE for several runs of one "
            "pipeline, or folders of such. A folder alone holds the variants of a benchmark.",
        ),
    ],
    fail_below: Annotated[
        float | None,
        typer.Option(
            "--fail-below",
            metavar="RATIO",
            help="End with exit code 1 if the throughput of one is clearly, beyond noise, below this ratio to the "
            "baseline's.",
        ),
    ] = None,
    out: o.Out = None,
    force: o.Force = False,
    json_file: o.Json = None,
) -> None:
    """Compare runs with the first one, noise considered.

    TensorFlow is not needed. With --json: schema, baseline, fail_below, failed (names), variants (by name: runs,
    elements_per_s, utilization_percent, each as value, low, high) and comparisons (by name: ratio, low, high, verdict,
    basis).
    """
    if fail_below is not None and not (math.isfinite(fail_below) and fail_below > 0):
        raise UsageError(f"--fail-below={fail_below} is out of range; valid: a ratio above 0, such as 0.95")
    json_out = JsonFile(json_file, force=force)
    variants = load_variants(runs)
    if len(variants) < 2:
        raise UsageError("one run only; give two or more to compare, the baseline first")
    baseline, *others = variants
    found = {name: compare(variants[baseline], variants[name]) for name in others}
    failed = [name for name, each in found.items() if fail_below is not None and fails_below(each, fail_below)]
    folder = Folder(out, derived_name("compare", runs), FILES, json_out, force=force)
    output = Output(quiet_stdout=json_out.is_stdout)
    output.show(terminal.comparison_renderable(first_of_each(variants)))
    output.line()
    for name, each in found.items():
        output.text(f"{name} against {baseline}: {each.verdict}; {each.basis}.")
    output.line()
    info = compare_info(variants)
    numbers = numbers_of(info, found, fail_below, failed)
    json_out.write(numbers)
    folder.write("compare.png", plots.to_png(plots.plot_compare(info)))
    folder.write("compare.json", as_json(numbers))
    say_written(output, folder)
    if failed:
        output.text(f"Slower than {fail_below:g} of {baseline}: {', '.join(failed)}.")
        raise typer.Exit(ExitCode.SLOWER)


def numbers_of(
    info: CompareInfo, found: Mapping[str, Comparison], fail_below: float | None, failed: list[str]
) -> dict[str, Any]:
    """What `--json` writes."""
    return {
        "schema": SCHEMA,
        "baseline": info.variants[0].name,
        "fail_below": fail_below,
        "failed": failed,
        "variants": {
            variant.name: {
                "runs": variant.runs,
                "elements_per_s": _estimate(variant.throughput),
                "utilization_percent": _estimate(variant.utilization),
            }
            for variant in info.variants
        },
        "comparisons": {
            name: {"ratio": c.ratio, "low": c.low, "high": c.high, "verdict": c.verdict, "basis": c.basis}
            for name, c in found.items()
        },
    }


def _estimate(value: Estimate | None) -> dict[str, float | None] | None:
    return None if value is None else {"value": value.value, "low": value.low, "high": value.high}
