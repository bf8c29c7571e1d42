"""Checks of what a function is given: that one row fails is that the batch fails."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from pipeline_opt.build.forms.calls import Call, Rule
from pipeline_opt.build.forms.values import Ragged, Value, stacked
from pipeline_opt.lazy import lazy_module

tf = lazy_module("tensorflow")


def check(call: Call) -> Sequence[Value]:
    """`tf.debugging.Assert` of all rows."""
    condition, *data = call.inputs
    holds = _whole(condition, call.rows)
    if call.active is not None:
        holds |= ~call.active
    call.again(tf.reduce_all(holds), *(_whole(value, call.rows) for value in data))
    return []


def _whole(value: Value, rows: Any) -> Any:
    return value.compact.values if isinstance(value, Ragged) else stacked(value, rows)


RULES: Final = {"Assert": Rule(check, always=True)}
