"""Tables as pandas data frames."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from pipeline_opt.record import Record
from pipeline_opt.reports.info_table import StageRow, VariantRow, causes_in, compare_rows, stage_rows

_WHOLE_NUMBERS = ("elements", "chosen", "bytes_in", "bytes_out")


def stage_table(record: Record) -> pd.DataFrame:
    """One row a stage, in the order of the plan, with the columns of `StageRow`; what is not known is missing (NA)."""
    frame = pd.DataFrame(stage_rows(record), columns=list(StageRow._fields))
    kinds = {name: "Int64" if name in _WHOLE_NUMBERS else "float64" for name in StageRow._fields[4:]}
    return frame.astype({**kinds, "parallelism": "object"})


def compare_table(records: Mapping[str, Record]) -> pd.DataFrame:
    """One row a variant, in the order given: the columns of `VariantRow`, the stalls as a column for each cause.

    Raises:
        UsageError: there are no records.
    """
    rows = compare_rows(records)
    before, after = _around("stalls")
    causes = causes_in(rows)
    cells = [
        [
            *(getattr(row, name) for name in before),
            *(row.stalls.get(cause, 0.0) for cause in causes),
            *(getattr(row, name) for name in after),
        ]
        for row in rows
    ]
    frame = pd.DataFrame(cells, columns=[*before, *(f"stall_{cause}_s" for cause in causes), *after])
    return frame.astype(dict.fromkeys(before[3:], "float64"))


def _around(field: str) -> tuple[list[str], list[str]]:
    names = list(VariantRow._fields)
    at = names.index(field)
    return names[:at], names[at + 1 :]
