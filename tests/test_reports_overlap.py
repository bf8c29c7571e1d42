from __future__ import annotations

from io import BytesIO
from itertools import pairwise

import numpy as np
import pytest
from fakes import (
    intervals,
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
    without_consumer,
)

from pipeline_opt.errors import UsageError
from pipeline_opt.record import ConsumerInfo, Record, StageRecord, Window
from pipeline_opt.reports.batches import Block, host_blocks, is_sequential
from pipeline_opt.reports.info_overlap import FEW_STEPS, OverlapInfo, overlap_info
from pipeline_opt.reports.plots import plot_overlap

EVERYTHING = {
    "naive": naive(),
    "pipelined": pipelined(),
    "partial": partial(),
    "one step": one_step(),
    "no steps": no_steps(),
    "long": long_run(),
    "windowed": windowed(),
    "no consumer": without_consumer(),
    "untraced": untraced(),
}


def numbers(blocks: tuple[Block, ...]) -> list[int]:
    return [block.number for block in blocks]


def by_hand(windows: tuple[Window, ...] = (Window(0.0, 8.0),)) -> Record:
    """Two steps without overlap: read 1 s, transform 1 s, load 1 s, train 1 s."""
    return record(
        consumer=ConsumerInfo("accelerator", "1 s a step", 1.0),
        steps=steps_of([(0.0, 2.0, 3.0, 4.0), (4.0, 6.0, 7.0, 8.0)]),
        intervals=intervals([(0, 1, 0, 0, 0), (1, 2, 1, 1, 0), (4, 5, 0, 0, 0), (5, 6, 1, 1, 0)]),
        stages=(
            StageRecord("read", "interleave", "extract", elements=8, work_s=2.0),
            StageRecord("decode", "map", "transform", elements=8, work_s=2.0),
        ),
        windows=windows,
        wall_s=8.0,
    )


def test_two_steps_by_hand() -> None:
    panel = overlap_info({"run": by_hand()}).panels[0]

    assert panel.span == (0.0, 8.0)
    assert [lane.phase for lane in panel.lanes] == ["extract", "transform", "load", "train"]
    assert panel.lanes[0].blocks == (Block(1, 0.0, 1.0, ((0.0, 1.0),)), Block(2, 4.0, 5.0, ((4.0, 5.0),)))
    assert panel.lanes[1].blocks == (Block(1, 1.0, 2.0, ((1.0, 2.0),)), Block(2, 5.0, 6.0, ((5.0, 6.0),)))
    assert panel.lanes[2].blocks == (Block(1, 2.0, 3.0, ((2.0, 3.0),)), Block(2, 6.0, 7.0, ((6.0, 7.0),)))
    assert panel.lanes[3].blocks == (Block(1, 3.0, 4.0, ((3.0, 4.0),)), Block(2, 7.0, 8.0, ((7.0, 8.0),)))
    assert [lane.busy_s for lane in panel.lanes] == [2.0, 2.0, 2.0, 2.0]
    assert panel.idle == ((0.0, 3.0), (4.0, 7.0))
    assert (panel.idle_s, panel.idle_percent) == (6.0, 75.0)
    assert panel.delivered == ((1, 2.0), (2, 6.0))
    assert panel.strip is None


def test_untraced_time_is_told_apart_from_idle_time() -> None:
    panel = overlap_info({"run": by_hand(windows=(Window(4.0, 8.0),))}).panels[0]

    assert panel.lanes[0].untraced == panel.lanes[1].untraced == ((0.0, 4.0),)
    assert panel.lanes[2].untraced == panel.lanes[3].untraced == ()
    assert panel.figures.traced_share == 0.5
    assert numbers(panel.lanes[0].blocks) == [2]


def test_one_time_axis_for_all_and_the_longest_run_sets_it() -> None:
    info = overlap_info({"naive": naive(), "pipelined": pipelined()})

    assert [panel.variant for panel in info.panels] == ["naive", "pipelined"]
    assert {panel.span for panel in info.panels} == {(0.0, naive().wall_s)}
    assert (info.whole, info.reason) == (True, None)


@pytest.mark.parametrize("batch", [1, 4, 32])
def test_naive_phases_do_not_overlap_and_add_up_to_the_wall(batch: int) -> None:
    run = naive(batch=batch)
    lanes = overlap_info({"run": run}).panels[0].lanes

    assert [numbers(lane.blocks) for lane in lanes] == [list(range(1, 9))] * 4
    times = sorted(span for lane in lanes for block in lane.blocks for span in block.busy)
    assert sum(end - start for start, end in times) == pytest.approx(run.wall_s)
    assert all(later[0] >= earlier[1] - 1e-9 for earlier, later in pairwise(times))


def test_blocks_keep_their_real_gaps() -> None:
    extract = overlap_info({"run": naive(steps=1, batch=2)}).panels[0].lanes[0]
    (block,) = extract.blocks
    np.testing.assert_allclose(block.busy, [(0.0, 0.003), (0.012, 0.015)])


def test_a_batch_is_read_before_it_is_transformed_and_transformed_before_it_is_loaded() -> None:
    for run in (pipelined(steps=40), pipelined(steps=40, jitter=0.3), long_run(), windowed()):
        assert not is_sequential(run)
        lanes = {lane.phase: lane.blocks for lane in overlap_info({"run": run}).panels[0].lanes}
        start = {phase: {b.number: b.start_s for b in blocks} for phase, blocks in lanes.items()}
        for before, after in (("extract", "transform"), ("transform", "load"), ("load", "train")):
            for number in start[before].keys() & start[after].keys():
                assert start[before][number] <= start[after][number] + 1e-9, (before, after, number)


def test_constant_costs_are_cut_exactly_between_batches() -> None:
    run = pipelined(steps=40)
    transform = host_blocks(run, "transform", (0.0, run.wall_s))

    assert numbers(transform) == list(range(1, len(transform) + 1))
    for block in transform[5:-1]:
        assert sum(end - start for start, end in block.busy) == pytest.approx(0.021), (
            "two threads, 3 ms apart, 2 x 9 ms each"
        )


def test_a_run_without_waits_is_not_called_sequential() -> None:
    assert is_sequential(naive())
    assert not is_sequential(without_consumer())
    assert not is_sequential(untraced())
    assert not is_sequential(no_steps())


def test_a_long_run_shows_some_steps_in_steady_state_and_all_of_it_as_a_strip() -> None:
    info = overlap_info({"run": long_run()})
    (panel,) = info.panels

    assert 4 <= len(panel.delivered) <= FEW_STEPS + 1
    assert panel.span[0] > long_run().steps.train_end[0]
    assert not info.whole
    assert all(len(lane.blocks) < 20 for lane in panel.lanes)
    assert panel.strip is not None
    assert {len(shares) for shares in panel.strip.shares.values()} == {240}
    assert all(0 <= share <= 1 for shares in panel.strip.shares.values() for share in shares if share is not None)


def test_the_span_lies_in_a_trace_window() -> None:
    run = windowed()
    (panel,) = overlap_info({"run": run}).panels

    assert any(w.start_s <= panel.span[0] and panel.span[1] <= w.end_s for w in run.windows)
    assert panel.lanes[0].untraced == ()
    assert panel.figures.traced_share == pytest.approx(0.1)
    assert panel.strip is not None
    assert panel.strip.shares["train"].count(None) == 0
    assert 190 < panel.strip.shares["extract"].count(None) < 220


def test_spans_of_a_fast_and_a_slow_variant_are_equally_long() -> None:
    info = overlap_info({"slow": naive(steps=100, transform_s=0.1), "fast": pipelined(steps=100)})
    slow, fast = info.panels

    assert slow.span[1] - slow.span[0] == pytest.approx(fast.span[1] - fast.span[0])
    assert len(slow.delivered) >= 2
    assert len(fast.delivered) <= 40


def test_without_a_consumer_there_is_nothing_to_be_idle() -> None:
    panel = overlap_info({"run": without_consumer()}).panels[0]

    assert [lane.phase for lane in panel.lanes] == ["extract", "transform"]
    assert (panel.idle, panel.idle_s, panel.idle_percent) == ((), None, None)
    assert len(panel.delivered) == 8


def test_nothing_to_draw_has_a_reason() -> None:
    assert overlap_info({"run": no_steps()}).reason == "no batch arrived and no work was traced"


@pytest.mark.parametrize("span", [(1.0, 1.0), (2.0, 1.0), (-1.0, 1.0)])
def test_an_empty_span_is_refused(span: tuple[float, float]) -> None:
    with pytest.raises(UsageError, match=r"span=.* is out of range; valid: two times in seconds"):
        overlap_info({"run": naive()}, span=span)


def test_no_runs_are_refused() -> None:
    with pytest.raises(UsageError, match="no runs given"):
        overlap_info({})


def texts(info: OverlapInfo) -> list[str]:
    figure = plot_overlap(info)
    figure.savefig(BytesIO(), format="png")
    found = [text.get_text() for axes in figure.axes for text in axes.texts]
    return found + [label.get_text() for axes in figure.axes for label in (*axes.get_yticklabels(), axes.xaxis.label)]


def test_the_figure_says_what_it_shows() -> None:
    found = texts(overlap_info({"naive": naive(), "pipelined": pipelined()}))

    assert found.count("train") == 2
    assert {"naive", "pipelined", "8 steps", "done at 328 ms", "idle 448 ms = 65 %", "56 ms"} <= set(found)
    assert "accelerator utilization (AU) 35 %  ·  wall 688 ms  ·  46.5 elements/s" in found
    assert "milliseconds from the start of the run" in found
    assert found.count("8") >= 4


def test_the_figure_says_what_was_traced() -> None:
    found = texts(overlap_info({"run": windowed()}))
    assert any("traced: 10 % of the run" in text for text in found)
    assert "not traced" in texts(overlap_info({"run": untraced()}))


@pytest.mark.parametrize("name", list(EVERYTHING))
def test_every_kind_of_run_is_drawn(name: str) -> None:
    found = texts(overlap_info({name: EVERYTHING[name]}))
    assert len(found) < 120


def test_names_from_users_are_no_formulas() -> None:
    assert "$\\frac{1$" in texts(overlap_info({"$\\frac{1$": naive()}))


def test_a_span_after_the_end_is_empty_and_drawn() -> None:
    info = overlap_info({"run": naive()}, span=(5.0, 6.0))
    assert info.panels[0].idle == ()
    assert "no step ends here, of 8  ·  from 5 s on" in texts(info)
