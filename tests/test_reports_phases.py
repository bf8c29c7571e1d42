"""What each phase costs for an element, in several runs."""

from __future__ import annotations

import pytest
from fakes import naive, record, simulate

from pipeline_opt.reports.info_phases import phase_rows


def test_costs_are_for_an_element_and_shares_of_the_wall() -> None:
    run = simulate(steps=5, batch=4, extract_s=0.003, transform_s=0.009, load_s=0.008, train_s=0.030)
    (row,) = phase_rows({"gs": run})
    assert (row.variant, row.uri) == ("gs", run.source.uri)
    assert list(row.costs) == ["extract", "transform", "load"]
    assert row.costs["extract"].each_s == pytest.approx(0.003)
    assert row.costs["transform"].each_s == pytest.approx(0.009)
    assert row.costs["load"].each_s == pytest.approx(0.002)
    step = 4 * 0.012 + 0.038
    assert row.costs["extract"].busy_percent == pytest.approx(100 * 0.012 / step)


def test_what_is_not_known_is_absent() -> None:
    untraced = simulate(steps=5, windows=[])
    rows = phase_rows({"a": naive(), "untraced": untraced, "empty": record()})
    assert [row.variant for row in rows] == ["a", "untraced", "empty"]
    assert rows[1].costs["extract"].each_s is None
    assert rows[1].costs["load"].each_s is not None
    assert rows[2].costs["load"].each_s is None
