"""`pipeline-opt emulate`: a folder as remote storage, for a command or until Ctrl-C."""

from __future__ import annotations

import dataclasses
import os
import shlex
import sys
from pathlib import Path
from typing import Annotated, Final

import typer

from pipeline_opt.cli import options as o
from pipeline_opt.cli.console import Output, note
from pipeline_opt.cli.foreground import Foreground
from pipeline_opt.cli.outputs import JsonFile
from pipeline_opt.errors import OutputExistsError, UsageError
from pipeline_opt.reports import units
from pipeline_opt.storage.emulations import emulate
from pipeline_opt.storage.emulator import Emulation, Waited
from pipeline_opt.summary import SCHEMA

EXAMPLES: Final = (
    "pipeline-opt emulate data --as gs://photos --ttfb 60ms±20 --stream-rate 25MB/s -- python go.py",
    "pipeline-opt emulate data --as gs://photos --errors 503:1% -- pipeline-opt profile gs://photos",
    "pipeline-opt emulate data --as gs://photos --profile bucket.json",
    "pipeline-opt emulate data --as hdfs://name --ttfb 20ms -- pipeline-opt profile hdfs://name",
)

_BACKEND: Final = os.environ.get("MPLBACKEND")
"""What the user has set: our own choice is not for the command."""

Errors = Annotated[
    str | None,
    typer.Option(
        "--errors",
        metavar="KIND:SHARE,...",
        help="What fails: statuses such as 503:1% or 403:1%; reset (the connection), truncate (the answer ends early), "
        "stall (none comes).",
    ),
]
Also = Annotated[
    list[str] | None,
    typer.Option("--also", metavar="URI=FOLDER", help="Another bucket with its folder; may be repeated."),
]


def run(
    folder: Annotated[Path, typer.Argument(help="What is served; uploads land in it.")],
    command: Annotated[
        list[str] | None,
        typer.Argument(metavar="[-- COMMAND ...]", help="What reads it. Without: serve until Ctrl-C."),
    ] = None,
    uri: Annotated[
        str, typer.Option("--as", metavar="URI", help="What the folder is to be: gs://BUCKET or hdfs://NAME.")
    ] = "",
    also: Also = None,
    ttfb: Annotated[
        str | None, typer.Option("--ttfb", metavar="TIME", help="Time to first byte: 60ms, or 60ms±20 drawn evenly.")
    ] = None,
    stream_rate: Annotated[
        str | None, typer.Option("--stream-rate", metavar="RATE", help="What one answer moves, such as 25MB/s.")
    ] = None,
    total_rate: Annotated[
        str | None, typer.Option("--total-rate", metavar="RATE", help="What all answers together move.")
    ] = None,
    errors: Errors = None,
    profile: Annotated[
        Path | None,
        typer.Option("--profile", metavar="FILE", help="Be as slow as the storage that probe --save recorded."),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="Draws times and faults the same way again.")] = 0,
    read_only: Annotated[bool, typer.Option("--read-only", help="Refuse to change the folder.")] = False,
    log: Annotated[
        Path | None, typer.Option("--log", metavar="FILE", help="Write one line of JSON for every request.")
    ] = None,
    force: o.Force = False,
    json_file: o.Json = None,
) -> None:
    """Serve a folder as remote storage: to a command, or until Ctrl-C.

    TensorFlow's own client in COMMAND, or in what it starts, finds the folder under the URI and meets the times, rates and
    faults that were asked for. Nothing leaves this machine. The exit code is that of COMMAND (128 and the number of the
    signal that ended it). With --json: schema, uris, and for each kind of request count, bytes, failed, first_byte_s
    and seconds that clients waited.
    """
    json_out = JsonFile(json_file, force=force)
    if log is not None and log.exists() and not force:
        raise OutputExistsError(f"{log} exists; overwrite it with --force")
    if not uri:
        raise UsageError("--as is missing; say what the folder is to be: --as gs://BUCKET")
    store = emulate(
        {uri: folder, **dict(_pair(text) for text in also or ())},
        ttfb=ttfb,
        stream_rate=stream_rate,
        total_rate=total_rate,
        errors=errors,
        profile=profile,
        seed=seed,
        read_only=read_only,
        log=log,
        progress=note,
    )
    raise typer.Exit(_run(store, command, json_out))


def _run(store: Emulation, command: list[str] | None, json_out: JsonFile) -> int:
    """Serve for as long as the command runs, or until a signal; the exit code."""
    with Foreground() as front:
        with store:
            code = front.run(command, _environment(store)) if command else _serve(store, front, json_out)
            waited = store.waited()
        note(summary(waited))
        made = {kind: dataclasses.asdict(each) for kind, each in waited.items()}
        json_out.write({"schema": SCHEMA, "uris": list(store.uris), "requests": made})
    return code


def summary(waited: dict[str, Waited]) -> str:
    """One line about what clients asked for and waited for."""
    said = [
        f"{kind} {each.count:,} ({units.size(each.bytes)}, {units.seconds(each.seconds)}, "
        f"{units.seconds(each.first_byte_s)} of it to the first byte{f', {each.failed:,} failed' if each.failed else ''})"
        for kind, each in waited.items()
    ]
    return f"Emulated storage, requests and what clients waited: {'; '.join(said) or 'none'}"


def _serve(store: Emulation, front: Foreground, json_out: JsonFile) -> int:
    """Say how to reach the store, and wait for a signal, which is how this is meant to end."""
    output = Output(quiet_stdout=json_out.is_stdout)
    for name, value in store.variables.items():
        output.raw(f"export {name}={shlex.quote(value)}")
    sys.stdout.flush()
    note(f"Serving {', '.join(store.uris)}; set these variables in another shell. Ctrl-C ends it.")
    front.wait()
    return 0


def _environment(store: Emulation) -> dict[str, str]:
    environ = store.environ
    environ.pop("MPLBACKEND", None)
    return environ if _BACKEND is None else {**environ, "MPLBACKEND": _BACKEND}


def _pair(text: str) -> tuple[str, str]:
    uri, equals, folder = text.partition("=")
    if not equals or not folder:
        raise UsageError(f"--also={text!r} is not valid; valid: URI=FOLDER, such as gs://eval=data/eval")
    return uri, folder
