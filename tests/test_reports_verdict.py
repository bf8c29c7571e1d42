from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from fakes import naive, no_steps, one_step, partial, pipelined, record, simulate, steps_of, untraced, without_consumer

from pipeline_opt.accounting import Account, PhaseAccount, account
from pipeline_opt.record import PHASES, ConsumerInfo, Epochs, OpCost, Record, SourceInfo, StageRecord
from pipeline_opt.reports.advice import Case, advise, cores_used
from pipeline_opt.reports.verdict import Verdict, judge, limiting_stage, main_cause, verdict


def figures(stalls: dict[str, float], **changes: Any) -> Account:
    """An account of 100 steps in 10 s, of which the accelerator computes 40 %."""
    known = Account(
        phases={phase: PhaseAccount(4.0, 4.0, 6.0) for phase in PHASES},
        steps=100,
        elements=400,
        bytes=400,
        elements_per_s=40.0,
        bytes_per_s=40.0,
        wall_s=10.0,
        first_batch_s=0.1,
        utilization_percent=40.0,
        accelerator_idle_s=6.0,
        sequential_s=16.0,
        pipelined_bound_s=5.0,
        overlap_efficiency=0.5,
        stalls=stalls,
        traced_share=1.0,
    )
    return replace(known, **changes)


def case(cause: str | None, stage: StageRecord | None, *, stalls: dict[str, float] | None = None, **run: Any) -> Case:
    """What advice is asked about; the run lasts 10 s on 4 cores."""
    prefetched = StageRecord("prefetch", "prefetch", "transform")
    stages = (stage, prefetched) if stage is not None else (prefetched,)
    known = {"stages": stages, "wall_s": 10.0, "consumer": ConsumerInfo("accelerator", "", 0.04), **run}
    return Case(record(**known), figures(stalls or {cause or "fill": 6.0}), cause, stage)


DECODE = StageRecord("decode", "map", "transform", work_s=8.0, cpu_s=8.0, parallelism=None)


class TestSentence:
    def test_waiting_for_a_stage(self) -> None:
        judged = verdict(naive())
        assert judged.sentence == "The accelerator waits 65 % of the time, for decode (transform)."
        assert (judged.bottleneck_phase, judged.bottleneck_stage) == ("transform", "decode")

    def test_waiting_for_reading(self) -> None:
        judged = verdict(naive(extract_s=0.05))
        assert judged.sentence == "The accelerator waits 89 % of the time, for interleave (extract)."

    def test_waiting_for_the_copy(self) -> None:
        judged = verdict(pipelined())
        assert judged.sentence == "The accelerator waits 21 % of the time, for the copy of batches to it (load)."
        assert (judged.bottleneck_phase, judged.bottleneck_stage) == ("load", None)

    def test_a_cause_of_less_than_half_is_not_called_the_only_one(self) -> None:
        judged = judge(naive(), figures({"extract": 2.0, "transform": 2.5, "load": 1.5}))
        assert judged.sentence == "The accelerator waits 60 % of the time, most of all for decode (transform)."

    def test_the_first_batches_count_only_where_they_outweigh_the_rest(self) -> None:
        assert judge(naive(), figures({"fill": 3.0, "transform": 2.9})).bottleneck_phase is None
        filling = judge(naive(), figures({"fill": 5.0, "transform": 1.0}, utilization_percent=83.0))
        assert filling.sentence == (
            "The accelerator waits 60 % of the run, most of all for the first batches (fill)."
        ), "not 17 %, which leaves the start out"
        assert judge(naive(), figures({"fill": 3.0, "transform": 2.0, "load": 1.5})).bottleneck_phase == "transform"

    @pytest.mark.parametrize(
        ("cause", "words"), [("refill", "fill again"), ("teardown", "to end"), ("overhead", "hand-")]
    )
    def test_other_causes(self, cause: str, words: str) -> None:
        judged = judge(naive(), figures({cause: 6.0}))
        assert words in judged.sentence
        assert (judged.bottleneck_phase, judged.bottleneck_stage) == (None, None)

    def test_a_pipeline_that_keeps_up(self) -> None:
        judged = verdict(pipelined(load_s=0.001, steps=40))
        assert judged == Verdict(
            "The input pipeline keeps up: the accelerator computes 97 % of the time.", None, None, ()
        )

    def test_a_pipeline_that_keeps_up_after_a_long_start_says_so(self) -> None:
        judged = judge(naive(), figures({"fill": 6.0, "load": 0.1}, utilization_percent=99.0))
        assert judged.sentence == (
            "The input pipeline keeps up: the accelerator computes 99 % of the time, "
            "once the first batch is there after 6 s."
        )

    def test_tables_name_the_same_cause_as_the_sentence(self) -> None:
        stalls = {"fill": 4.0, "extract": 3.0, "transform": 2.9}
        assert main_cause(stalls) == "extract"
        assert main_cause({"fill": 6.0, "extract": 3.0}) == "fill"
        assert (main_cause({"unattributed": 1.0}), main_cause({"fill": 0.0}), main_cause({})) == (
            "unattributed",
            None,
            None,
        )

    def test_without_a_consumer_the_sentence_is_about_throughput(self) -> None:
        judged = verdict(without_consumer())
        assert judged.sentence == "The pipeline gives 222 elements/s; decode (transform) limits it."
        assert (judged.bottleneck_phase, judged.bottleneck_stage) == ("transform", "decode")

    def test_without_a_consumer_hand_over_is_named(self) -> None:
        drained = replace(naive(), consumer=ConsumerInfo())
        assert judge(drained, figures({"overhead": 5.0, "transform": 1.0})).sentence == (
            "The pipeline gives 40 elements/s; it waits most of all for the hand-over of batches (overhead)."
        )

    def test_without_a_trace_the_cause_is_not_known(self) -> None:
        judged = verdict(untraced())
        assert judged.sentence == (
            "The accelerator waits 65 % of the time, for what is not known since no trace was taken; "
            "by the model's counts decode (transform) costs most."
        )
        bare = verdict(replace(untraced(), stages=()))
        assert bare.sentence.endswith("not known since no trace was taken.")
        assert (bare.bottleneck_phase, bare.bottleneck_stage) == (None, None)

    def test_without_anything_known_nothing_is_said(self) -> None:
        judged = verdict(replace(without_consumer(), stages=(), windows=(), intervals=no_steps().intervals))
        assert judged.sentence == "The pipeline gives 222 elements/s; what limits it is not known."

    def test_a_partial_run_says_so(self) -> None:
        assert verdict(partial()).sentence == (
            "Partial run (interrupted by the user): the accelerator waits 65 % of the time, for decode (transform)."
        )

    def test_no_batch_and_one_step(self) -> None:
        assert verdict(no_steps()).sentence == "No batch arrived: the pipeline raised before its first batch."
        assert (
            verdict(replace(no_steps(), partial_reason=None)).sentence
            == "No batch arrived: the pipeline has no elements."
        )
        asked_for_none = replace(no_steps(), partial_reason=None, partial=False, epochs=Epochs.empty())
        assert verdict(asked_for_none).sentence == "No step was asked for."
        assert verdict(one_step()).sentence == (
            "After 1 step the accelerator's utilization is not known: it leaves the first step out."
        )
        assert verdict(one_step()).advice == ()


class TestLimitingStage:
    def test_work_counts_for_each_thread(self) -> None:
        wide = StageRecord("wide", "map", "transform", work_s=8.0, parallelism="auto", parallelism_chosen=8)
        narrow = StageRecord("narrow", "map", "transform", work_s=2.0, parallelism=1)
        assert limiting_stage(record(stages=(wide, narrow)), "transform") is narrow

    def test_only_work_in_the_phase_counts(self) -> None:
        both = StageRecord("both", "map", "transform", work_s=9.0, phase_work_s={"extract": 1.0, "transform": 8.0})
        read = StageRecord("read", "interleave", "extract", work_s=2.0)
        run = record(stages=(read, both))
        assert limiting_stage(run, "extract") is read
        assert limiting_stage(run, "transform") is both
        assert limiting_stage(run, None) is both

    def test_none_without_work(self) -> None:
        assert limiting_stage(record(stages=(StageRecord("read", "interleave", "extract"),)), "extract") is None
        assert limiting_stage(record(), None) is None


class TestAdvice:
    def test_naive_gets_a_parallel_map_and_a_prefetch(self) -> None:
        assert verdict(naive()).advice == (
            "decode handles one element at a time and took 288 ms of the 688 ms: num_parallel_calls=AUTO spreads it "
            "over 4 cores.",
            "Nothing is made ready while the accelerator computes (one after another the phases take 688 ms, overlapped "
            f"{account(naive()).pipelined_bound_s * 1e3:g} ms): end the pipeline with prefetch(AUTO).",  # type: ignore[operator]
        )

    def test_a_map_that_tensorflow_made_parallel_or_on_one_core_is_left_alone(self) -> None:
        assert advise(case("transform", replace(DECODE, parallelism_chosen=2))) == ()
        one_core = replace(record().environment, cores=1.0)
        calm = replace(DECODE, cpu_s=1.0)
        assert advise(case("transform", calm, environment=one_core)) == ()

    def test_no_prefetch_is_advised_where_one_is_or_the_host_works_ahead_already(self) -> None:
        assert all("prefetch(AUTO)" not in text for text in verdict(pipelined()).advice)
        ahead = pipelined()
        without = replace(ahead, stages=tuple(s for s in ahead.stages if s.kind != "prefetch"))
        assert all("prefetch(AUTO)" not in text for text in verdict(without).advice)

    def test_python_in_a_map(self) -> None:
        slow = replace(DECODE, parallelism="auto", ops=(OpCost("EagerPyFunc", 9.0, 10), OpCost("Mul", 1.0, 10)))
        (text,) = advise(case("transform", slow))
        assert text.startswith("decode runs Python: EagerPyFunc is 90 % of its ops' work")
        assert advise(case("transform", replace(slow, ops=(OpCost("PyFunc", 1.0, 1), OpCost("Mul", 9.0, 1))))) == ()

    def test_sequential_reading_of_several_files(self) -> None:
        read = StageRecord("tfrecords", "tfrecords", "extract", work_s=4.0, cpu_s=3.0)
        (text,) = advise(case("extract", read))
        assert text.startswith("The 16 files are read one after another, and reading took 4 s: interleave(")
        lazy = StageRecord("interleave", "interleave", "extract", work_s=4.0, parallelism="auto", parallelism_chosen=1)
        (text,) = advise(case("extract", lazy))
        assert text == (
            "AUTOTUNE left interleave at one call at a time, and reading took 4 s: set num_parallel_calls and "
            "cycle_length; pipeline-opt probe says to what."
        )
        assert advise(case("extract", replace(lazy, parallelism_chosen=4))) == ()
        assert advise(case("extract", read, source=SourceInfo("one", "file", 1, 10))) == ()
        assert advise(case("extract", read, source=SourceInfo("unknown", "gs"))) == ()
        parallel = replace(read, kind="interleave", parallelism="auto")
        assert advise(case("extract", parallel)) == ()

    def test_slow_copy(self) -> None:
        steps = steps_of([(0.0, 0.01, 0.03, 0.07), (0.07, 0.08, 0.1, 0.14)])
        (text,) = advise(case("load", None, steps=steps))
        assert text.startswith("Copying a batch takes 20 ms of a step's 5 s")
        assert "prefetch_to_device" in text
        doubled = ConsumerInfo("accelerator", "", 0.04, double_buffered=True)
        (text,) = advise(case("load", None, steps=steps, consumer=doubled))
        assert text.startswith("A batch of 602 kB takes 20 ms to copy (30.1 MB/s)")

    def test_full_cores(self) -> None:
        busy = replace(DECODE, parallelism="auto", work_s=39.0, cpu_s=38.0, ops=(OpCost("DecodeJpeg", 3.0, 1),))
        (text,) = advise(case("transform", busy))
        assert text == (
            "The 4 cores are in use 95 % of the time: more threads cannot help, only less work for an element, "
            "above all DecodeJpeg (100 % of the ops of decode)."
        )

    def test_a_fixed_parallelism(self) -> None:
        (text,) = advise(case("transform", replace(DECODE, parallelism=2)))
        assert text.startswith("decode is held to num_parallel_calls=2 while the 4 cores are in use 20 % of the time")
        assert advise(case("transform", replace(DECODE, parallelism=4))) == ()

    def test_hand_over(self) -> None:
        handing = StageRecord("interleave", "interleave", "extract", overhead_s=2.1, parallelism="auto")
        (text,) = advise(case("overhead", handing))
        assert text.startswith("interleave spent 2.1 s handing elements from thread to thread")
        assert advise(case("overhead", replace(handing, overhead_s=None))) == ()

    def test_slow_start(self) -> None:
        shuffle = StageRecord("shuffle", "shuffle", "transform")
        (text,) = advise(case("fill", shuffle, first_batch_s=4.2))
        assert text.startswith("The first batch took 4.2 s of 10 s, as shuffle fills its buffer first")
        assert advise(case("fill", None, first_batch_s=4.2)) == ()

    def test_blocked_end(self) -> None:
        (text,) = advise(case(None, None, teardown_s=1.2))
        assert text.startswith("Ending the iterator took 1.2 s")
        assert advise(case(None, None, teardown_s=0.09)) == ()

    def test_no_more_than_two(self) -> None:
        slow: Record = simulate()
        assert len(verdict(replace(slow, teardown_s=5.0)).advice) == 2

    def test_share_of_the_cores_in_use(self) -> None:
        assert cores_used(record(wall_s=10.0, stages=(DECODE,))) == pytest.approx(0.2)
        assert cores_used(record(wall_s=10.0)) is None
        assert cores_used(record(stages=(DECODE,))) is None
