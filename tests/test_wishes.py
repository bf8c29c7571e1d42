"""What may be asked of the optimizer, and what is said of what may not."""

from __future__ import annotations

import math
from typing import Any

import pytest

import pipeline_opt as po
from pipeline_opt.errors import UsageError
from pipeline_opt.tuner.wishes import Wishes

WRONG = [
    ("budget_s", 0),
    ("budget_s", -1.0),
    ("budget_s", math.inf),
    ("budget_s", math.nan),
    ("budget_s", "60s"),
    ("step_s", -0.1),
    ("step_rows", 0),
    ("epochs", 0),
    ("epochs", 1.5),
    ("epochs", True),
    ("memory_bytes", -5),
    ("memory_bytes", 0),
    ("memory_bytes", 1e9),
    ("seed", -1),
    ("bits", 1),
    ("order_free", "yes"),
]


@pytest.mark.parametrize(("name", "value"), WRONG, ids=[f"{name}={value!r}" for name, value in WRONG])
def test_what_is_out_of_range_is_said_before_anything_is_measured(name: str, value: Any) -> None:
    with pytest.raises(UsageError, match=f"^{name}=") as raised:
        Wishes(**{name: value})
    assert "valid: " in str(raised.value)
    with pytest.raises(UsageError, match=f"^{name}="):
        po.optimize(object(), **{name: value})


def test_an_unknown_argument_is_said_with_those_that_there_are() -> None:
    with pytest.raises(
        UsageError, match="does not know buget_s; valid: budget_s, memory_bytes, epochs, step_s, step_rows"
    ):
        po.optimize(object(), buget_s=60)


def test_what_is_within_is_kept() -> None:
    assert Wishes(5, 1 << 30, 3, 0.02, bits=True, order_free=True, seed=7).epochs == 3
