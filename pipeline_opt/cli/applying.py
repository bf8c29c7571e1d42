"""`optimize --apply`: the tuned plan takes the place of the one in the TOML file that was given."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from pathlib import Path

from pipeline_opt.errors import OutputError, UsageError
from pipeline_opt.optimized import Optimized
from pipeline_opt.run import write_text


def file_to_apply_to(targets: Sequence[str], config: Path | None) -> Path:
    """The TOML file that holds the whole plan.

    Raises:
        UsageError: The plan is not in a file of its own.
    """
    if config is None and len(targets) == 1 and targets[0].endswith(".toml"):
        return Path(targets[0])
    if config is not None and not targets:
        return config
    given = ", ".join(targets)
    raise UsageError(
        f"--apply: {given!r} is no plan in a TOML file, and code is not rewritten; valid: PLAN.toml, or --config PLAN.toml "
        "alone. Of code, tuned.toml and tuned.py in the output folder are what to use"
    )


def apply(best: Optimized, path: Path) -> str:
    """Write the tuned plan over the given one, which is kept beside it; gives what was done, a sentence.

    Raises:
        PlanError: The tuned plan cannot be written as TOML; the file is as it was.
        OutputError: It cannot be written.
    """
    if not best.changed:
        return f"{path} is as it was"
    text = best.pipeline.to_toml()
    kept = write_text(_free(path), _read(path))
    write_text(path, text, force=True)
    return f"{path} is the tuned plan now; the one before is {kept}"


def _free(path: Path) -> Path:
    """Where a plan is kept: no plan that was kept before is lost."""
    names = (path.with_suffix(f".before{number if number > 1 else ''}.toml") for number in count(1))
    return next(name for name in names if not name.exists())


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except OSError as error:
        raise OutputError(f"cannot read {path}: {error.strerror or error}") from error
