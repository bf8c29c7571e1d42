"""Tables as pandas data frames."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from pipeline_opt.record import Record
from pipeline_opt.reports.info_probe import ProbeRow, probe_rows
from pipeline_opt.reports.info_table import StageRow, stage_rows
from pipeline_opt.storage.measured import StorageProfile

_PROBE_COUNTS = ("files", "bytes", "knee", "errors")
_WHOLE_NUMBERS = ("elements", "chosen", "bytes_in", "bytes_out")


def stage_table(record: Record) -> pd.DataFrame:
    """One row a stage, in the order of the plan, with the columns of `StageRow`; what is not known is missing (NA)."""
    frame = pd.DataFrame(stage_rows(record), columns=list(StageRow._fields))
    kinds = {name: "Int64" if name in _WHOLE_NUMBERS else "float64" for name in StageRow._fields[4:]}
    return frame.astype({**kinds, "parallelism": "object"})


def probe_table(profiles: Mapping[str, StorageProfile]) -> pd.DataFrame:
    """One row a storage, with the columns of `ProbeRow`: seconds and bytes a second; what is not known is missing (NA)."""
    frame = pd.DataFrame(probe_rows(profiles), columns=list(ProbeRow._fields))
    return frame.astype({name: "Int64" if name in _PROBE_COUNTS else "float64" for name in ProbeRow._fields[2:]})
