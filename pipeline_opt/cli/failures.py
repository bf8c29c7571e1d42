"""What is said of an error, and the code that the process ends with."""

from __future__ import annotations

from pipeline_opt.cli.console import note
from pipeline_opt.cli.exits import ExitCode, exit_code
from pipeline_opt.errors import PipelineOptError


def report_failure(error: BaseException) -> ExitCode:
    """Say what went wrong, in a line or a few, and give the exit code."""
    note("\n".join([f"error: {describe(error)}", *getattr(error, "__notes__", ())]))
    return exit_code(error)


def describe(error: BaseException) -> str:
    """An error as people read it: a line, or a few."""
    if isinstance(error, PipelineOptError | OSError):
        return str(error)
    if isinstance(error, KeyboardInterrupt):
        return str(error) or "interrupted; nothing was measured"
    return f"a bug in pipeline-opt: {type(error).__name__}: {error}; `pipeline-opt --debug VERB ...` shows where"
