from __future__ import annotations

import math

import numpy as np
import pytest

from pipeline_opt.accounting.intervals import union
from pipeline_opt.accounting.stalls import CAUSES
from pipeline_opt.record import PHASES
from pipeline_opt.reports import palette, spans, units, words


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),  # noqa: RUF001
        (math.nan, "–"),  # noqa: RUF001
        (0.0, "0 s"),
        (2.5e-9, "2.5 ns"),
        (0.00083, "830 µs"),
        (0.0009996, "1 ms"),
        (0.0124, "12.4 ms"),
        (1.2345, "1.23 s"),
        (99.97, "100 s"),
        (119.4, "119 s"),
        (125.0, "2 min 05 s"),
        (7260.0, "121 min 00 s"),
    ],
)
def test_seconds_take_the_unit_that_suits_them(value: float | None, text: str) -> None:
    assert units.seconds(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), (0.0, "0 %"), (0.01, "< 0.1 %"), (6.23, "6.2 %"), (7.0, "7 %"), (9.96, "10 %"), (61.7, "62 %")],  # noqa: RUF001
)
def test_percent(value: float | None, text: str) -> None:
    assert units.percent(value) == text


def test_other_numbers() -> None:
    assert [units.number(v) for v in (0, 0.01234, 12.345, 99.96, 1240.4)] == ["0", "0.0123", "12.3", "100", "1,240"]
    assert [units.size(v) for v in (0, 999, 150_528, 1.2e9)] == ["0 B", "999 B", "151 kB", "1.2 GB"]
    assert [units.ratio(v) for v in (0.5, 1.416, 12.34)] == ["0.50x", "1.42x", "12.3x"]
    assert units.rate(1240.4) == "1,240 elements/s"
    assert [units.axis_unit(s) for s in (2.0, 1.9, 1.9e-3)] == [
        (1.0, "seconds"), (1e3, "milliseconds"), (1e6, "microseconds"),
    ]  # fmt: skip
    assert [units.plural(n, "step") for n in (0, 1, 1000)] == ["0 steps", "1 step", "1,000 steps"]


def test_every_phase_and_cause_has_a_colour_of_its_own_and_a_meaning() -> None:
    assert set(palette.PHASE_COLORS) == set(PHASES)
    assert set(palette.CAUSE_COLORS) - {"train"} == set(words.MEANINGS) == set(CAUSES)
    assert len(set(palette.CAUSE_COLORS.values())) == len(CAUSES) + 1
    assert palette.phase_color("unheard of") == palette.cause_color("unheard of") == palette.NEUTRAL


def test_ink_is_readable_and_tint_goes_to_white() -> None:
    assert [palette.ink(c) for c in ("#000000", "#0072B2", "#E69F00", "#FFFFFF")] == [
        "#FFFFFF",
        "#FFFFFF",
        "#000000",
        "#000000",
    ]
    assert palette.tint("#0072B2", 1.0) == "#0072B2"
    assert palette.tint("#0072B2", 0.0) == "#FFFFFF"


def test_sets_of_times() -> None:
    some = union([1.0, 3.0], [2.0, 4.0])

    assert spans.pairs(spans.gaps(some, 0.0, 5.0)) == ((0.0, 1.0), (2.0, 3.0), (4.0, 5.0))
    assert spans.pairs(spans.gaps(union([], []), 0.0, 5.0)) == ((0.0, 5.0),)
    assert spans.pairs(spans.gaps(some, 5.0, 5.0)) == ()
    assert spans.pairs(spans.within(some, 1.5, 3.5)) == ((1.5, 2.0), (3.0, 3.5))
    overlapping = spans.clip(np.array([0.0, 1.0]), np.array([2.0, 3.0]), 0.5, 2.5)
    assert spans.pairs(overlapping) == ((0.5, 2.0), (1.0, 2.5))
    np.testing.assert_allclose(spans.coverage(some, np.array([0.0, 2.0, 4.0, 6.0])), [0.5, 0.5, 0.0])
