"""What `benchmarks/held.py` says of what it measured, without running a pipeline."""

from __future__ import annotations

import sys
from pathlib import Path
from unittest.mock import ANY

import pytest
import tensorflow as tf

sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))

import held
from suite.fullest import FILLING, QUICK, Fullest, fullest

pytestmark = pytest.mark.tf


def of(grown: int) -> held.Held:
    return held.Held("jpeg", "given", 100.0, grown, 110)


def test_it_counts_who_is_near_and_who_holds_too_much() -> None:
    assert held.sentence([of(79), of(120), of(100)]) == (
        "3 plans: grown over predicted 1.00 in the median, 0.79 to 1.20; 2 within 20%, 1 above what they may hold"
    )


def test_the_worst_comes_last() -> None:
    table = held.report([of(40), of(100), of(180)])
    assert list(table.columns[-1].cells) == ["1.00", "1.80", "0.40"]


def test_a_plan_whose_process_fails_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held, "to_toml", lambda plan: "not a plan")
    found = type("Found", (), {"plan": None, "steps": ()})()
    with pytest.raises(RuntimeError, match=r"given: its process failed: .*not valid TOML"):
        held._held(found, 1, tmp_path / "plan.toml", {})


def test_buffers_are_full_once_a_slow_consumer_has_taken_some_batches() -> None:
    small = tf.data.Dataset.range(QUICK + FILLING)
    assert fullest(lambda: small, 1, 0.0).is_full
    assert fullest(lambda: small.take(QUICK + FILLING - 1), 1, 9.0) == Fullest(ANY, FILLING - 1)
    assert not Fullest(0, FILLING - 1).is_full
    # An epoch before it is taken as it comes. It goes on no longer than that.
    assert fullest(lambda: small, 5, 0.0) == Fullest(ANY, FILLING)
    assert fullest(small.repeat, 1, 0.0).batches == FILLING
