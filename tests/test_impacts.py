"""The arithmetic of the overhead benchmark, on a pipeline whose disturbances are known."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(scope="module")
def impacts() -> ModuleType:
    spec = importlib.util.spec_from_file_location("impacts", BENCHMARKS / "impacts.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["impacts"] = module
    spec.loader.exec_module(module)
    return module


def test_a_pause_is_lost(impacts: ModuleType) -> None:
    # An element every 1 ms; after 1 s and after 2 s nothing for 5 ms.
    done = np.arange(3000) * 1e-3
    for pause in (1.0, 2.0):
        done[done > pause] += 0.005
    assert impacts.lost_s(done, np.array([1.0, 2.0]), 0.1) == pytest.approx([0.005, 0.005], rel=0.02)


def test_a_machine_that_slows_down_evenly_costs_nothing(impacts: ModuleType) -> None:
    rate = np.linspace(1000, 500, 3000)
    done = np.cumsum(1 / rate)
    assert impacts.lost_s(done, np.array([1.5]), 0.1) == pytest.approx([0.0], abs=0.001)


def test_moments_without_time_around_them_are_left_out(impacts: ModuleType) -> None:
    done = np.arange(1000) * 1e-3
    assert len(impacts.lost_s(done, np.array([0.05, 0.5, 0.95]), 0.1)) == 1


def test_moments_near_others_are_left_out(impacts: ModuleType) -> None:
    moments = np.array([0.0, 0.9, 1.1, 1.6])
    assert list(impacts.away_from(moments, np.array([1.0]), 0.2, 0.5)) == [0.0, 1.6]
    assert list(impacts.away_from(moments, np.array([]), 0.2, 0.5)) == list(moments)
