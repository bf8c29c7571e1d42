"""The page of a tuned pipeline, from numbers made up here: without TensorFlow, and nothing is measured."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from fakes import naive, no_steps, pipelined, without_consumer
from test_reports_page import Page

from pipeline_opt.functions import Function
from pipeline_opt.optimizer.facts import Facts
from pipeline_opt.optimizer.loads import Load
from pipeline_opt.optimizer.model import Prediction
from pipeline_opt.optimizer.rewrite import Declined, Rewrite
from pipeline_opt.optimizer.search import Found, Search, Step
from pipeline_opt.plan import Plan
from pipeline_opt.reports.info_optimized import Lanes, change_rows, figure_rows, measured_gains, plan_lines
from pipeline_opt.reports.info_trials import gain_text, range_text, trials_info
from pipeline_opt.reports.page_optimized import optimized_page
from pipeline_opt.reports.plots_trials import plot_trials
from pipeline_opt.reports.units import ABSENT
from pipeline_opt.sources import OpaqueDataset, TFRecords
from pipeline_opt.stages import AUTO, Batch, Map, Prefetch
from pipeline_opt.tuner.bootstrap import Interval
from pipeline_opt.tuner.decision import Decision
from pipeline_opt.tuner.differences import Difference, Errors
from pipeline_opt.tuner.optimize import LeftOut, Tuning
from pipeline_opt.tuner.proof import Equality
from pipeline_opt.tuner.trials import Candidate, Contest, Dropped
from pipeline_opt.tuner.turns import Stretch, Turn

SOURCE = TFRecords(paths=("data/a.tfrecord",))
DECODE = Map(name="decode", function=Function("images:decode"), num_parallel_calls=None)
GIVEN = Plan(SOURCE, (DECODE, Batch(batch_size=4)))
WIDER = Plan(SOURCE, (replace(DECODE, num_parallel_calls=AUTO), Batch(batch_size=4)))
TUNED = Plan(SOURCE, (*WIDER.stages, Prefetch(buffer_size=AUTO)))
RUNS = {"before": naive(steps=40), "after": pipelined(steps=40)}


def prediction(rate: float, later: float | None = None) -> Prediction:
    loads = (Load("cores", 1 / rate), Load("consumer", 0.5 / rate))
    return Prediction(rate, later or rate, "cores", loads, 2e6, 1 / rate, first_batch_s=0.05)


def candidate(name: str, rates: Sequence[float], dropped: Dropped | None = None) -> Candidate:
    turns = tuple(Turn(number, (Stretch(100, 100 / rate),)) for number, rate in enumerate(rates, 1))
    return Candidate(name, turns=turns, dropped=dropped)


CONTEST = Contest(
    (
        candidate("given", (100, 110, 90, 105)),
        candidate("autotune", (120, 125, 115), Dropped("slower", "autotune is slower than plan 1")),
        candidate("plan 1", (240, 250, 230, 245)),
        candidate("plan 2", (), Dropped("memory", "plan 2 took more than 1 GB")),
    ),
    seconds=12.0,
    rounds=4,
    seed=0,
)
STEPS = (
    Step(
        "parallel_map",
        "calls run at the same time",
        Rewrite(WIDER, "decode", "decode on every core", "exact", "12 elements are equal bit for bit"),
        prediction(100),
        prediction(180),
    ),
    Step(
        "prefetch", "the next batch is made meanwhile", Rewrite(TUNED, "prefetch", "prefetch"), *[prediction(180)] * 2
    ),
)


def changed(**other: Any) -> Tuning:
    over = Interval(2.4, 2.1, 2.7, 4, 0.975)
    decision = Decision(
        "plan 1", True, over, Interval(2.0, 1.8, 2.2, 3, 0.975), "plan 1 is faster: 2.40x of given", 0.975
    )
    found = (Found(TUNED, prediction(180), STEPS), Found(GIVEN, prediction(100)))
    declined = (("vectorise", Declined("decode", "images are decoded one at a time")), ("cache", Declined("x", "no")))
    tuning = Tuning(
        given=GIVEN,
        plan=TUNED,
        dataset=None,
        steps=STEPS,
        decision=decision,
        contest=CONTEST,
        equality=Equality(True, 2048, errors=Errors(1e-6, 2e-7), notes=("shuffles have the same seed",)),
        facts=Facts(step_s=0.03, epochs=3),
        search=Search(found, declined),
        along=(Interval(1.9, 1.7, 2.1, 4), Interval(1.2, 0.9, float("inf"), 1)),
    )
    return replace(tuning, **other)


def unchanged(**other: Any) -> Tuning:
    decision = Decision("given", False, None, None, "given is returned unchanged: no candidate was left")
    none = {"plan": GIVEN, "steps": (), "equality": None, "along": (), "decision": decision}
    return changed(**{**none, **other})


def words(tuning: Tuning, lanes: Lanes) -> str:
    html = optimized_page(tuning, lanes, "2025-01-01")
    found = Page(html)
    assert all(link.startswith(("#", "data:image/")) for link in found.links)
    assert {link[1:] for link in found.links if link.startswith("#")} <= set(found.ids)
    assert len(found.ids) == len(set(found.ids))
    assert "script" not in found.tags
    for nothing in ("NaN", "nan", "None", " inf"):
        assert nothing not in found.words, nothing
    return found.words


def test_every_part_is_there() -> None:
    text = words(changed(), Lanes(RUNS))
    for part in (
        "Plan 1 is faster: 2.40x of given.",
        "throughput over the given one 2.40x [2.10, 2.70] at 97.5 %, 4 rounds",
        "throughput over AUTOTUNE 2.00x",
        "elements the same the first 2,048 elements compared",
        "Who worked when",
        "both on the same time scale",
        "accelerator utilization (AU) measured in a short run 35 % 79 %",
        "examples per second measured in the trials 101 241 2.40x [2.10, 2.70]",
        "examples per second predicted 100 180 1.80x",
        "accelerator utilization (AU) predicted 50 % 50 %",
        "first batch after predicted 50 ms 50 ms",
        "1 decode on every core parallel_map at decode calls run at the same time exact : every bit, in the same order",
        "12 elements are equal bit for bit 1.80x 1.90x [1.70, 2.10]",
        "1.20x [one round only]",
        "The same, the first 2,048 elements, in order.",
        "at most 1e-06 apart",
        "shuffles have the same seed",
        "autotune 3 120 1.20x",
        "plan 1 (used) 4 241 2.39x",
        "plan 2 took more than 1 GB",
        "faster and are refused: 0",
        "helped and declined: 1",
        "images are decoded one at a time",
        "epochs of the job 3",
    ):
        assert part in text, part


def test_both_plans_stand_side_by_side_and_what_differs_is_marked() -> None:
    lines = plan_lines(changed())
    assert lines[0].text.split() == ["before", "after"]
    assert any("num_parallel_calls=AUTO" in line.text for line in lines if line.is_changed)
    assert not any("tfrecords" in line.text for line in lines if line.is_changed)
    assert '<span class="changed">' in optimized_page(changed(), Lanes(RUNS), "2025-01-01")


def test_an_unchanged_pipeline_is_said_to_be_the_given_one() -> None:
    text = words(unchanged(), Lanes({"given": naive(steps=40)}))
    for part in (
        "Given is returned unchanged: no candidate was left.",
        "The pipeline is the one that was given.",
        "Nothing was changed.",
        "there is nothing to compare",
        "A short run of one pipeline, after the tuning.",
        "examples per second measured in the trials 101",
    ):
        assert part in text, part
    assert "after / before" not in text
    assert not any(line.is_changed for line in plan_lines(unchanged()))


def test_what_was_not_tried_at_all_has_a_page_that_says_why() -> None:
    tuning = unchanged(contest=Contest((), 0.0, 0, 0), search=Search((), ()), facts=Facts())
    text = words(tuning, Lanes({}, ("not run: it writes files where the user said",)))
    assert "Not run: it writes files where the user said." in text
    assert "Nothing was measured." in text
    assert "Nothing was tried." in text
    assert "none: drained as fast as possible" in text


def test_autotune_alone_is_told_from_the_given_one() -> None:
    decision = Decision("autotune", False, Interval(1.16, 1.05, 1.3, 3), None, "autotune is returned")
    text = words(
        changed(decision=decision, steps=(), along=(), plan=WIDER), Lanes({"before": naive(), "after": no_steps()})
    )
    assert "No stage was changed but for its knobs" in text
    assert "autotune (used)" in text
    assert "1.16x [1.05, 1.30]" in text


def test_what_is_refused_stands_with_its_reason() -> None:
    difference = Equality(False, difference=Difference("the values differ", 3, "[0]", "1", "2"))
    text = words(unchanged(refused={"plan 1": str(difference)}), Lanes({"given": naive()}))
    assert "faster and are refused: 1" in text
    assert "plan 1 different; element 3, [0]: the values differ: 1 in the original, 2 in the other" in text


def test_what_was_left_out_is_said_with_what_it_cost() -> None:
    last, cost, over = STEPS[-1:], Interval(0.91, 0.86, 0.98, 5), Interval(2.9, 2.5, 3.3, 5)
    decision = replace(changed().decision, over_given=over, over_autotune=None)
    shorter = changed(
        plan=STEPS[0].rewrite.plan, steps=STEPS[:-1], along=(), left_out=LeftOut(last, cost, over), decision=decision
    )
    text = words(shorter, Lanes({}))
    assert "Left out, as throughput with it was 0.91 [0.86, 0.98] of that without" in text
    assert last[0].rewrite.what in text
    assert "2.90x [2.50, 3.30]" in text
    # The plan that took part in the trials is not the one that is used.
    assert "(used)" not in text
    assert "241" not in text.partition("candidate")[0]


def test_a_run_that_failed_is_said_and_the_other_one_drawn() -> None:
    text = words(changed(), Lanes({"before": naive()}, ("no lanes of after: its run failed: disk full",)))
    assert "No lanes of after: its run failed: disk full." in text
    assert "How to read it" in text
    alone = words(changed(), Lanes({}, ("no lanes of before: a", "no lanes of after: b")))
    assert "No lanes of before: a; no lanes of after: b." in alone
    assert "How to read it" not in alone


def test_without_a_consumer_nothing_is_said_of_its_utilization() -> None:
    tuning = changed(facts=Facts())
    runs = {"before": without_consumer(), "after": without_consumer(threads=3)}
    rows = figure_rows(tuning, trials_info(tuning), runs)
    assert not any("accelerator" in row.what for row in rows)
    assert all(ABSENT not in (row.before, row.after) for row in rows if row.what != "waits most for")
    words(tuning, Lanes(runs))


def test_what_a_cache_brings_is_predicted_for_later_epochs() -> None:
    steps = (replace(STEPS[0], after=prediction(100, later=1000)),)
    rows = {(row.what, row.source): row for row in figure_rows(changed(steps=steps), trials_info(changed()), RUNS)}
    assert rows["examples per second, later epochs", "predicted"].times == "10.0x"
    assert rows["examples per second, first epoch", "predicted"].after == "100"


def test_one_change_brought_all_that_there_is() -> None:
    alone = changed(steps=STEPS[:1], along=())
    assert measured_gains(alone) == (alone.decision.over_given,)
    assert change_rows(alone)[0].measured == "2.40x [2.10, 2.70]"
    assert [row.measured for row in change_rows(changed(along=()))] == ["not measured alone"] * 2


def test_epochs_count_in_a_trial_as_often_as_the_job_has_them() -> None:
    cached = Candidate("plan 1", turns=(Turn(1, (Stretch(100, 1.0), Stretch(100, 0.1))),))
    contest = Contest((candidate("given", (100,)), cached), 3.0, 1, 0, job_epochs=11)
    rows = {row.name: row for row in trials_info(changed(contest=contest)).rows}
    assert rows["plan 1"].rate == pytest.approx(1100 / 2.0)
    assert rows["plan 1"].ratios == pytest.approx((5.5,))
    assert rows["given"].over is None


@pytest.mark.parametrize("rates", [(300, 2000, 40), (240,), ()])
def test_trials_are_drawn_however_far_apart_they_are(rates: tuple[float, ...]) -> None:
    names = (candidate("given", (100, 110, 90)), candidate("plan 1", rates), candidate("x" * 60, (1e-3,)))
    info = trials_info(changed(contest=Contest(names, 3.0, 3, 0)))
    figure = plot_trials(info)
    shown = [text.get_text() for axes in figure.axes for text in (*axes.get_yticklabels(), *axes.texts)]
    assert "plan 1" in shown
    assert any(text.startswith("no whole turn" if not rates else gain_text(info.rows[1].over)) for text in shown)


def test_trials_in_which_the_given_pipeline_failed_are_drawn_without_it() -> None:
    names = (candidate("given", (), Dropped("error", "given failed: no such file")), candidate("plan 1", (10, 11)))
    tuning = changed(contest=Contest(names, 3.0, 2, 0))
    assert len(plot_trials(trials_info(tuning)).axes) == 1
    assert "given failed: no such file" in words(tuning, Lanes(RUNS))


def test_an_interval_says_nothing_where_nothing_is_known() -> None:
    assert range_text(None) == ""
    assert range_text(Interval(2.0, 0.0, float("inf"), 1)) == "[one round only]"
    assert range_text(Interval(2.0, 0.1, 3e7, 2)) == f"[0.10, {ABSENT}]"
    assert gain_text(Interval(float("nan"), 0.0, float("inf"), 0)) == ABSENT


def test_what_users_wrote_is_escaped_everywhere() -> None:
    evil = "<script>alert('x')</script>"
    rewrite = Rewrite(TUNED, evil, evil, evil, evil)
    tuning = changed(
        given=Plan(OpaqueDataset(dataset=None, factory=Function("m:f"), reason=evil), (DECODE,)),
        steps=(Step(evil, evil, rewrite, prediction(1), prediction(2)),),
        decision=replace(changed().decision, sentence=evil),
        equality=Equality(False, 3, difference=Difference(evil, 1, evil, evil, evil), notes=(evil,)),
        contest=Contest((candidate("given", (1,)), candidate(evil, (2,), Dropped("error", evil))), 1.0, 1, 0),
        refused={evil: evil},
        search=Search((), ((evil, Declined("decode", evil)),)),
        along=(),
    )
    run = replace(naive(), source=replace(naive().source, uri=evil))
    html = optimized_page(tuning, Lanes({"before": run}, (evil,)), evil, evil)
    assert "<script" not in html.lower()
    assert html.count("&lt;script&gt;") > 20
    assert "script" not in Page(html).tags


def test_the_same_tuning_gives_the_same_page() -> None:
    pages = {optimized_page(changed(), Lanes(RUNS), "2025-01-01") for _ in range(2)}
    assert len(pages) == 1


def test_the_page_needs_no_tensorflow() -> None:
    code = "import sys, pipeline_opt.reports.page_optimized; print('tensorflow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
