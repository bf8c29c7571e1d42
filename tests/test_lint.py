"""`po.lint`: what slows a pipeline down or does harm, each alone. No times are asserted."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf

import pipeline_opt as po
from pipeline_opt.tuner import bench
from pipeline_opt.tuner.lint import Lint
from pipeline_opt.tuner.trials import Candidate, Contest, Dropped
from pipeline_opt.tuner.turns import Stretch, Turn

pytestmark = [pytest.mark.tf, pytest.mark.filterwarnings("ignore::pipeline_opt.errors.PlanWarning")]


def costly(x: Any) -> Any:
    return x, tf.reduce_sum(tf.sqrt(tf.range(2000.0) + tf.cast(x, tf.float32)))


def of_python(x: Any, y: Any) -> Any:
    return x, tf.numpy_function(lambda v: v, [y], tf.float32)


def wrong() -> Any:
    rows = tf.data.Dataset.range(400).map(costly).filter(lambda x, _: x % 8 == 0).map(of_python)
    return rows.shuffle(50).cache().batch(10)


def contests(patch: pytest.MonkeyPatch, seconds: Callable[[str], float | None], out: Dropped | None = None) -> None:
    """What trials come to: every round the same seconds for a name; None for what was not tried. All but `given` may be out."""

    def contest(datasets: Mapping[str, Any], **_: Any) -> Contest:
        made = []
        for name in datasets:
            each = seconds(name)
            turns = () if each is None else tuple(Turn(number, (Stretch(100, each),)) for number in range(4))
            made.append(Candidate(name, (), turns, None if name == "given" else out))
        return Contest(tuple(made), 1.0, 4, 0)

    patch.setattr(bench, "contest", contest)


def found(pipeline: Any, **wishes: Any) -> Lint:
    return po.lint(pipeline, **{"budget_s": 4, **wishes})


def test_it_names_harm_python_and_what_would_be_faster_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    contests(monkeypatch, lambda name: 2.0 if name == "given" else 1.0)
    seen = found(wrong()).findings
    rules = [finding.rule for finding in seen]
    assert rules[0] == "order"
    assert any(f.rule == "order" and f.stage == "cache" and "every later epoch repeats it" in f.what for f in seen)
    python = next(f for f in seen if f.rule == "python")
    assert python.stage == "of_python"
    assert "rows a second at the most" in python.what
    early = next(f for f in seen if f.rule == "early_filter")
    assert (early.stage, early.preserves) == ("filter", "exact")
    assert early.predicted is not None
    assert early.predicted > 1
    assert early.measured is not None
    assert early.measured.value == pytest.approx(2.0)


def of_two() -> Any:
    """A filter that could ask earlier, and files that could be read in turn: two things to mend."""
    rows = tf.data.Dataset.range(400).map(costly).map(lambda x, y: (x, y * 2)).filter(lambda x, _: x % 8 == 0)
    return rows.batch(10)


def test_what_brings_the_most_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    contests(monkeypatch, lambda name: 100.0 if name == "given" else 60.0 - int(name))
    measured = [f.measured.value for f in found(of_two()).findings if f.measured is not None]
    assert len(measured) > 1
    assert measured == sorted(measured, reverse=True)
    assert len(set(measured)) == len(measured)


def test_what_was_measured_to_slow_it_down_is_no_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    contests(monkeypatch, lambda name: 1.0 if name == "given" else 2.0)
    assert not [f for f in found(of_two()).findings if f.predicted is not None]


def test_why_something_was_not_measured_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    contests(monkeypatch, lambda name: 1.0 if name == "given" else None)
    assert all("not measured: the time was over" in str(f) for f in found(of_two()).findings if f.predicted is not None)
    contests(monkeypatch, lambda name: 1.0 if name == "given" else None, Dropped("memory", "it grew by 9 GB"))
    slow = [f for f in found(of_two()).findings if f.predicted is not None]
    assert slow
    assert all("not measured: it grew by 9 GB" in str(f) for f in slow)
    assert [f.summary()["unmeasured"] for f in slow] == ["it grew by 9 GB"] * len(slow)


def test_what_took_too_much_memory_is_not_praised_for_the_rounds_before(monkeypatch: pytest.MonkeyPatch) -> None:
    contests(monkeypatch, lambda name: 4.0 if name == "given" else 1.0, Dropped("memory", "it grew by 9 GB"))
    slow = [f for f in found(of_two()).findings if f.predicted is not None]
    assert slow
    assert all(f.measured is None and "not measured: it grew by 9 GB" in str(f) for f in slow)


def test_python_and_costly_maps_are_found_wherever_they_stand(monkeypatch: pytest.MonkeyPatch) -> None:
    contests(monkeypatch, lambda name: 2.0 if name == "given" else 1.0)
    part = tf.data.Dataset.range(100).map(costly).map(of_python)
    seen = found(tf.data.Dataset.zip((part, tf.data.Dataset.range(100))).batch(4)).findings
    assert [f.stage for f in seen if f.rule == "python"] == ["in0_of_python"]
    inside = tf.data.Dataset.range(4).interleave(lambda n: tf.data.Dataset.range(50).map(costly), cycle_length=2)
    assert "vectorise" in [f.rule for f in found(inside.batch(10), budget_s=8).findings]


def test_a_pipeline_without_a_flaw() -> None:
    seen = found(tf.data.Dataset.range(100).batch(10).prefetch(2))
    assert not [f for f in seen.findings if f.rule in ("order", "python")]


def test_what_writes_snapshots_is_not_run(tmp_path: Path) -> None:
    seen = found(tf.data.Dataset.range(40).snapshot(str(tmp_path / "s")).batch(4))
    assert "it writes files where the user said" in seen.note
    assert not list(tmp_path.iterdir())


def test_its_numbers_are_json(monkeypatch: pytest.MonkeyPatch) -> None:
    contests(monkeypatch, lambda name: 2.0 if name == "given" else 1.0)
    again = json.loads(json.dumps(found(wrong()).summary(), allow_nan=False))
    assert again["schema"] == 1
    assert {"rule", "stage", "what", "why", "preserves", "predicted", "measured"} == set(again["findings"][0])
