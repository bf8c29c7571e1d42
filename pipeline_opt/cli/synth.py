"""`pipeline-opt synth`: make a data set to try things on."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final, NamedTuple

import typer

from pipeline_opt.cli import options as o
from pipeline_opt.cli.console import Output, progress_bar
from pipeline_opt.cli.outputs import JsonFile
from pipeline_opt.cli.startup import load_tensorflow
from pipeline_opt.errors import UsageError
from pipeline_opt.lazy import lazy_module
from pipeline_opt.reports import units
from pipeline_opt.summary import SCHEMA

synth = lazy_module("pipeline_opt.synth")

EXAMPLES: Final = (
    "pipeline-opt synth jpeg data/shards --images 2000 --shards 16 --size 500x375",
    "pipeline-opt synth images data/folders --images 500 --classes 5",
    "pipeline-opt synth csv data/rows --count 100000 --columns 20 --seed 1",
)


class Kind(StrEnum):
    """What a data set is made of."""

    JPEG = "jpeg"
    IMAGES = "images"
    TEXT = "text"
    CSV = "csv"
    TABULAR = "tabular"


class Maker(NamedTuple):
    """A function of `pipeline_opt.synth`, its argument for each option that it takes, and how many items it makes."""

    function: str
    arguments: dict[str, str]
    items: int


MAKERS: Final = {
    Kind.JPEG: Maker("make_jpeg_shards", {"--count": "images", "--shards": "shards", "--size": "size"}, 1000),
    Kind.IMAGES: Maker("make_image_folder", {"--count": "images", "--classes": "classes", "--size": "size"}, 1000),
    Kind.TEXT: Maker("make_text", {"--count": "lines", "--shards": "files", "--words": "words"}, 20_000),
    Kind.CSV: Maker("make_csv", {"--count": "rows", "--shards": "files", "--columns": "columns"}, 20_000),
    Kind.TABULAR: Maker("make_tabular", {"--count": "rows", "--shards": "shards", "--columns": "columns"}, 20_000),
}

RECORDS: Final = (Kind.JPEG, Kind.TABULAR)
"""The kinds that TensorFlow writes."""


def run(
    kind: Annotated[
        Kind,
        typer.Argument(
            help="jpeg: TFRecord shards of JPEG pictures; images: JPEG files in one folder a class; text: lines; "
            "csv: rows with a header; tabular: TFRecord shards of rows."
        ),
    ],
    folder: Annotated[Path, typer.Argument(help="Where to; a new or an empty folder.")],
    count: Annotated[
        int | None, typer.Option("--count", "--images", metavar="N", help="Pictures, lines or rows in all.")
    ] = None,
    shards: Annotated[
        int | None, typer.Option("--shards", "--files", metavar="N", help="Files (jpeg, text, csv, tabular).")
    ] = None,
    size: Annotated[
        str | None, typer.Option("--size", metavar="WxH", help="Pixels of a picture, such as 500x375 (jpeg, images).")
    ] = None,
    classes: Annotated[int | None, typer.Option("--classes", metavar="N", help="Class folders (images).")] = None,
    columns: Annotated[int | None, typer.Option("--columns", metavar="N", help="Numbers a row (csv, tabular).")] = None,
    words: Annotated[int | None, typer.Option("--words", metavar="N", help="Mean words a line (text).")] = None,
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="The same seed gives the same data.")] = 0,
    force: Annotated[bool, typer.Option("--force", help="Replace a data set that was made there before.")] = False,
    json_file: o.Json = None,
) -> None:
    """Make a data set: pictures, text or tables.

    With --json: schema, kind, folder, count, seed, files and bytes.
    """
    json_out = JsonFile(json_file, force=force)
    given = {
        "--count": count,
        "--shards": shards,
        "--size": None if size is None else parse_size(size),
        "--classes": classes,
        "--columns": columns,
        "--words": words,
    }
    arguments = arguments_for(kind, given)
    maker = MAKERS[kind]
    if kind in RECORDS:
        load_tensorflow()
    with progress_bar(f"Making {folder}") as advance:

        def progress(done: int, total: int) -> None:
            advance(done / total, f"{done:,} of {total:,}")

        getattr(synth, maker.function)(folder, **arguments, seed=seed, progress=progress, force=force)
    sizes = [file.stat().st_size for file in folder.rglob("*") if file.is_file() and not file.name.startswith("_")]
    made = {"kind": kind.value, "folder": str(folder), "count": arguments[maker.arguments["--count"]], "seed": seed}
    json_out.write({"schema": SCHEMA, **made, "files": len(sizes), "bytes": sum(sizes)})
    said = f"{units.plural(len(sizes), 'file')}, {units.size(sum(sizes))}"
    Output(quiet_stdout=json_out.is_stdout).line(f"Wrote {folder}/ ({said})")


def parse_size(text: str) -> tuple[int, int]:
    """Width and height.

    Raises:
        UsageError: It is not `WxH`.
    """
    found = re.fullmatch(r"(\d+)x(\d+)", text)
    if found is None:
        raise UsageError(f"--size={text!r} is not valid; valid: width and height in pixels, such as 500x375")
    return int(found[1]), int(found[2])


def arguments_for(kind: Kind, given: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a kind's function, from the options given.

    Raises:
        UsageError: An option does not go with the kind.
    """
    maker = MAKERS[kind]
    for option, value in given.items():
        if value is not None and option not in maker.arguments:
            raise UsageError(f"{option} does not go with {kind.value}; valid: {', '.join(maker.arguments)}, --seed")
    told = {maker.arguments[option]: value for option, value in given.items() if value is not None}
    return {maker.arguments["--count"]: maker.items, **told}
