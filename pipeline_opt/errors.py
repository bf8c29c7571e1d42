"""Every error that this package raises on purpose.

    PipelineOptError
    |-- PlanError (ValueError)             a plan that cannot be built
    |   |-- KnobError                      an argument of a stage is out of range
    |   |-- OrderError                     the stages cannot stand in this order
    |   |-- ConfigError                    a plan file or --order text cannot be read
    |   '-- FunctionError                  a user's function cannot be found, traced or written as code
    |-- SourceError (ValueError)           the data cannot be opened
    |   |-- MissingPathError               nothing is there
    |   |-- EmptySourceError               something is there, but no data in it
    |   |-- FormatError                    it is not what the plan says: format, compression, schema
    |   '-- SchemeError                    this URI scheme cannot be opened here
    |-- StageError                         a stage failed while the pipeline ran
    |   |-- CorruptRecordError             a record is damaged: the file and the offset are named
    |   '-- CacheError                     a cache cannot be written, or another process holds it
    |-- RunFileError (ValueError)          a run file is damaged, too new, or cannot be written
    |-- OutputError                        an output cannot be written
    |   '-- OutputExistsError (ValueError)   refusing to overwrite
    '-- UsageError (ValueError)            an argument of a call is out of range

PlanWarning (UserWarning): a plan that can be built and will do harm.
"""

from __future__ import annotations

from typing import Any


class PipelineOptError(Exception):
    """Base of every error that pipeline_opt raises on purpose.

    `record` holds what was measured before a run failed, else None.
    """

    record: Any = None


class PlanError(PipelineOptError, ValueError):
    """Raised when a plan cannot be built."""


class KnobError(PlanError):
    """Raised when an argument of a stage is out of range; says what would be valid."""


class OrderError(PlanError):
    """Raised when the stages of a plan cannot stand in the order asked for."""


class ConfigError(PlanError):
    """Raised when a plan file or an order given as text cannot be read."""


class FunctionError(PlanError):
    """Raised when a user's function cannot be found, traced or written as code."""


class SourceError(PipelineOptError, ValueError):
    """Raised when the data of a source cannot be opened."""


class MissingPathError(SourceError):
    """Raised when a path does not exist or a glob matches nothing."""


class EmptySourceError(SourceError):
    """Raised when a path exists and holds no data of the kind asked for."""


class FormatError(SourceError):
    """Raised when data is not in the format, compression or schema that the plan says."""


class SchemeError(SourceError):
    """Raised when a URI scheme cannot be opened on this machine; names the remedy."""


class StageError(PipelineOptError):
    """Raised when a stage fails while the pipeline runs.

    Args:
        message: What happened, with the offending value.
        stage: Name of the stage that failed, or None where it cannot be known.
    """

    def __init__(self, message: str, stage: str | None = None) -> None:
        super().__init__(message)
        self.stage = stage


class CorruptRecordError(StageError):
    """Raised when a record is damaged; names the file and the byte offset where they can be known."""


class CacheError(StageError):
    """Raised when a cache cannot be written, or is held by another process."""


class RunFileError(PipelineOptError, ValueError):
    """Raised when a run file is damaged, too new, or cannot be written."""


class OutputError(PipelineOptError):
    """Raised when an output cannot be written: no space, no permission, no folder."""


class OutputExistsError(OutputError, ValueError):
    """Raised instead of overwriting an output."""


class UsageError(PipelineOptError, ValueError):
    """Raised when an argument of a public call is out of range."""


class PlanWarning(UserWarning):
    """Issued for a plan that can be built and will do harm; says what it does."""
