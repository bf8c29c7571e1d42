"""`pipeline-opt probe`: what storages can do, and the settings that follow for a pipeline."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from pipeline_opt.access import Access
from pipeline_opt.cli import options as o
from pipeline_opt.cli import reaching
from pipeline_opt.cli.console import Output, progress_bar
from pipeline_opt.cli.exits import InterruptedRun
from pipeline_opt.cli.measuring import accelerator_of
from pipeline_opt.cli.outputs import Folder, JsonFile, as_json, derived_name
from pipeline_opt.cli.results import say_written
from pipeline_opt.cli.startup import load_tensorflow
from pipeline_opt.errors import OutputError, OutputExistsError, PipelineOptError, UsageError
from pipeline_opt.lazy import lazy_module
from pipeline_opt.machine import machine
from pipeline_opt.reports.info_probe import probe_info
from pipeline_opt.storage.measured import StorageProfile
from pipeline_opt.storage.probe.advice import LARGEST_BLOCK, Advice, advise
from pipeline_opt.storage.probe.measure import SECONDS, STREAMS, probe
from pipeline_opt.storage.uris import local_path
from pipeline_opt.summary import SCHEMA

plots = lazy_module("pipeline_opt.reports.plots")
terminal = lazy_module("pipeline_opt.reports.terminal_probe")

EXAMPLES: Final = (
    "pipeline-opt probe gs://bucket/train",
    "pipeline-opt probe data gs://bucket/data hdfs://namenode/data --demand 200MB/s",
    "pipeline-opt probe gs://bucket/train --save bucket.json && pipeline-opt emulate data --as gs://copy --profile bucket.json",
)

NAME: Final = "probe"
FIGURE: Final = "probe.png"
SUMMARY: Final = "summary.json"

_QUANTITY: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(B|kB|KB|MB|GB|TB)?(/s)?")
_BYTES: Final = {"B": 1.0, "kB": 1e3, "KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12}


Uris = Annotated[list[str], typer.Argument(metavar="URI...", help="Files, folders or globs on any storage.")]
Seconds = Annotated[float, typer.Option("--seconds", metavar="S", help="For each: begin no request after that.")]
MaxBytes = Annotated[str, typer.Option("--max-bytes", metavar="SIZE", help="For each: read no more.")]
Streams = Annotated[int, typer.Option("--streams", metavar="N", help="Try so many at a time at the most.")]
Demand = Annotated[
    str | None, typer.Option("--demand", metavar="RATE", help="What the consumer takes of stored bytes: 500MB/s.")
]
Consumer = Annotated[
    str | None, typer.Option("--accelerator", metavar="SPEC", help="The consumer, as 20ms; needs --batch-bytes.")
]
BatchBytes = Annotated[
    str | None, typer.Option("--batch-bytes", metavar="SIZE", help="Stored bytes of a batch, such as 25MB.")
]
Save = Annotated[
    Path | None,
    typer.Option("--save", metavar="FILE", help="Write the profile there, for emulate --profile; one URI only."),
]


def run(
    uris: Uris,
    via: o.Via = None,
    access_settings: o.AccessSettings = None,
    seconds: Seconds = SECONDS,
    max_bytes: MaxBytes = "2GB",
    streams: Streams = STREAMS,
    demand: Demand = None,
    accelerator: Consumer = None,
    batch_bytes: BatchBytes = None,
    save: Save = None,
    out: o.Out = None,
    force: o.Force = False,
    json_file: o.Json = None,
) -> None:
    """Measure storages, and advise how a pipeline should read them.

    Time to first byte, rates of one stream and of many up to the knee, listing, the effect of a request's size: read
    through the client that a pipeline would use, and never written to. Ctrl-C keeps what was measured. Writes a figure, a
    profile for each URI and a summary.
    """
    _require_save(save, uris, force=force)
    most = int(quantity("--max-bytes", max_bytes))
    batch = None if batch_bytes is None else quantity("--batch-bytes", batch_bytes)
    wanted = demand_of(demand, accelerator, batch)
    access = Access(**reaching.access_settings(via, access_settings))
    json_out = JsonFile(json_file, force=force)
    names = profile_files(uris)
    folder = Folder(out, derived_name(NAME, uris), (FIGURE, SUMMARY, *names.values()), json_out, force=force)
    output = Output(quiet_stdout=json_out.is_stdout)
    try:
        if any(local_path(uri) is None for uri in uris) or access.via == "tf":
            # Its GCS client takes the size of its requests when it is loaded: one that costs the processor little.
            load_tensorflow(dataclasses.replace(access, block_bytes=access.block_bytes or LARGEST_BLOCK))
        measure = partial(probe, seconds=seconds, max_bytes=most, streams=streams, access=access)
        profiles, failure = _measure(uris, measure)
        if profiles:
            advice = {uri: _advice(profile, wanted, batch) for uri, profile in profiles.items()}
            _present(profiles, advice, output, json_out, folder, names, save)
        _conclude(profiles, failure, folder)
    finally:
        folder.drop_if_empty()


def _require_save(save: Path | None, uris: list[str], *, force: bool) -> None:
    if save is not None and len(uris) > 1:
        raise UsageError("--save takes the profile of one URI; those of several are in the folder that --out names")
    if save is not None and save.exists() and not force:
        raise OutputExistsError(f"{save} exists already; choose another file, or overwrite it with --force")


def quantity(option: str, text: str) -> float:
    """Bytes, or bytes a second, from text such as `25MB` or `500MB/s`.

    Raises:
        UsageError: It is none above 0.
    """
    found = _QUANTITY.fullmatch(text.strip())
    value = float(found[1]) * _BYTES[found[2] or "B"] if found else 0.0
    if value <= 0 or (found and found[3] and option != "--demand"):
        raise UsageError(
            f"{option}={text!r} is not valid; valid: a number with B, kB, MB or GB, such as 25MB or 500MB/s"
        )
    return value


def demand_of(demand: str | None, accelerator: str | None, batch_bytes: float | None) -> float | None:
    """Stored bytes a second that the consumer takes; None: as fast as can be.

    Raises:
        UsageError: Both ways to say it are used, or the batch is missing.
    """
    if demand is not None and accelerator is not None:
        raise UsageError("--demand and --accelerator both say what the consumer takes; give one of them")
    if demand is not None:
        return quantity("--demand", demand)
    consumer = accelerator_of(accelerator, None)
    if consumer is None:
        return None
    if batch_bytes is None or consumer.step_s <= 0:
        raise UsageError(
            "--accelerator says how long a step takes: give the stored bytes of its batch, --batch-bytes 25MB"
        )
    return batch_bytes / consumer.step_s


def profile_files(uris: list[str]) -> dict[str, str]:
    """The file of each URI's profile: named after it, with a number where that is taken."""
    names: dict[str, str] = {}
    for uri in uris:
        if uri in names:
            raise UsageError(f"{uri} is named twice")
        stem = derived_name(NAME, [uri]).removeprefix(f"{NAME}-") or "storage"
        stem = stem if len(uris) == 1 else f"{len(names) + 1}-{stem}"
        names[uri] = f"{stem}.profile.json"
    return names


def _measure(
    uris: list[str], measure: Callable[..., StorageProfile]
) -> tuple[dict[str, StorageProfile], PipelineOptError | None]:
    """The profiles, up to the first that fails or is interrupted."""
    profiles: dict[str, StorageProfile] = {}
    with progress_bar("Probing") as advance:
        for number, uri in enumerate(uris):

            def tell(share: float, said: str, number: int = number, uri: str = uri) -> None:
                advance((number + share) / len(uris), f"{uri}: {said}")

            try:
                profiles[uri] = measure(uri, on_progress=tell)
            except PipelineOptError as error:
                return profiles, error
            if profiles[uri].interrupted:
                break
    return profiles, None


def _advice(profile: StorageProfile, demand: float | None, batch: float | None) -> Advice | str:
    """The advice, or why there is none."""
    try:
        return advise(profile, demand_bytes_per_s=demand, batch_bytes=batch, cores=machine().cores)
    except UsageError as error:
        return f"no advice: {error}"


def _present(
    profiles: Mapping[str, StorageProfile],
    advice: Mapping[str, Advice | str],
    output: Output,
    json_out: JsonFile,
    folder: Folder,
    names: Mapping[str, str],
    save: Path | None,
) -> None:
    output.show(terminal.probe_renderable(profiles))
    for each in advice.values():
        output.line()
        first, *others = each.sentences() if isinstance(each, Advice) else (each,)
        output.text(first)
        for sentence in others:
            output.text(f"- {sentence}")
    output.line()
    numbers = summary_of(profiles, advice)
    json_out.write(numbers)
    try:
        for uri, profile in profiles.items():
            text = as_json(profile.to_json())
            folder.write(names[uri], text)
            if save is not None:
                _save(save, text)
        folder.write(SUMMARY, as_json(numbers))
        folder.write(FIGURE, plots.to_png(plots.plot_probe(probe_info(profiles))))
    finally:
        say_written(output, folder)


def summary_of(profiles: Mapping[str, StorageProfile], advice: Mapping[str, Advice | str]) -> dict[str, Any]:
    """What `--json` writes: schema 1, and for each storage its profile and the advice."""
    storages = []
    for uri, profile in profiles.items():
        given = advice[uri]
        told: dict[str, Any] = {"sentences": [given]} if isinstance(given, str) else given.to_json()
        storages.append({"uri": uri, "profile": profile.to_json(), "advice": told})
    return {"schema": SCHEMA, "storages": storages}


def _save(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error


def _conclude(profiles: Mapping[str, StorageProfile], failure: PipelineOptError | None, folder: Folder) -> None:
    if failure is not None:
        if profiles:
            failure.add_note(f"what was measured before that is in {folder}")
        raise failure
    if any(profile.interrupted for profile in profiles.values()):
        raise InterruptedRun(f"interrupted; what was measured until then is in {folder}")
