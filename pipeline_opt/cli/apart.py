"""Work in a process of its own: TensorFlow's GCS client takes its settings only once, when TensorFlow is loaded."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from pipeline_opt import runfile
from pipeline_opt.access import Access
from pipeline_opt.cli.measuring import Measuring
from pipeline_opt.cli.results import run_file
from pipeline_opt.errors import PlanError, RunFileError, SourceError, StageError
from pipeline_opt.pipeline import Pipeline
from pipeline_opt.plan import Plan
from pipeline_opt.record import Record
from pipeline_opt.sources import FileSource
from pipeline_opt.storage import gcs
from pipeline_opt.storage.measured import StorageProfile
from pipeline_opt.storage.uris import scheme_of

SAVES_S: Final = 20.0
"""How long an interrupted run may take to save what it has."""

PASSED: Final = ("block_bytes", "cache_bytes", "retries", "timeout_s")
"""What of access is told to a process that probes."""


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
            raise StageError(f"a run in a process of its own failed: {_reason(said)}") from error


def probe_apart(uri: str, seconds: float, access: Access) -> StorageProfile:
    """Probe a storage in a process in which opening a file costs the client little.

    With the blocks of 64 MiB that it takes unless told, the processor would be the limit that is found.

    Raises:
        StageError: The process ended without a profile; says what it said.
    """
    with tempfile.TemporaryDirectory() as folder:
        saved = Path(folder) / "profile.json"
        settings = [f"--access={name}={value}" for name, value in access.told().items() if name in PASSED]
        command = [sys.executable, "-m", "pipeline_opt", "probe", uri, f"--seconds={seconds:g}", f"--via={access.via}"]
        said = _said_by([*command, *settings, f"--save={saved}", f"--out={folder}/out"], dict(os.environ))
        try:
            return StorageProfile.load(saved)
        except SourceError as error:
            raise StageError(f"{uri} cannot be probed: {_reason(said)}") from error


def _reason(said: str) -> str:
    """The last line of what a process wrote to stderr."""
    line = next((line for line in reversed(said.splitlines()) if line.strip()), "it said nothing")
    return line.removeprefix("error: ")


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
