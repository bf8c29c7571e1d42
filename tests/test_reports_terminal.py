from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from io import StringIO

import pytest
from fakes import long_run, naive, no_steps, one_step, partial, pipelined, record, untraced, windowed, without_consumer
from rich.cells import cell_len
from rich.console import Console, RenderableType

from pipeline_opt.errors import UsageError
from pipeline_opt.record import Record, StageRecord
from pipeline_opt.reports.terminal import comparison_renderable, stage_renderable, summary_renderable

RUNS = (naive, pipelined, partial, one_step, no_steps, long_run, windowed, untraced, without_consumer)


def lines(renderable: RenderableType, width: int = 80) -> list[str]:
    console = Console(width=width, file=StringIO(), color_system=None, legacy_windows=False)
    console.print(renderable)
    assert isinstance(console.file, StringIO)
    return console.file.getvalue().splitlines()


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.__name__)
@pytest.mark.parametrize("width", [80, 120])
def test_everything_fits(run: Callable[[], Record], width: int) -> None:
    pair = {"a variant with quite a long name": run(), "b": pipelined()}
    for renderable in (summary_renderable(run(), "run"), stage_renderable(run()), comparison_renderable(pair)):
        found = lines(renderable, width)
        assert found
        assert max(cell_len(line) for line in found) <= width
        assert "…" not in "".join(found)


def test_summary() -> None:
    text = " ".join("\n".join(lines(summary_renderable(naive(), "naive"))).replace("│", " ").split())
    for part in (
        "naive",
        "The accelerator waits 65 % of the time, for decode (transform).",
        "throughput 46.5 elements/s wall 688 ms",
        "accelerator utilization 35 % accelerator idle 448 ms",
        "■ computes 240 ms (35 %)",
        "waits: transform 252 ms (37 %)",
        "Next steps",
        "• decode handles one element at a time",
    ):
        assert part in text, part


def test_stage_table() -> None:
    found = lines(stage_renderable(pipelined()))
    assert found[0].split() == ["stage", "phase", "count", "each", "work", "share", "cpu", "parallel"]
    assert found[3].split() == [
        "decode",
        "■",
        "transform",
        "40",
        "9",
        "ms",
        "360",
        "ms",
        "75",
        "%",
        "97",
        "%",
        "auto:",
        "2",
    ]
    assert found[4].split()[:6] == ["batch", "■", "transform", "8", "b", "100"]
    assert found[-1].startswith("b: batches")


def test_what_is_not_known_has_its_reason() -> None:
    stage = StageRecord("read", "interleave", "extract", absent={"work_s": "no trace window saw it"})
    found = lines(stage_renderable(record(stages=(stage,))))
    assert "read: work_s is not known, no trace window saw it" in found


def test_comparison() -> None:
    found = lines(comparison_renderable({"naive": naive(), "pipelined": pipelined(), "broken": no_steps()}))
    assert found[2].split() == ["naive", "46.5", "1.00x", "35", "%", "448", "ms", "688", "ms", "■", "transform"]
    assert found[3].split()[:3] == ["pipelined", "105", "2.26x"]
    assert found[4].split()[:3] == ["broken", "(partial)", "–"]  # noqa: RUF001
    with pytest.raises(UsageError, match="no runs given"):
        comparison_renderable({})


def test_names_of_users_are_no_markup() -> None:
    stage = replace(naive().stages[1], name="[red]x[/red]")
    run = replace(naive(), stages=(stage,), notes=("[bold]note",))
    assert "[red]x[/red]" in "\n".join(lines(stage_renderable(run)))
    text = "\n".join(lines(summary_renderable(run, "[b]title")))
    assert "[b]title" in text
    assert "[bold]note" in text
    assert "[i]v" in "\n".join(lines(comparison_renderable({"[i]v": run})))
