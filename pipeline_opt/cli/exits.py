"""Exit codes: what each one means, and which error ends in which. The one place that says so."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from pipeline_opt.errors import OutputError, PipelineOptError


class ExitCode(IntEnum):
    """What the process says to its caller."""

    OK = 0
    SLOWER = 1
    BAD_INPUT = 2
    FAILED = 3
    NOT_WRITTEN = 4
    BUG = 70
    INTERRUPTED = 130


MEANINGS: Final = {
    ExitCode.OK: "all went well",
    ExitCode.SLOWER: "a comparison is below --fail-below",
    ExitCode.BAD_INPUT: "bad usage or bad input: options, plan, data, config or run file",
    ExitCode.FAILED: "the pipeline or the step failed while it ran; the partial run is saved",
    ExitCode.NOT_WRITTEN: "an output exists already or cannot be written",
    ExitCode.BUG: "a bug in pipeline-opt; --debug shows where",
    ExitCode.INTERRUPTED: "interrupted (Ctrl-C, SIGTERM); the partial run is saved",
}


def epilog(*examples: str) -> str:
    """The end of a verb's help: examples and exit codes. The marks keep the lines from being joined."""
    lines = ["\b", "Examples:", *(f"  {example}" for example in examples)]
    codes = ["\b", "Exit codes:", *(f"  {code.value:>3}  {meaning}" for code, meaning in MEANINGS.items())]
    return "\n".join([*lines, "", *codes])


class InterruptedRun(KeyboardInterrupt):
    """Raised once a run that Ctrl-C ended is saved; the message says where."""


def exit_code(error: BaseException) -> ExitCode:
    """The code that a verb ends with after an error.

    A run that has left a record failed while it ran; what failed before that was bad input.
    """
    if isinstance(error, KeyboardInterrupt):
        return ExitCode.INTERRUPTED
    if isinstance(error, OutputError):
        return ExitCode.NOT_WRITTEN
    if isinstance(error, PipelineOptError):
        return ExitCode.BAD_INPUT if error.record is None else ExitCode.FAILED
    return ExitCode.BAD_INPUT if isinstance(error, OSError) else ExitCode.BUG
