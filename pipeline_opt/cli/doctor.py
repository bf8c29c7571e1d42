"""`pipeline-opt doctor`: what works here, what does not, and what would help."""

from __future__ import annotations

import dataclasses
import platform
from pathlib import Path
from typing import Annotated, Any, Final, NamedTuple

import typer

from pipeline_opt.access import ROUTES, Access
from pipeline_opt.build.runtime import devices, tensorflow_version
from pipeline_opt.cli import options as o
from pipeline_opt.cli.console import Output, progress_bar
from pipeline_opt.cli.exits import ExitCode
from pipeline_opt.cli.outputs import RUNS, JsonFile
from pipeline_opt.cli.startup import load_tensorflow
from pipeline_opt.cli.storage_lines import show_checked, show_findings, show_schemes
from pipeline_opt.errors import PipelineOptError
from pipeline_opt.machine import Machine, machine
from pipeline_opt.pipeline import Pipeline
from pipeline_opt.profiler.profile import profile
from pipeline_opt.reports import units
from pipeline_opt.storage import SchemeStatus, schemes
from pipeline_opt.storage.checkup import Checked, as_dict, checkup
from pipeline_opt.storage.preflight import Finding
from pipeline_opt.storage.surroundings import surroundings
from pipeline_opt.summary import SCHEMA
from pipeline_opt.version import VERSION

EXAMPLES: Final = (
    "pipeline-opt doctor",
    "pipeline-opt doctor --json - | jq .schemes",
    "pipeline-opt doctor gs://bucket/train-* hdfs://namenode:9000/data",
)

ELEMENTS: Final = 2000
CHECK_S: Final = 1.0
BUSY: Final = 0.5
"""From this load for each core on, timings of other work and of a run disturb each other."""

LOW_RAM: Final = 2 << 30
LOW_DISK: Final = 1 << 30


class Check(NamedTuple):
    """Something that has to work, whether it does, and what was seen."""

    name: str
    works: bool
    detail: str


def run(
    uris: Annotated[
        list[str] | None,
        typer.Argument(metavar="[URI]...", help="Check these and nothing else, each down to its first byte."),
    ] = None,
    via: Annotated[
        str, typer.Option("--via", metavar="CLIENT", help=f"The client that has to open the URIs: {', '.join(ROUTES)}.")
    ] = "auto",
    force: o.Force = False,
    json_file: o.Json = None,
) -> None:
    """Say what works on this machine, and what would help.

    TensorFlow, storage schemes, cores and memory, accelerators, and the profiler itself, with which a small pipeline is
    run for a second. With --json: schema, versions, machine, accelerators, schemes (scheme, opens, reason, remedy, via),
    storage (step, works, detail, remedy), checks (name, works, detail) and advice. Exit code 3 if the profiler does not
    work.

    With URIs: each is looked at as a pipeline would, within seconds: client, network, credentials, bucket or NameNode,
    listing, first byte. With --json: uris (uri, opens, seconds, findings). Exit code 2 if one does not open.
    """
    access = Access(via=via)
    json_out = JsonFile(json_file, force=force)
    output = Output(quiet_stdout=json_out.is_stdout)
    load_tensorflow()
    versions = {"pipeline_opt": VERSION, "tensorflow": tensorflow_version(), "python": platform.python_version()}
    if uris:
        _check_uris(output, json_out, versions, uris, access)
    else:
        _check_machine(output, json_out, versions)


def _check_uris(output: Output, json_out: JsonFile, versions: dict[str, str], uris: list[str], access: Access) -> None:
    checked: list[Checked] = []
    for uri in uris:
        with progress_bar(f"Checking {uri}"):
            checked.append(checkup(uri, access))
        show_checked(output, checked[-1])
    json_out.write({"schema": SCHEMA, "versions": versions, "uris": [as_dict(each) for each in checked]})
    if not all(each.opens for each in checked):
        raise typer.Exit(ExitCode.BAD_INPUT)


def _check_machine(output: Output, json_out: JsonFile, versions: dict[str, str]) -> None:
    found = tuple(name for name in devices() if not name.startswith("CPU"))
    here = machine(RUNS, found)
    with progress_bar("Looking at storage"):
        opened, around = schemes(), surroundings()
    with progress_bar("Checking the profiler"):
        checks = self_check()
    advice = advise(here, opened, checks)
    _show(output, versions, here, opened, around, checks, advice)
    json_out.write(
        {
            "schema": SCHEMA,
            "versions": versions,
            "machine": {**dataclasses.asdict(here), "accelerators": list(found)},
            "accelerators": list(found),
            "schemes": [dataclasses.asdict(status) for status in opened],
            "storage": [
                {"step": each.step, "works": each.works, "detail": each.detail, "remedy": each.remedy}
                for each in around
            ],
            "checks": [check._asdict() for check in checks],
            "advice": list(advice),
        }
    )
    if not all(check.works for check in checks):
        raise typer.Exit(ExitCode.FAILED)


def self_check() -> tuple[Check, ...]:
    """Profile a small pipeline, and see whether both instruments tell of it."""
    pipeline = Pipeline.from_tensors(list(range(ELEMENTS))).map(_square, name="square").batch(20).repeat().prefetch()
    try:
        record = profile(pipeline, seconds=CHECK_S, trace="full")
    except PipelineOptError as error:
        return (Check("a run", False, str(error)),)
    stage = next(each for each in record.stages if each.name == "square")
    why = "; ".join(record.notes) or "no reason is known"
    traced = stage.work_s is not None and len(record.intervals) > 0
    sampled = any(series.knob == "parallelism" for series in record.knobs)
    return (
        Check("a run", len(record.steps) > 0, f"{units.plural(len(record.steps), 'step')} in {record.wall_s:.1f} s"),
        Check("traces", traced, f"{units.plural(len(record.intervals), 'interval')}" if traced else why),
        Check("model of AUTOTUNE", sampled, "knobs are seen" if sampled else why),
    )


def _square(value: Any) -> Any:
    return value * value


def advise(here: Machine, opened: tuple[SchemeStatus, ...], checks: tuple[Check, ...]) -> tuple[str, ...]:
    """What would help, most pressing first."""
    advice = []
    if not all(check.works for check in checks):
        advice.append("The profiler does not see all it should: figures will lack what is marked above.")
    if here.cores < 2:
        advice.append("With one core nothing can be made while something else computes: only waiting overlaps.")
    if here.load is not None and here.load > BUSY * here.cores:
        advice.append(f"Other work is running (load {here.load:.1f} on {here.cores:g} cores): timings will vary.")
    if here.ram_available_bytes < LOW_RAM:
        advice.append(
            f"{units.size(here.ram_available_bytes)} of memory are free: keep shuffle buffers and caches small."
        )
    if here.disk_free_bytes < LOW_DISK:
        advice.append(f"{units.size(here.disk_free_bytes)} are free where runs are written.")
    if not here.accelerators:
        advice.append("No accelerator is seen: profile with an emulated one, --accelerator 20ms or h100-resnet50.")
    shut = [status for status in opened if not status.opens]
    for remedy in dict.fromkeys(status.remedy for status in shut):
        names = ", ".join(f"{status.scheme}://" for status in shut if status.remedy == remedy)
        advice.append(f"For {names}: {remedy}.")
    return tuple(advice)


def _show(
    output: Output,
    versions: dict[str, str],
    here: Machine,
    opened: tuple[SchemeStatus, ...],
    around: tuple[Finding, ...],
    checks: tuple[Check, ...],
    advice: tuple[str, ...],
) -> None:
    facts = {
        **versions,
        "cores": f"{here.cores:g} of {here.cores_total} (set by {here.cores_limit}), {here.cpu}",
        "memory": f"{units.size(here.ram_available_bytes)} free of {units.size(here.ram_bytes)}",
        "disk": f"{units.size(here.disk_free_bytes)} free for {Path(RUNS).absolute()}",
        "accelerators": ", ".join(here.accelerators) or "none",
    }
    for name, value in facts.items():
        output.line(f"{name:<18}{value}")
    output.line()
    show_schemes(output, opened)
    output.line()
    show_findings(output, around)
    output.line()
    for check in checks:
        output.line(f"{check.name:<18}{'works' if check.works else 'FAILS':<7}{check.detail}")
    if advice:
        output.line()
    for text in advice:
        output.text(f"- {text}")
