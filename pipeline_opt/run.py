"""The user's run: a record with everything that can be shown of it."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pipeline_opt import runfile
from pipeline_opt.errors import OutputError, OutputExistsError
from pipeline_opt.lazy import lazy_module
from pipeline_opt.record import Record
from pipeline_opt.reports.info_bill import bill_info
from pipeline_opt.reports.info_knobs import knobs_info
from pipeline_opt.reports.info_overlap import overlap_info
from pipeline_opt.reports.info_stages import stages_info
from pipeline_opt.reports.perfetto import trace_events
from pipeline_opt.reports.verdict import Verdict, verdict
from pipeline_opt.summary import summary

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

# pandas and matplotlib take a second to import, and a run is often only saved.
plots = lazy_module("pipeline_opt.reports.plots")
tables = lazy_module("pipeline_opt.reports.table")
pages = lazy_module("pipeline_opt.reports.page")


class Run(Record):
    """What was measured of one run; see `Record` for what it holds and in which units."""

    @classmethod
    def of(cls, record: Record) -> Self:
        """A run of any record."""
        return cls(**{field.name: getattr(record, field.name) for field in dataclasses.fields(Record)})

    def table(self) -> pd.DataFrame:
        """One row a stage: cost, work, parallelism, elements and bytes."""
        frame: pd.DataFrame = tables.stage_table(self)
        return frame

    def summary(self) -> dict[str, Any]:
        """The dictionary that `--json` writes, schema 1."""
        return summary(self)

    @property
    def verdict(self) -> Verdict:
        """In a sentence: whether the accelerator waits, and for what; with advice."""
        return verdict(self)

    def plot_overlap(self, *others: Record, names: tuple[str, ...] = ()) -> Figure:
        """Lanes of extract, transform, load and train over time; of several runs, one above another on one axis."""
        records = (self, *others)
        titles = names or tuple(f"run {number}" for number in range(1, len(records) + 1)) if others else ("run",)
        figure: Figure = plots.plot_overlap(overlap_info(dict(zip(titles, records, strict=True))))
        return figure

    def plot_stages(self) -> Figure:
        """Cost for an element, by stage and op."""
        figure: Figure = plots.plot_stages(stages_info(self))
        return figure

    def plot_knobs(self) -> Figure:
        """What AUTOTUNE chose, over time."""
        figure: Figure = plots.plot_knobs(knobs_info(self))
        return figure

    def plot_bill(self) -> Figure:
        """Seconds in which the accelerator was idle, by cause."""
        figure: Figure = plots.plot_bill(bill_info(self))
        return figure

    def save(self, path: str | os.PathLike[str], *, force: bool = False) -> Path:
        """Write the run to one file.

        Raises:
            OutputExistsError: Something is there, and `force` is not set.
            RunFileError: It cannot be written; what was there is untouched.
        """
        return runfile.save(self, path, force)

    def to_html(self, path: str | os.PathLike[str], *, force: bool = False) -> Path:
        """Write one self-contained page."""
        return write_text(path, pages.page({"run": self}, "Input pipeline"), force=force)

    def to_perfetto(self, path: str | os.PathLike[str], *, force: bool = False) -> Path:
        """Write a trace that ui.perfetto.dev opens."""
        return write_text(path, json.dumps(trace_events(self)), force=force)

    def __str__(self) -> str:
        return self.verdict.sentence

    def __repr__(self) -> str:
        return f"Run({len(self.steps)} steps, {self.wall_s:.3g} s, {self.fingerprint})"


def write_text(path: str | os.PathLike[str], content: str, *, force: bool = False) -> Path:
    """Write a report.

    Raises:
        OutputExistsError: Something is there, and `force` is not set.
        OutputError: It cannot be written.
    """
    target = Path(path)
    try:
        if target.exists() and not force:
            raise OutputExistsError(f"{target} exists already; use force (--force) to overwrite it")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise OutputError(f"cannot write {target}: {error.strerror or error}") from error
    return target
