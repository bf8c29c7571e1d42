"""A data set's folder: written beside its place and moved there when whole, with a manifest of what it holds."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import psutil

from pipeline_opt.errors import OutputError, OutputExistsError, UsageError
from pipeline_opt.lazy import lazy_module

tf = lazy_module("tensorflow")

MANIFEST: Final = "_manifest.json"
_FORMAT: Final = 1

Progress = Callable[[int, int], object]
"""Called with the items done and the items in all."""


@contextmanager
def new_dataset(folder: Path, kind: str, arguments: Mapping[str, Any], *, force: bool = False) -> Iterator[Path]:
    """Give a folder to write a data set into; it becomes `folder` when the block ends without an error.

    Args:
        folder: Where the data set is to be.
        kind: What it is, for the manifest.
        arguments: What it was made from, for the manifest.
        force: Whether a data set that was made here before is replaced. Other folders never are.

    Raises:
        OutputExistsError: the folder exists and holds something.
        OutputError: the folder cannot be written, for instance because the disk is full.
    """
    folder = folder.absolute()
    partial = folder.parent / f".{folder.name}.partial-{os.getpid()}"
    try:
        _require_free(folder, force)
        _remove_leftovers(folder)
        partial.mkdir(parents=True)
        yield partial
        sizes = {str(p.relative_to(partial)): p.stat().st_size for p in sorted(partial.rglob("*")) if p.is_file()}
        manifest = {"format": _FORMAT, "kind": kind, "arguments": dict(arguments), "files": sizes}
        (partial / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n")
        if folder.exists():
            shutil.rmtree(folder)
        partial.rename(folder)
    except OSError as error:
        raise OutputError(f"cannot write the data set {folder}: {error.strerror or error}") from error
    except tf.errors.OpError as error:
        raise OutputError(f"cannot write the data set {folder}: {error.message}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def is_whole(folder: Path, kind: str, arguments: Mapping[str, Any]) -> bool:
    """Whether a folder holds the data set that these arguments make, every file at its full size."""
    manifest = _manifest(folder)
    if manifest is None or (manifest.get("kind"), manifest.get("arguments")) != (kind, _as_json(arguments)):
        return False
    try:
        return all((folder / name).stat().st_size == size for name, size in manifest["files"].items())
    except (OSError, KeyError, AttributeError):
        return False


def require(holds: bool, argument: str, value: object, valid: str) -> None:
    """Refuse an argument that is out of range.

    Raises:
        UsageError: it does not hold.
    """
    if not holds:
        raise UsageError(f"{argument}={value!r} is out of range; valid: {valid}")


def require_count(argument: str, value: object, least: int = 1, most: int | None = None) -> None:
    """Refuse an argument that is no whole number in a range."""
    fits = (
        isinstance(value, int) and not isinstance(value, bool) and least <= value <= (value if most is None else most)
    )
    require(fits, argument, value, f"a whole number from {least}" + ("" if most is None else f" to {most}"))


def _require_free(folder: Path, force: bool) -> None:
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    ours = _manifest(folder) is not None
    if not (force and ours):
        hint = "pass force to replace it" if ours else "it was not made here, so choose another one"
        raise OutputExistsError(f"{folder} exists and holds something; {hint}")


def _manifest(folder: Path) -> dict[str, Any] | None:
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
    except (OSError, ValueError):
        return None
    return manifest if isinstance(manifest, dict) and manifest.get("format") == _FORMAT else None


def _as_json(arguments: Mapping[str, Any]) -> Any:
    return json.loads(json.dumps(dict(arguments)))


def _remove_leftovers(folder: Path) -> None:
    """Remove what a process that has died since left of this data set."""
    pattern = re.compile(re.escape(f".{folder.name}.partial-") + r"(\d+)$")
    for path in folder.parent.iterdir() if folder.parent.is_dir() else ():
        match = pattern.match(path.name)
        if match and (int(match.group(1)) == os.getpid() or not psutil.pid_exists(int(match.group(1)))):
            shutil.rmtree(path, ignore_errors=True)
