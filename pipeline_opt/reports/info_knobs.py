"""What the knobs figure shows: what AUTOTUNE chose over time, and how full the buffers were."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from pipeline_opt.record import Ints, KnobSeries, Record
from pipeline_opt.reports.palette import NEUTRAL, phase_color

MOST_ROWS: Final = 10
MOST_POINTS: Final = 400
BUFFER: Final = ("buffer_size", "buffered_elements")


class KnobLine(NamedTuple):
    """One series: a value holds from its time on; `area` for the fill of a buffer, which is drawn as one."""

    knob: str
    time_s: tuple[float, ...]
    value: tuple[float, ...]
    area: bool


class KnobRow(NamedTuple):
    """A knob of a stage; a buffer's size and its fill share a row."""

    stage: str
    knob: str
    color: str
    lines: tuple[KnobLine, ...]


class KnobsInfo(NamedTuple):
    """Rows in the order of the record; `left_out` of them did not fit; `reason` says why there are none."""

    rows: tuple[KnobRow, ...]
    end_s: float
    left_out: int
    reason: str | None


def knobs_info(record: Record) -> KnobsInfo:
    """The knobs that AUTOTUNE holds or that changed."""
    phases = {stage.name: stage.phase for stage in record.stages}
    rows: dict[tuple[str, str], list[KnobSeries]] = {}
    for series in record.knobs:
        if len(series.value):
            key = (series.stage, "buffer" if series.knob in BUFFER else series.knob)
            rows.setdefault(key, []).append(series)
    telling = {key: found for key, found in rows.items() if any(s.tuned or _moves(s) for s in found)}
    # What never moved says least, so it goes first when there is no room for all.
    kept = sorted(telling, key=lambda key: not any(_moves(s) for s in telling[key]))[:MOST_ROWS]
    drawn = tuple(
        KnobRow(stage, knob, phase_color(phases[stage]) if stage in phases else NEUTRAL, _lines(found, record.wall_s))
        for (stage, knob), found in telling.items()
        if (stage, knob) in kept
    )
    return KnobsInfo(drawn, record.wall_s, len(telling) - len(kept), None if drawn else _reason(record))


def changes(series: KnobSeries, most: int) -> Ints:
    """The samples at which the value is a new one, the first among them; thinned out evenly to `most` of them."""
    kept = np.flatnonzero(np.concatenate(([True], np.diff(series.value) != 0)))
    return kept[:: max(1, -(-len(kept) // most))]


def _moves(series: KnobSeries) -> bool:
    return bool(np.ptp(series.value) > 0)


def _lines(found: list[KnobSeries], end_s: float) -> tuple[KnobLine, ...]:
    areas_first = sorted(found, key=lambda s: s.knob != "buffered_elements")
    return tuple(_line(series, end_s) for series in areas_first)


def _line(series: KnobSeries, end_s: float) -> KnobLine:
    """The points at which the value changes, thinned out where there are too many to see."""
    kept = changes(series, MOST_POINTS)
    # The last sample is taken as the run ends, and may come just after.
    times, values = np.minimum(series.time_s[kept], end_s).tolist(), series.value[kept].tolist()
    if times[-1] < end_s:
        times, values = [*times, end_s], [*values, float(series.value[-1])]
    return KnobLine(series.knob, tuple(times), tuple(values), series.knob == "buffered_elements")


def _reason(record: Record) -> str:
    if not record.knobs:
        return "no knob was sampled: AUTOTUNE was off, or the run ended before the first sample"
    return "no knob is tuned and none changed while the pipeline ran"
