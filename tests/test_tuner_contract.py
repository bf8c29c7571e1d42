"""What `tune` returns: never what was not shown to be faster and the same. Trials and proofs are told, not run."""

from __future__ import annotations

import dataclasses
import gc
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
from fake_clock import FakeClock

import pipeline_opt as po
from pipeline_opt.clock import SystemClock
from pipeline_opt.errors import PipelineOptError
from pipeline_opt.functions import Function
from pipeline_opt.machine import machine
from pipeline_opt.optimizer.facts import Facts
from pipeline_opt.optimizer.model import Prediction
from pipeline_opt.optimizer.rewrite import Rewrite
from pipeline_opt.optimizer.search import Found, Search, Step
from pipeline_opt.plan import Plan
from pipeline_opt.sources import OpaqueDataset, Tensors, TFRecords
from pipeline_opt.stages import Batch, Cache, Map, Prefetch, Shuffle
from pipeline_opt.tuner import bench, optimize
from pipeline_opt.tuner.differences import Difference
from pipeline_opt.tuner.equal import Terms, prove
from pipeline_opt.tuner.optimize import Tuning, tune
from pipeline_opt.tuner.proof import Equality, Preserves
from pipeline_opt.tuner.scratch import Scratch
from pipeline_opt.tuner.shortened import Part
from pipeline_opt.tuner.trials import Candidate, Contest
from pipeline_opt.tuner.turns import Stretch, Turn
from pipeline_opt.tuner.wishes import Wishes

pytestmark = pytest.mark.tf

SAME = Equality(True, 40, True)
OTHER = Equality(False, 3, difference=Difference("another value", 3, "", "1", "2"))
UNKNOWN = Equality(False, 3, notes=("of a part of an epoch without order nothing follows",))
FASTEST = Prediction(1.0, 1.0, "cores", (), 0.0, 1.0)


def told(names: Any, seconds: Mapping[str, list[float]]) -> Contest:
    turns = {
        name: tuple(Turn(number, (Stretch(100, s),)) for number, s in enumerate(seconds[name], 1)) for name in names
    }
    return Contest(tuple(Candidate(name, (), found) for name, found in turns.items()), 10.0, 5, 0)


def reached(*rules: str) -> Found:
    plan = Plan(TFRecords(paths=("+".join(("given", *rules)),)))
    steps = [Step(rule, "it helps", Rewrite(plan, "map", "a change"), FASTEST, FASTEST) for rule in rules]
    return Found(plan, FASTEST, tuple(steps))


def test_one_of_the_plans_that_are_tried_is_a_single_change() -> None:
    given, three = reached(), (("forms", "freeze"), ("forms", "freeze", "redundant"), ("forms", "redundant"))
    many = [reached(*rules) for rules in three]
    alone, other = reached("freeze"), reached("redundant")

    def tried(*found: Found) -> list[Found]:
        return list(optimize.chosen(Search(found, ()), given.plan, 3).values())

    assert tried(*many, alone, other, given) == [many[0], many[1], alone]
    assert tried(many[0], alone, many[1], many[2]) == [many[0], alone, many[1]]
    assert tried(*many, given) == many
    assert tried(many[0], given) == many[:1]
    assert tried(given) == []


class Told:
    """What measuring, searching, trials and proofs come to."""

    def __init__(
        self,
        patch: pytest.MonkeyPatch,
        *contests: Mapping[str, list[float]],
        proofs: Any = SAME,
        preserves: Preserves = "exact",
    ) -> None:
        self.contests, self.proofs, self.preserves = list(contests), proofs, preserves
        self.tried: list[set[str]] = []
        self.settings: list[dict[str, Any]] = []
        self.proved: list[Plan] = []
        patch.setattr(bench, "gather_facts", lambda *_: Facts())
        patch.setattr(optimize, "search", self._search)
        patch.setattr(bench, "contest", self._contest)
        patch.setattr(optimize, "prove", self._prove)

    def _search(self, plan: Plan, facts: Facts, **_: Any) -> Search:
        found = [Found(plan, FASTEST)]
        for number in (1, 2):
            other = dataclasses.replace(plan, stages=(*plan.stages, Prefetch(buffer_size=number)))
            step = Step(
                f"rule {number}", "faster", Rewrite(other, "prefetch", "more", self.preserves), FASTEST, FASTEST
            )
            found.append(Found(other, FASTEST, (step,)))
        return Search(tuple(found), ())

    def _contest(self, datasets: Mapping[str, Any], **settings: Any) -> Contest:
        self.tried.append(set(datasets))
        self.settings.append(settings)
        return told(datasets, self.contests[min(len(self.tried), len(self.contests)) - 1])

    def _prove(self, given: Plan, other: Plan, *_: Any) -> Equality:
        self.proved.append(other)
        found = (
            self.proofs[min(len(self.proved), len(self.proofs)) - 1] if isinstance(self.proofs, list) else self.proofs
        )
        assert isinstance(found, Equality)
        return found


def dataset() -> Any:
    return tf.data.Dataset.range(40).map(lambda x: x + 1).batch(4)


def tuned(pipeline: Any, **wishes: Any) -> Tuning:
    return tune(pipeline, Wishes(**wishes), machine(), FakeClock(), lambda *_: None)


SLOW, QUICK, QUICKER, QUICKEST = [10.0] * 5, [8.0] * 5, [7.0] * 5, [6.0] * 5


def times(given: list[float], auto: list[float], one: list[float], two: list[float]) -> dict[str, list[float]]:
    return {"given": given, "autotune": auto, "plan 1": one, "plan 2": two}


def test_what_is_faster_and_the_same_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    Told(monkeypatch, times(SLOW, QUICK, QUICKEST, QUICKER))
    found = tuned(dataset())
    assert found.changed
    assert [step.rule for step in found.steps] == ["rule 1"]
    assert (found.equality, found.dataset) == (SAME, None)


@pytest.mark.parametrize("proof", [OTHER, UNKNOWN], ids=["different", "not known"])
def test_what_is_faster_and_not_shown_to_be_the_same_is_refused_and_the_next_one_used(
    monkeypatch: pytest.MonkeyPatch, proof: Equality
) -> None:
    Told(monkeypatch, times(SLOW, QUICK, QUICKEST, QUICKER), proofs=[proof, SAME])
    found = tuned(dataset())
    assert [step.rule for step in found.steps] == ["rule 2"]
    assert found.refused == {"plan 1": str(proof)}


def test_less_of_the_data_is_compared_where_whole_epochs_take_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    shares: list[float] = []
    monkeypatch.setattr(optimize, "sampled", lambda plan, share, facts: shares.append(share) or plan)
    monkeypatch.setattr(optimize, "share_to_compare", lambda *_: 0.9)
    Told(monkeypatch, times(SLOW, QUICK, QUICKEST, QUICKER), proofs=[UNKNOWN, UNKNOWN, SAME], preserves="set")
    found = tuned(dataset())
    assert [step.rule for step in found.steps] == ["rule 1"]
    assert shares == pytest.approx([0.9, 0.3, 0.1])


@pytest.mark.parametrize("proof", [OTHER, UNKNOWN], ids=["different", "not known"])
def test_the_very_dataset_is_returned_where_nothing_is_the_same(
    monkeypatch: pytest.MonkeyPatch, proof: Equality
) -> None:
    Told(monkeypatch, times(SLOW, QUICK, QUICKEST, QUICKER), proofs=proof)
    given = dataset()
    found = tuned(given)
    assert not found.changed
    assert found.dataset is given
    assert set(found.refused) == {"plan 1", "plan 2", "autotune"}
    assert found.equality is None
    assert "not shown to be the same" in found.decision.sentence


def test_autotune_is_returned_where_it_is_the_better_of_the_two_and_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    done = Told(monkeypatch, times(SLOW, QUICK, SLOW, SLOW))
    found = tuned(dataset())
    assert (found.decision.name, found.changed, found.steps) == ("autotune", True, ())
    assert found.dataset is None
    assert len(done.proved) == 1


def test_a_plan_that_is_not_beaten_is_returned_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    Told(monkeypatch, times(QUICK, SLOW, SLOW, SLOW))
    given = Plan(Tensors(value=[1, 2, 3, 4]), (Batch(batch_size=2),))
    found = tuned(given)
    assert found.plan is given
    assert not found.changed


def test_an_open_contest_goes_on_with_the_most_promising_plan_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    wild = [6.0, 11.0, 6.0, 11.0, 7.0]
    done = Told(monkeypatch, times(SLOW, SLOW, SLOW, wild), times(SLOW * 3, SLOW * 3, SLOW * 3, QUICKEST * 3))
    found = tuned(dataset())
    assert done.tried == [{"given", "autotune", "plan 1", "plan 2"}, {"given", "autotune", "plan 2"}]
    assert [step.rule for step in found.steps] == ["rule 2"]
    assert found.decision.over_given is not None
    assert found.decision.over_given.rounds == 20


def test_a_second_contest_alone_does_not_decide(monkeypatch: pytest.MonkeyPatch) -> None:
    wild = [1.0, 30.0, 1.0, 30.0, 1.0]
    Told(monkeypatch, times(SLOW, SLOW, SLOW, wild), times(SLOW, SLOW, SLOW, QUICK))
    assert not tuned(dataset()).changed


def test_an_open_contest_in_which_nothing_is_promising_is_not_held_again(monkeypatch: pytest.MonkeyPatch) -> None:
    done = Told(monkeypatch, times(QUICK, SLOW, SLOW, SLOW))
    tuned(dataset())
    assert len(done.tried) == 1


@pytest.mark.parametrize(
    ("make", "epochs", "turns", "job"),
    [(dataset, 5, 2, 5), (dataset, 1, 1, 1), (lambda: dataset().repeat(), 5, 1, 1)],
    ids=["five epochs", "one epoch", "endless"],
)
def test_a_turn_is_two_epochs_that_stand_for_all_and_one_where_there_is_no_end(
    monkeypatch: pytest.MonkeyPatch, make: Any, epochs: int, turns: int, job: int
) -> None:
    done = Told(monkeypatch, times(SLOW, SLOW, SLOW, SLOW))
    tuned(make(), epochs=epochs)
    assert (done.settings[0]["epochs"], done.settings[0]["job_epochs"]) == (turns, job)


# --- with what was there before


def as_dataset(given: Any) -> Any:
    return given


def as_plan_around(given: Any) -> Any:
    return Plan(OpaqueDataset(dataset=given))


AROUND = pytest.mark.parametrize("around", [as_dataset, as_plan_around])


@AROUND
def test_a_cache_on_disk_is_neither_written_nor_emptied(tmp_path: Path, around: Any) -> None:
    given = tf.data.Dataset.range(40).cache(str(tmp_path / "cache")).batch(4)
    list(given)
    before = {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in tmp_path.iterdir()}
    found = tuned_for_real(around(given), budget_s=4.0)
    assert {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in tmp_path.iterdir()} == before
    assert found.contest.rounds


@AROUND
def test_a_cache_on_disk_that_is_not_there_yet_is_not_made(tmp_path: Path, around: Any) -> None:
    given = around(tf.data.Dataset.range(40).cache(str(tmp_path / "cache")).batch(4))
    # On a busy machine a second has no time for a round.
    found = tuned_for_real(given, budget_s=8.0)
    assert not list(tmp_path.iterdir())
    assert found.contest.rounds


def of_snapshots(folder: str) -> Any:
    return tf.data.Dataset.range(40).snapshot(f"{folder}/snapshot").batch(4)


def of_caches_inside(folder: str) -> Any:
    def cached(number: Any) -> Any:
        return tf.data.Dataset.range(10).cache(tf.strings.join([folder, "/", tf.strings.as_string(number)]))

    return tf.data.Dataset.range(3).interleave(cached).batch(4)


@AROUND
@pytest.mark.parametrize("make", [of_snapshots, of_caches_inside])
def test_what_writes_where_no_plan_can_change_it_is_not_run(tmp_path: Path, make: Any, around: Any) -> None:
    given = make(str(tmp_path))
    found = tuned_for_real(around(given))
    assert found.contest.rounds == 0
    assert found.dataset is (given if around is as_dataset else None)
    assert "it writes files where the user said" in found.untouched
    assert found.untouched in found.decision.sentence
    assert not list(tmp_path.iterdir())


def test_a_cache_in_memory_inside_a_function_writes_nothing() -> None:
    inside = tf.data.Dataset.range(3).interleave(lambda n: tf.data.Dataset.range(n).cache()).batch(4)
    assert not tuned_for_real(inside).untouched


def test_files_of_trials_go_with_their_datasets() -> None:
    with Scratch() as scratch:
        plan = Plan(Tensors(value=list(range(9))), (Cache(filename="kept"),))
        made = scratch.build(plan)
        list(made)
        folder = Path(scratch.path)
        assert list(folder.rglob("*kept*")) or list(folder.rglob("cache*"))
        del made
        gc.collect()
        assert not list(folder.iterdir())


def test_a_source_that_fails_is_told_as_an_error_of_ours() -> None:
    def fails() -> Any:
        raise ValueError("no rows today")
        yield 1

    given = tf.data.Dataset.from_generator(fails, output_signature=tf.TensorSpec((), tf.int64)).batch(2)
    for call in (po.optimize, po.lint):
        with pytest.raises(PipelineOptError, match="no rows today"):
            call(given, budget_s=1)


def tuned_for_real(pipeline: Any, budget_s: float = 1.0) -> Tuning:
    return tune(pipeline, Wishes(budget_s=budget_s), machine(), SystemClock(), lambda *_: None)


def test_an_order_that_is_no_longer_drawn_anew_is_found() -> None:
    given = Plan(Tensors(value=list(range(400))), (Shuffle(buffer_size=400),))
    frozen = dataclasses.replace(given, stages=(*given.stages, Cache()))
    found = prove(given, frozen, Terms("set", False, 5.0, SystemClock(), lambda plan: plan))
    assert not found.same
    assert "no longer drawn anew" in str(found)


@pytest.mark.parametrize(("rows", "step_s"), [(None, 0.8), (16, 0.2)], ids=["every batch", "a batch of 4 of 16"])
def test_a_step_takes_as_long_as_its_batch_is_large(
    monkeypatch: pytest.MonkeyPatch, rows: int | None, step_s: float
) -> None:
    Told(monkeypatch, times(SLOW, SLOW, SLOW, SLOW))
    assert tuned(dataset(), step_s=0.8, step_rows=rows).facts.step_s == pytest.approx(step_s)


def way(*gains: float) -> dict[str, list[float]]:
    """Times in which each plan on the way is so many times as fast as the one before."""
    seconds = [10.0]
    for gain in gains:
        seconds.append(seconds[-1] / gain)
    return {str(number): [each] * 5 for number, each in enumerate(seconds)}


def two_steps(patch: pytest.MonkeyPatch, gains: tuple[float, float], **more: Any) -> Told:
    """A search that comes to one plan, by two changes."""
    told_ = Told(patch, times(SLOW, SLOW, QUICK, QUICK) | way(*gains), **more)

    def search(plan: Plan, facts: Facts, **_: Any) -> Search:
        first, second = ((*plan.stages, *(Prefetch(name=f"p{n}", buffer_size=n) for n in range(1, k))) for k in (2, 3))
        plans = [dataclasses.replace(plan, stages=stages) for stages in (first, second)]
        steps = tuple(
            Step(f"rule {n}", "faster", Rewrite(made, "prefetch", f"more {n}"), FASTEST, FASTEST)
            for n, made in enumerate(plans, 1)
        )
        return Search((Found(plans[-1], FASTEST, steps),), ())

    patch.setattr(optimize, "search", search)
    return told_


def test_a_last_change_that_slows_it_down_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    done = two_steps(monkeypatch, (2.0, 0.8))
    found = tuned(dataset())
    assert [step.rule for step in found.steps] == ["rule 1"]
    assert [stage.name for stage in found.plan.stages][-1] == "p1"
    assert found.left_out is not None
    assert [step.rule for step in found.left_out.steps] == ["rule 2"]
    assert found.decision.over_given == found.left_out.over_given
    assert found.decision.over_autotune is None
    assert "it is used without its last change, with which throughput was 0.80" in found.decision.sentence
    assert [[stage.name for stage in plan.stages][-1] for plan in done.proved] == ["p2", "p1"]


def test_it_stays_where_the_shorter_plan_was_not_shown_to_be_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    two_steps(monkeypatch, (2.0, 0.8), proofs=[SAME, UNKNOWN])
    found = tuned(dataset())
    assert [step.rule for step in found.steps] == ["rule 1", "rule 2"]
    assert found.left_out is None


def test_it_stays_where_the_shorter_plan_is_not_faster_than_what_was_given(monkeypatch: pytest.MonkeyPatch) -> None:
    two_steps(monkeypatch, (0.9, 0.8))
    found = tuned(dataset())
    assert [step.rule for step in found.steps] == ["rule 1", "rule 2"]
    assert found.left_out is None


def test_both_contests_are_of_the_same_part_of_the_data(monkeypatch: pytest.MonkeyPatch) -> None:
    wild = [6.0, 11.0, 6.0, 11.0, 7.0]
    done = Told(monkeypatch, times(SLOW, SLOW, SLOW, wild), times(SLOW * 3, SLOW * 3, SLOW * 3, QUICKEST * 3))
    asked: list[int] = []

    def part(given: Plan, plans: Any, *_: Any) -> Part:
        asked.append(len(tuple(plans)))
        return Part(8, 0.2)

    monkeypatch.setattr(bench, "part_to_compare", part)
    tuned(dataset())
    assert asked == [4]
    assert [(one["whole"], one["max_rounds"]) for one in done.settings] == [(True, bench.MOST_WHOLE)] * 2


def test_changes_that_each_bring_something_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    two_steps(monkeypatch, (1.5, 1.2))
    found = tuned(dataset())
    assert [step.rule for step in found.steps] == ["rule 1", "rule 2"]
    assert [gain.value for gain in found.along] == pytest.approx([1.5, 1.2])


def test_nothing_is_told_of_changes_that_there_was_no_time_to_try(monkeypatch: pytest.MonkeyPatch) -> None:
    done = two_steps(monkeypatch, (1.5, 1.2))
    done.contests = [{**times(SLOW, SLOW, QUICK, QUICK), "0": SLOW, "1": [], "2": []}]
    found = tuned(dataset())
    assert [step.rule for step in found.steps] == ["rule 1", "rule 2"]
    assert found.along == ()


def test_a_sample_without_a_batch_proves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    Told(monkeypatch, times(SLOW, SLOW, QUICK, SLOW), proofs=Equality(True, 0, True), preserves="set")
    monkeypatch.setattr(optimize, "share_to_compare", lambda *_: 0.1)
    monkeypatch.setattr(optimize, "sampled", lambda plan, *_: plan.append(Prefetch(name="part", buffer_size=9)))
    found = tuned(dataset())
    assert not found.changed
    assert set(found.refused) == {"plan 1"}


def rows(*stages: Any) -> Plan:
    return Plan(Tensors(value=list(range(300))), stages)


def compared(given: Plan, other: Plan) -> Equality:
    return prove(given, other, Terms("set", False, 8.0, SystemClock(), lambda plan: plan))


def test_no_row_is_excused_for_a_dropped_remainder_that_can_be_kept() -> None:
    given = rows(Shuffle(buffer_size=300), Batch(batch_size=256, drop_remainder=True))
    wrong = rows(
        Map(function=Function.of(negated)), Shuffle(buffer_size=300), Batch(batch_size=256, drop_remainder=True)
    )
    assert compared(given, given).same
    assert compared(given, wrong).difference is not None


def test_of_too_few_rows_a_dropped_remainder_says_nothing() -> None:
    def make(change: Any) -> Plan:
        fixed = Function.of(of_four)
        return rows(Map(function=Function.of(change)), Batch(batch_size=256, drop_remainder=True), Map(function=fixed))

    found = compared(make(same), make(negated))
    assert not found.same


def same(x: Any) -> Any:
    return x


def negated(x: Any) -> Any:
    return tf.where(x > 10, -x, x)


def of_four(x: Any) -> Any:
    return tf.ensure_shape(x, [256])
