"""The options that verbs share: their names, and what `--help` says of them."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import typer

from pipeline_opt.access import ROUTES
from pipeline_opt.storage import SOURCES


class Trace(StrEnum):
    """How closely to look."""

    AUTO = "auto"
    FULL = "full"
    OFF = "off"


ACCELERATOR_HELP: Final = (
    "What takes the batches: an emulated accelerator, as 20ms, 20ms@25GB/s (a step, a link) or a preset such as "
    "h100-resnet50; or none;"
)

Order = Annotated[
    str | None,
    typer.Option(
        "--order",
        metavar="NAMES",
        help="The stages in this order, commas between: interleave,map,cache,shuffle,batch,prefetch. "
        "A kind, such as map, stands for all its stages; a name for one.",
    ),
]
Config = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="Take the pipeline from a TOML file; paths replace its data."),
]
Format = Annotated[
    str | None,
    typer.Option(
        "--format",
        metavar="NAME",
        help=f"What the paths hold: {', '.join(SOURCES)}. Found out unless given; the last needs --record-bytes.",
    ),
]
Delimiter = Annotated[
    str | None,
    typer.Option("--delimiter", metavar="CHAR", help="What stands between the values of CSV files, or tab."),
]
Header = Annotated[
    bool | None,
    typer.Option("--header/--no-header", help="Whether the first line of CSV files names columns.", show_default=False),
]
RecordBytes = Annotated[
    int | None, typer.Option("--record-bytes", metavar="N", help="The length of a record, for --format fixed_length.")
]
Via = Annotated[
    str | None,
    typer.Option(
        "--via",
        metavar="CLIENT",
        help=f"Which client reads the files: {', '.join(ROUTES)}; fsspec feeds TensorFlow through a bridge. auto unless given.",
    ),
]
AccessSettings = Annotated[
    list[str] | None,
    typer.Option(
        "--access",
        metavar="NAME=VALUE",
        help="How the files are reached: block_bytes=16MiB, read_ahead=1, scratch_bytes, cache_bytes, retries, timeout_s, and "
        "options.NAME of the fsspec file system. May stand several times.",
    ),
]
Maps = Annotated[
    list[str] | None,
    typer.Option(
        "--map",
        metavar="MODULE:FUNCTION",
        help="Apply a function to every element, in place of the format's own transforms. May stand several times; "
        "also as FILE.py:FUNCTION.",
    ),
]
RandomMaps = Annotated[
    list[str] | None,
    typer.Option(
        "--random-map", metavar="MODULE:FUNCTION", help="A function that draws at random; applied after every --map."
    ),
]
BatchSize = Annotated[
    int | None, typer.Option("--batch-size", metavar="N", help="Elements in a batch; 64 unless given.")
]
ShuffleBuffer = Annotated[
    int | None, typer.Option("--shuffle-buffer", metavar="N", help="Elements in the shuffle buffer; 1000 unless given.")
]
InFlight = Annotated[
    int | None,
    typer.Option("--in-flight", metavar="N", help="Steps that the host may be ahead of the accelerator; 0: it waits."),
]
Steps = Annotated[int | None, typer.Option("--steps", metavar="N", help="Stop after so many steps.")]
Seconds = Annotated[float | None, typer.Option("--seconds", metavar="S", help="Begin no step after so many seconds.")]
Epochs = Annotated[int | None, typer.Option("--epochs", metavar="N", help="Stop after so many times through the data.")]
TraceOption = Annotated[
    Trace,
    typer.Option("--trace", help="Trace windows that tell when each phase worked: some, the whole run, or none."),
]
Out = Annotated[
    Path | None,
    typer.Option("--out", metavar="DIR", help="Folder for what is written; unless given, a new one below runs/."),
]
Force = Annotated[bool, typer.Option("--force", help="Overwrite what is there.")]
Json = Annotated[
    str | None,
    typer.Option(
        "--json", metavar="FILE", help="Write the numbers as JSON too; '-' is stdout, with nothing else on it."
    ),
]
