"""What is said of a tuning: for people and as JSON."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import pytest

from pipeline_opt.errors import SourceError, UsageError
from pipeline_opt.functions import Function
from pipeline_opt.optimized import Optimized
from pipeline_opt.optimizer.facts import Facts, StageFacts
from pipeline_opt.optimizer.model import Prediction
from pipeline_opt.optimizer.rewrite import Declined, Rewrite
from pipeline_opt.optimizer.search import Search, Step
from pipeline_opt.plan import Plan
from pipeline_opt.profiler.accelerator import Accelerator
from pipeline_opt.sources import TFRecords
from pipeline_opt.stages import Batch, Map, Prefetch
from pipeline_opt.storage.measured import Latency, StorageProfile
from pipeline_opt.tuner.bootstrap import Interval
from pipeline_opt.tuner.decision import Decision
from pipeline_opt.tuner.optimize import Tuning
from pipeline_opt.tuner.proof import Equality
from pipeline_opt.tuner.trials import Candidate, Contest, Dropped

PARSE = Function("package:parse")
GIVEN = Plan(TFRecords(paths=("a",)), (Map(function=PARSE), Batch(batch_size=2)))
AFTER = dataclasses.replace(GIVEN, stages=(*GIVEN.stages, Prefetch(buffer_size=2)))
SLOW, FAST = (Prediction(1.0, 1.0, "cores", (), 0.0, seconds) for seconds in (2.0, 1.0))
STEP = Step("prefetch", "the step waits", Rewrite(AFTER, "prefetch", "prefetch 2 batches"), SLOW, FAST)
OVER = Interval(1.9, 1.5, math.inf, 4)


def tuning(**changes: object) -> Tuning:
    decision = Decision("plan 1", True, OVER, None, "plan 1 is faster: 1.90x of given")
    trials = Contest((Candidate("given"), Candidate("autotune", dropped=Dropped("memory", "it grew"))), 1.0, 4, 0)
    declined = Search((), (("cache", Declined("map", "it does not fit")),))
    proof = Equality(True, 40, True)
    made = Tuning(GIVEN, AFTER, None, (STEP,), decision, trials, proof, Facts(), declined)
    return dataclasses.replace(made, **changes)  # type: ignore[arg-type]


def test_it_tells_the_change_with_its_reason_its_prediction_and_its_measurement() -> None:
    said = Optimized(tuning()).explain()
    assert said.startswith("plan 1 is faster: 1.90x of given\n")
    assert "1. prefetch 2 batches\n     why: the step waits\n" in said
    assert "preserves: exact; throughput predicted 2.00, measured 1.90 [1.50, no end known]" in said
    assert said.endswith("proof: the same, all 40 elements, in order")


def test_several_changes_have_the_measurements_of_each() -> None:
    said = Optimized(tuning(steps=(STEP, STEP), along=(OVER, Interval(1.1, 0.9, 1.2, 3)))).explain()
    assert "measured 1.10 [0.90, 1.20]" in said
    assert "measured" not in Optimized(tuning(steps=(STEP, STEP))).explain()


def test_what_was_declined_is_told_where_it_is_asked_for() -> None:
    assert "does not fit" not in Optimized(tuning()).explain()
    assert "cache: map: it does not fit" in Optimized(tuning()).explain(declined=True)


def test_what_was_faster_and_is_not_used_is_told() -> None:
    found = Optimized(tuning(refused={"plan 2": "different"}))
    assert "not used: plan 2, which was faster: different" in found.explain()
    assert found.summary()["refused"] == {"plan 2": "different"}


def test_its_numbers_are_json_that_every_reader_takes() -> None:
    numbers = Optimized(tuning()).summary()
    again = json.loads(json.dumps(numbers, allow_nan=False))
    assert again["over_given"] == {"value": 1.9, "low": 1.5, "high": None}
    assert again["changes"][0]["rule"] == "prefetch"
    assert again["trials"]["autotune"]["dropped"] == "it grew"
    assert again["declined"] == [{"rule": "cache", "stage": "map", "reason": "it does not fit"}]


def test_what_if_is_predicted_by_the_facts_that_were_measured() -> None:
    best = Optimized(tuning(facts=Facts(cores=2.0, stages={"tfrecords": StageFacts(bytes_out=1000.0, files=4)})))
    assert best.what_if(cores=8).rows_per_s >= best.what_if().rows_per_s
    assert best.what_if(accelerator="2s").rows_per_s == pytest.approx(1.0)
    # Batches of 2 in place of the preset's larger ones take as much less.
    preset = Accelerator.preset("h100-resnet50")
    assert preset.batch_size is not None
    assert best.what_if(accelerator=preset).rows_per_s == pytest.approx(preset.batch_size / preset.step_s)
    with pytest.raises(UsageError, match="valid: cores, memory_bytes"):
        best.what_if(rams=1)


def test_what_if_the_files_were_in_a_storage_that_was_probed(tmp_path: Path) -> None:
    best = Optimized(tuning(facts=Facts(stages={"tfrecords": StageFacts(bytes_out=1000.0, files=4)})))
    far = StorageProfile(
        "gs://bucket", "tf", "a client", "2026-01-01", warm=Latency((0.1, 0.3)), stream_bytes_per_s=1000.0
    )
    (tmp_path / "probe.json").write_text(json.dumps(far.to_json()))
    assert best.what_if(storage=tmp_path / "probe.json").rows_per_s == pytest.approx(1.0, rel=0.01)
    assert best.what_if(storage=far) == best.what_if(storage=tmp_path / "probe.json")
    with pytest.raises(UsageError, match="no rate of a stream is known"):
        best.what_if(storage=dataclasses.replace(far, stream_bytes_per_s=None))
    with pytest.raises(SourceError, match="cannot be read"):
        best.what_if(storage=tmp_path / "other.json")
