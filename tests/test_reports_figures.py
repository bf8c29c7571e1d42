from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO

import matplotlib
import numpy as np
import pytest
from fakes import (
    long_run,
    naive,
    no_steps,
    one_step,
    partial,
    pipelined,
    record,
    steps_of,
    untraced,
    windowed,
)
from fakes import without_consumer as drained
from matplotlib.figure import Figure

from pipeline_opt.errors import UsageError
from pipeline_opt.record import KnobSeries, OpCost, Record, StageRecord
from pipeline_opt.reports.compare import Estimate
from pipeline_opt.reports.info_bill import BillInfo, BillItem, bill_info
from pipeline_opt.reports.info_compare import CompareInfo, Variant, compare_info
from pipeline_opt.reports.info_knobs import MOST_POINTS, MOST_ROWS, KnobLine, KnobRow, KnobsInfo, knobs_info
from pipeline_opt.reports.info_overlap import overlap_info
from pipeline_opt.reports.info_stages import Part, StageBar, StagesInfo, stages_info
from pipeline_opt.reports.palette import NEUTRAL, PHASE_COLORS
from pipeline_opt.reports.plots import plot_bill, plot_compare, plot_knobs, plot_overlap, plot_stages, to_png, to_svg
from pipeline_opt.reports.plots_style import shortened

RUNS = (naive, pipelined, partial, one_step, no_steps, long_run, windowed, drained, untraced)


def texts(figure: Figure) -> list[str]:
    """Everything that a reader sees, after drawing it."""
    figure.savefig(BytesIO(), format="png")
    found = [text.get_text() for text in figure.texts]
    for axes in figure.axes:
        found += [text.get_text() for text in axes.texts]
        found += [label.get_text() for label in axes.get_yticklabels()]
        found.append(axes.xaxis.label.get_text())
    for legend in figure.legends:
        found += [text.get_text() for text in legend.get_texts()]
    return found


def knob(name: str, values: list[float], tuned: bool = False, stage: str = "decode") -> KnobSeries:
    return KnobSeries(stage, name, np.arange(len(values), dtype=np.float64), np.array(values), tuned)


class TestStages:
    def test_cost_for_an_element_by_op(self) -> None:
        run = record(
            steps=steps_of([(0, 1, 1, 2)] * 2, batch=10),
            stages=(
                StageRecord(
                    "decode",
                    "map",
                    "transform",
                    elements=20,
                    work_s=2.0,
                    cpu_s=1.0,
                    us_per_element=100.0,
                    ops=(OpCost("DecodeJpeg", 1.2, 20), OpCost("Mul", 0.4, 20)),
                ),
                StageRecord("batch", "batch", "transform", elements=2, work_s=0.001, us_per_element=500.0),
                StageRecord("prefetch", "prefetch", "transform", absent={"work_s": "AUTOTUNE is off"}),
            ),
        )

        info = stages_info(run)

        decode, batch = info.bars
        assert decode[:4] == ("decode", "transform", 100.0, 50.0)
        assert [(part.op, pytest.approx(part.us)) for part in decode.parts] == [
            ("DecodeJpeg", 60.0),
            ("Mul", 20.0),
            (None, 20.0),
        ]
        assert batch == StageBar("batch", "transform", 50.0, None, (Part(None, 50.0),), pytest.approx(100 / 3))
        assert info.unknown == (("prefetch", "AUTOTUNE is off"),)

    def test_cost_follows_from_work_where_only_that_is_known(self) -> None:
        run = record(stages=(StageRecord("read", "interleave", "extract", elements=4, work_s=1.0),))
        assert stages_info(run).bars[0].us == 250_000.0

    def test_no_cost_has_a_reason(self) -> None:
        info = stages_info(record(stages=(StageRecord("read", "interleave", "extract"),)))
        assert info.bars == ()
        assert info.reason is not None
        assert "cost is known" in info.reason
        assert info.reason in texts(plot_stages(info))

    def test_labels_and_units(self) -> None:
        bars = (
            StageBar("read", "extract", 3000.0, 600.0, (Part(None, 3000.0),), 25.0),
            StageBar("decode", "transform", 9000.0, None, (Part("DecodeJpeg", 8000.0), Part(None, 1000.0)), 75.0),
        )
        found = texts(plot_stages(StagesInfo(bars, (("x", "why"),), None)))
        assert {"read", "decode", "9 ms  (75 %)", "DecodeJpeg 89 %", "extract", "transform"} <= set(found)
        assert "work for one element, milliseconds of thread time" in found
        assert "not known: x (why)" in found
        assert "on a core (cpu)" in found
        assert "on a core (cpu)" not in texts(plot_stages(StagesInfo(bars[1:], (), None)))


class TestKnobs:
    def test_rows_are_what_is_tuned_or_changes(self) -> None:
        run = record(
            wall_s=4.0,
            stages=(StageRecord("decode", "map", "transform"),),
            knobs=(
                knob("parallelism", [1, 1, 2, 2], tuned=True),
                knob("cycle_length", [3, 3]),
                knob("buffer_size", [2, 2], stage="prefetch"),
                knob("buffered_elements", [0, 2, 1], stage="prefetch"),
                knob("parallelism", [], tuned=True, stage="empty"),
            ),
        )

        info = knobs_info(run)

        assert info == KnobsInfo(
            (
                KnobRow(
                    "decode",
                    "parallelism",
                    PHASE_COLORS["transform"],
                    (KnobLine("parallelism", (0.0, 2.0, 4.0), (1.0, 2.0, 2.0), False),),
                ),
                KnobRow(
                    "prefetch",
                    "buffer",
                    NEUTRAL,
                    (
                        KnobLine("buffered_elements", (0.0, 1.0, 2.0, 4.0), (0.0, 2.0, 1.0, 1.0), True),
                        KnobLine("buffer_size", (0.0, 4.0), (2.0, 2.0), False),
                    ),
                ),
            ),
            end_s=4.0,
            left_out=0,
            reason=None,
        )

    @pytest.mark.parametrize(
        ("knobs", "reason"), [((), "no knob was sampled"), ((knob("cycle_length", [3, 3]),), "none changed")]
    )
    def test_nothing_to_show_has_a_reason(self, knobs: tuple[KnobSeries, ...], reason: str) -> None:
        info = knobs_info(record(knobs=knobs))
        assert info.rows == ()
        assert reason in (info.reason or "")
        assert info.reason in texts(plot_knobs(info))

    @pytest.mark.parametrize(("values", "dots"), [([2], 1), ([2, 3], 0)])
    def test_a_single_sample_is_a_dot_as_a_line_would_show_nothing(self, values: list[float], dots: int) -> None:
        figure = plot_knobs(knobs_info(record(wall_s=0.0, knobs=(knob("parallelism", values, tuned=True),))))
        assert [line.get_marker() for line in figure.axes[0].lines].count("o") == dots

    def test_many_rows_and_points_are_bounded_and_those_that_moved_stay(self) -> None:
        still = [knob("parallelism", [1, 1], tuned=True, stage=f"still {i}") for i in range(MOST_ROWS + 5)]
        moved = knob("parallelism", [float(i % 7) for i in range(10_000)], stage="moved")
        info = knobs_info(record(wall_s=10_000.0, knobs=(*still, moved)))
        assert (len(info.rows), info.left_out) == (MOST_ROWS, 6)
        assert info.rows[-1].stage == "moved"
        assert len(info.rows[-1].lines[0].value) <= MOST_POINTS + 1
        assert "6 more knobs that changed little" in texts(plot_knobs(info))

    def test_labels(self) -> None:
        found = texts(plot_knobs(knobs_info(pipelined())))
        assert {"decode", "parallelism", "buffer", "last 2", "seconds from the start of the run"} <= set(found)

    def test_an_axis_ends_with_the_largest_value(self) -> None:
        info = knobs_info(record(wall_s=3.0, knobs=(knob("buffered_elements", [0, 1_000_000, 7], stage="shuffle"),)))
        assert {"0", "1,000,000", "filled 7"} <= set(texts(plot_knobs(info)))


class TestBill:
    def test_items_from_the_largest_on(self) -> None:
        info = bill_info(naive())
        assert [item.cause for item in info.items] == ["transform", "extract", "load", "fill"]
        assert info.total_s == pytest.approx(0.448)
        assert sum(item.percent for item in info.items) == pytest.approx(100 * 0.448 / 0.688)

    def test_labels(self) -> None:
        info = BillInfo((BillItem("fill", 3.0, 30.0, "..."), BillItem("load", 1.0, 10.0, "...")), 4.0, 10.0, None)
        found = texts(plot_bill(info))
        assert {"fill", "load", "3 s  ·  30 % of the wall time", "4 s of 10 s waited"} <= set(found)
        assert "seconds that the consumer waited" in found

    def test_no_bill_has_a_reason(self) -> None:
        never = record(wall_s=0.0)
        assert bill_info(never).reason == "no batch arrived, so there is nothing to charge"
        assert bill_info(never).reason in texts(plot_bill(bill_info(never)))


class TestCompare:
    def test_speedup_is_to_the_first_variant(self) -> None:
        info = compare_info({"naive": [naive(steps=40)], "pipelined": [pipelined(steps=40)]})
        first, second = info.variants
        assert first.speedup == 1.0
        assert second.speedup == pytest.approx(0.086 / 0.038)
        assert second.utilization is not None
        assert second.utilization.value == pytest.approx(100 * 30 / 38)
        assert sum(first.seconds_per_element.values()) == pytest.approx(naive(steps=40).wall_s / 160)

    def test_several_runs_give_an_interval(self) -> None:
        (variant,) = compare_info({"a": [naive(jitter=0.3, seed=seed) for seed in range(4)]}).variants
        assert variant.runs == 4
        assert variant.throughput is not None
        assert variant.throughput.low is not None
        assert variant.throughput.low < variant.throughput.value

    @pytest.mark.parametrize("records", [{}, {"a": []}])
    def test_no_runs_are_refused(self, records: dict[str, list[Record]]) -> None:
        with pytest.raises(UsageError, match="no runs given"):
            compare_info(records)

    def test_labels(self) -> None:
        info = CompareInfo(
            (
                Variant(
                    "slow", 3, Estimate(100.0, 90.0, 110.0, ""), Estimate(20.0, 19.0, 21.0, ""), 1.0, {"train": 2e-3}
                ),
                Variant("fast", 3, Estimate(250.0, 240.0, 260.0, ""), None, 2.5, {"train": 2e-3, "load": 2e-3}),
                Variant("none", 3, None, None, None, {}),
            )
        )
        found = texts(plot_compare(info))
        assert {"slow", "fast", "100", "250  (2.50x)", "20 %", "not known", "4 ms", "waits: load"} <= set(found)
        assert "95 % interval: between runs" in found

    def test_without_a_consumer_there_is_no_utilization(self) -> None:
        figure = plot_compare(compare_info({"a": [drained()], "b": [drained()]}))
        assert len(figure.axes) == 2
        assert "no interval: too few steps" in texts(figure)


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.__name__)
def test_every_figure_of_every_kind_of_run_is_drawn(run: Callable[[], Record]) -> None:
    for figure in (
        plot_stages(stages_info(run())),
        plot_knobs(knobs_info(run())),
        plot_bill(bill_info(run())),
        plot_compare(compare_info({"a": [run()], "b": [run()]})),
    ):
        assert texts(figure)


def test_long_names_keep_their_beginning_and_end() -> None:
    assert shortened("decode", 20) == "decode"
    assert shortened("a_stage_with_a_very_long_name_7", 20) == "a_stage_wi…ng_name_7"
    info = overlap_info({"a variant with a very long name": naive(steps=30)})
    assert "a variant…ong name" in texts(plot_overlap(info))


def test_drawing_leaves_the_users_settings_alone_and_ignores_them() -> None:
    with matplotlib.rc_context({"font.size": 30.0, "axes.facecolor": "red"}):
        before = dict(matplotlib.rcParams)
        figure = plot_bill(bill_info(naive()))
        to_png(figure)
        assert dict(matplotlib.rcParams) == before
    assert figure.axes[0].get_facecolor()[:3] == (1.0, 1.0, 1.0)


def test_svg_for_a_page_is_themed_unique_and_without_a_users_text() -> None:
    stage = replace(naive().stages[0], name="--><script>alert(1)</script>")
    figure = plot_stages(stages_info(replace(naive(), stages=(stage,))))
    svg = to_svg(figure, "run1")

    assert svg.startswith("<svg")
    assert svg.endswith("</svg>")
    assert "script" not in svg
    assert "currentColor" in svg
    assert re.search(r'<svg[^>]* width="', svg) is None
    assert all(name.startswith("run1-") for name in re.findall(r'\bid="([^"]+)"', svg))
    used = set(re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', svg))
    assert {a or b for a, b in used} <= set(re.findall(r'\bid="([^"]+)"', svg))
    assert to_svg(plot_overlap(overlap_info({"a": naive()})), "x") == to_svg(
        plot_overlap(overlap_info({"a": naive()})), "x"
    )
