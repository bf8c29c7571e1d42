"""Runs named on the command line: files, `name=file,file`, and folders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from pipeline_opt import runfile
from pipeline_opt.errors import RunFileError, UsageError
from pipeline_opt.record import Record
from pipeline_opt.summary import BASELINE

SUFFIX: Final = ".run"


def load_variants(arguments: Sequence[str]) -> dict[str, list[Record]]:
    """The runs by variant, in the order given.

    A file is a variant, called after the file. `name=a.run,b.run` is one variant of several runs, as is a folder that
    stands beside others. A folder that stands alone holds the variants, as `benchmark` leaves them.

    Raises:
        UsageError: A name stands twice, or the runs of a variant are of different pipelines.
        RunFileError: A file cannot be read, or a folder has none.
    """
    named = [item for argument in arguments for item in _expand(argument, alone=len(arguments) == 1)]
    _require_once(arguments)
    variants: dict[str, list[Record]] = {}
    for name, files in zip(_distinct(named), (files for _, files in named), strict=True):
        records = [runfile.load(file) for file in files]
        if len({record.fingerprint for record in records}) > 1:
            listed = ", ".join(str(file) for file in files)
            raise UsageError(
                f"the runs of {name!r} are of different pipelines ({listed}); name the files that belong together: "
                f"{name}=a.run,b.run"
            )
        variants[name] = records
    return variants


def _expand(argument: str, *, alone: bool) -> list[tuple[str, list[Path]]]:
    """Names with their files."""
    name, equals, files = argument.partition("=")
    if equals and not Path(argument).exists():
        parts = [Path(part) for part in files.split(",") if part]
        if not name or not parts:
            raise UsageError(f"not a run: {argument!r}; write FILE, FOLDER, or NAME=FILE,FILE")
        if Path(name).name != name:
            raise UsageError(f"the name {name!r} cannot be used: files are called after it; valid: one without '/'")
        return [(_printable(name), parts)]
    path = Path(argument)
    if not path.is_dir():
        return [(_printable(path.name.removesuffix(SUFFIX)), [path])]
    found = sorted(path.glob(f"*{SUFFIX}"))
    if not found:
        raise RunFileError(f"no run file (*{SUFFIX}) in the folder {path}")
    if not alone:
        return [(_printable(path.resolve().name), found)]
    found.sort(key=lambda file: (file.stem != BASELINE, file.stat().st_mtime))
    return [(_printable(file.stem), [file]) for file in found]


def _printable(name: str) -> str:
    """A file's name as figures and pages can hold it: bytes that are not UTF-8 are escaped."""
    return name.encode(errors="backslashreplace").decode()


def _require_once(arguments: Sequence[str]) -> None:
    """Refuse a name that is given to two arguments.

    Raises:
        UsageError: One is; says how several runs become one variant.
    """
    files: dict[str, str] = {}
    for argument in arguments:
        name, equals, given = argument.partition("=")
        if not equals or Path(argument).exists():
            continue
        if name in files:
            raise UsageError(
                f"the name {name!r} is given twice; of several runs of one pipeline write {name}={files[name]},{given}"
            )
        files[name] = given


def _distinct(named: Sequence[tuple[str, list[Path]]]) -> list[str]:
    """The names; of files that are called the same in different folders, those of the folders.

    Raises:
        UsageError: Two are the same all the same.
    """
    names = [name for name, _ in named]
    folders = [files[0].resolve().parent.name if len(files) == 1 else name for name, files in named]
    chosen = names if len(set(names)) == len(names) else folders
    twice = next((name for name in chosen if chosen.count(name) > 1), None)
    if twice is not None:
        raise UsageError(f"two runs are called {twice!r}; name them: before=FILE after=FILE")
    return chosen


def first_of_each(variants: Mapping[str, Sequence[Record]]) -> dict[str, Record]:
    """The first run of every variant."""
    return {name: records[0] for name, records in variants.items()}
