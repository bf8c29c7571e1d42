"""Where results go: folders and files, looked at before anything is measured so that nothing measured is lost."""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
import tempfile
from collections.abc import Iterable, Sequence
from itertools import count
from pathlib import Path
from typing import Any, Final

from pipeline_opt import runfile
from pipeline_opt.errors import OutputError, OutputExistsError, RunFileError
from pipeline_opt.record import Record

RUNS: Final = Path("runs")
"""Where folders go that nobody named."""

STDOUT: Final = "-"

LONGEST_NAME: Final = 60
"""Letters of what a folder is called after: with 4 bytes each, a name that every file system takes."""


def derived_name(verb: str, targets: Iterable[str]) -> str:
    """A folder's name from a verb and what it works on: `profile-photos` of `data/photos/*.jpg`."""
    first = next(iter(targets), "")
    path, _, function = first.rpartition(":") if "://" not in first else (first, "", "")
    parts = [part for part in re.split(r"[/\\]", path or function) if part and not re.search(r"[*?\[]", part)]
    stem = function if path and function else (parts[-1] if parts else "")
    stem = re.sub(r"\.(py|toml|run|tfrecords?|csv|txt|jpe?g|png)$", "", stem)
    return "-".join(part for part in (verb, re.sub(r"[^\w.-]+", "-", stem).strip("-.")[:LONGEST_NAME]) if part)


class Folder:
    """A folder for the files of one verb.

    Args:
        path: The folder, or None for a new one below `runs/`.
        name: What a new one is called; a number follows where that is taken.
        files: The files that will be written.
        json_file: Where `--json` writes to, which is none of them.
        force: Whether files that are there may be overwritten; without a path, also the folder of that name.

    Raises:
        OutputExistsError: One of the files is there already.
        OutputError: The folder cannot be made, or not be written to.
    """

    def __init__(
        self, path: Path | None, name: str, files: Iterable[str], json_file: JsonFile | None = None, *, force: bool
    ) -> None:
        self.force = force
        self.written: list[str] = []
        try:
            self.path = path if path is not None else _free_folder(RUNS / name, force)
            self._require_free(list(files), json_file)
            self._made = [each for each in (self.path, *self.path.parents) if not each.exists()]
            self.path.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.path):
                pass
        except OSError as error:
            raise OutputError(f"cannot write to the folder {path or RUNS / name}: {error.strerror or error}") from error

    def _require_free(self, files: Sequence[str], json_file: JsonFile | None) -> None:
        if json_file is not None and json_file.is_one_of(self.path / file for file in files):
            raise OutputError(f"the JSON file {json_file.target} is another of the files that will be written")
        there = [file for file in files if (self.path / file).exists()]
        if there and not self.force:
            raise OutputExistsError(
                f"{self.path} holds {_some(there)} already; choose another folder with --out, or overwrite with --force"
            )

    def save_run(self, name: str, record: Record) -> None:
        """Save a record as a run file.

        Raises:
            OutputError: It cannot be written.
        """
        try:
            runfile.save(record, self.path / name, force=True)
        except RunFileError as error:
            raise OutputError(str(error)) from error
        self.written.append(name)

    def write(self, name: str, content: str | bytes) -> None:
        """Write a file.

        Raises:
            OutputError: It cannot be written; what was written before stays.
        """
        data = content.encode(errors="backslashreplace") if isinstance(content, str) else content
        part = self.path / f".{name}.part"
        try:
            part.write_bytes(data)
            part.replace(self.path / name)
        except OSError as error:
            with contextlib.suppress(OSError):
                part.unlink()
            raise OutputError(f"cannot write {self.path / name}: {error.strerror or error}") from error
        self.written.append(name)

    def drop_if_empty(self) -> None:
        """Remove the folder, and those above it, if they were made here and nothing came of it."""
        if not self.written:
            with contextlib.suppress(OSError):
                for each in self._made:
                    each.rmdir()

    def __str__(self) -> str:
        return f"{self.path}/"


class JsonFile:
    """Where `--json` writes to: a file, stdout for `-`, or nothing for None.

    Raises:
        OutputExistsError: The file is there already.
        OutputError: It cannot be written.
    """

    def __init__(self, target: str | None, *, force: bool) -> None:
        self.target = target
        if target is None or self.is_stdout:
            return
        path = Path(target)
        try:
            if path.is_file() and not force:
                raise OutputExistsError(f"{path} exists already; choose another file, or overwrite it with --force")
            why = _unwritable(path)
        except OSError as error:
            why = error.strerror or str(error)
        if why:
            raise OutputError(f"cannot write the JSON file {path}: {why}")

    @property
    def is_stdout(self) -> bool:
        """Whether stdout is kept for it."""
        return self.target == STDOUT

    def is_one_of(self, paths: Iterable[Path]) -> bool:
        """Whether it is the same file as one of some others."""
        if self.target is None or self.is_stdout:
            return False
        return os.path.realpath(self.target) in {os.path.realpath(path) for path in paths}

    def write(self, numbers: dict[str, Any]) -> None:
        """Write the numbers.

        Raises:
            OutputError: They cannot be written.
        """
        if self.target is None:
            return
        text = as_json(numbers)
        try:
            if self.is_stdout:
                sys.stdout.write(text)
                sys.stdout.flush()
            else:
                Path(self.target).write_text(text, encoding="utf-8")
        except OSError as error:
            raise OutputError(f"cannot write the JSON file {self.target}: {error.strerror or error}") from error


def as_json(numbers: dict[str, Any]) -> str:
    """A dictionary as JSON text, in ASCII: every terminal and every file takes it."""
    return json.dumps(numbers, indent=2, allow_nan=False) + "\n"


def _unwritable(path: Path) -> str:
    """Why a file cannot be written, or nothing. One that is there stays as it is.

    Raises:
        OSError: The system says why.
    """
    if path.is_dir():
        return "it is a folder"
    if not path.absolute().parent.is_dir():
        return f"there is no folder {path.absolute().parent}"
    there = path.exists()
    if path.is_file() or not there:
        with path.open("ab"):
            pass
        if not there:
            os.unlink(os.path.realpath(path))
    return ""


def _free_folder(path: Path, force: bool) -> Path:
    if force or not path.exists():
        return path
    numbered = (path.with_name(f"{path.name}-{number}") for number in count(2))
    return next(each for each in numbered if not each.exists())


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
