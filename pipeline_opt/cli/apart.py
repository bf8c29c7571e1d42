"""A run in a process of its own: TensorFlow's GCS client takes its settings only once, when TensorFlow is loaded."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from pipeline_opt import runfile
from pipeline_opt.cli.measuring import Measuring
from pipeline_opt.cli.results import run_file
from pipeline_opt.errors import PlanError, RunFileError, StageError
from pipeline_opt.pipeline import Pipeline
from pipeline_opt.plan import Plan
from pipeline_opt.record import Record
from pipeline_opt.sources import FileSource
from pipeline_opt.storage import gcs
from pipeline_opt.storage.uris import scheme_of

SAVES_S: Final = 20.0
"""How long an interrupted run may take to save what it has."""


def needs_process(plan: Plan) -> bool:
    """Whether a plan asks for settings of the GCS client other than those that it has in this process."""
    source = plan.source
    if not isinstance(source, FileSource) or not any(scheme_of(path) == "gs" for path in source.paths):
        return False
    return source.access.via != "fsspec" and bool(gcs.differences(source.access)) and _can_be_told(plan)


def run_apart(plan: Plan, measuring: Measuring) -> Record:
    """Profile a plan in a process that loads TensorFlow with the plan's settings.

    Raises:
        StageError: The process ended without a run; says what it said.
        KeyboardInterrupt: It was interrupted before there was one.
    """
    assert isinstance(plan.source, FileSource)
    with tempfile.TemporaryDirectory() as folder:
        config, out = Path(folder) / "plan.toml", Path(folder) / "out"
        config.write_text(Pipeline.of(plan).to_toml(), encoding="utf-8")
        command = [sys.executable, "-m", "pipeline_opt", "profile", "--config", str(config), "--out", str(out)]
        said = _said_by([*command, *measuring.options()], {**os.environ, **gcs.environment(plan.source.access)})
        try:
            return runfile.load(out / run_file("profile"))
        except RunFileError as error:
            reason = next((line for line in reversed(said.splitlines()) if line.strip()), "it said nothing")
            raise StageError(f"a run in a process of its own failed: {reason.removeprefix('error: ')}") from error


def _said_by(command: list[str], environ: dict[str, str]) -> str:
    """What a command writes to stderr. Ctrl-C reaches it as well, and it is given time to save what it has."""
    with subprocess.Popen(
        command, env=environ, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            return process.communicate()[1]
        except KeyboardInterrupt:
            with contextlib.suppress(subprocess.TimeoutExpired):
                return process.communicate(timeout=SAVES_S)[1]
            process.kill()
            raise


def _can_be_told(plan: Plan) -> bool:
    try:
        Pipeline.of(plan).to_toml()
    except PlanError:
        return False
    return True
