"""Functions beside each other: each of an element of its own."""

from __future__ import annotations

import pytest

from pipeline_opt.errors import FunctionError
from pipeline_opt.functions import Function
from pipeline_opt.optimizer.facts import Facts, FunctionFacts
from pipeline_opt.plan import Plan
from pipeline_opt.sources import TFRecords
from pipeline_opt.stages import Map
from pipeline_opt.text import to_toml


def double(value: int) -> int:
    return 2 * value


def both(one: int, other: int) -> tuple[int, int]:
    return other, one


DOUBLE, BOTH = Function.of(double), Function.of(both)


def test_each_gets_its_element_as_tf_data_would_hand_it_over() -> None:
    beside = Function.beside(DOUBLE, BOTH, None).load()
    assert beside(3, (1, 2), "as it is") == (6, (2, 1), "as it is")
    with pytest.raises(ValueError, match="zip"):
        beside(3)


def test_they_are_equal_where_their_functions_are() -> None:
    assert Function.beside(DOUBLE, None) == Function.beside(DOUBLE, None)
    assert len({Function.beside(DOUBLE, None), Function.beside(DOUBLE, None), Function.beside(None, DOUBLE)}) == 2
    assert Function.beside(DOUBLE) != Function.chain(DOUBLE)
    assert Function.beside(DOUBLE, None, BOTH).label == "double beside both"


def test_what_is_known_of_them_is_what_is_known_of_each() -> None:
    one = FunctionFacts("pure", cpu_s=1.0, bytes_out=100.0)
    other = FunctionFacts("random", "it draws", cpu_s=2.0, wait_s=3.0, bytes_out=10.0, python=True)
    facts = Facts(functions={DOUBLE: one, BOTH: other})
    found = facts.of(Function.beside(DOUBLE, None, BOTH))
    assert (found.purity, found.evidence, found.cpu_s, found.wait_s, found.bytes_out) == (
        "random",
        "it draws",
        3.0,
        3.0,
        110.0,
    )
    assert found.python
    assert facts.looked_at(Function.beside(DOUBLE, BOTH))
    assert not facts.looked_at(Function.beside(DOUBLE, Function.of(len)))
    # One after another, only what the last one gives is there.
    assert facts.of(Function.chain(DOUBLE, BOTH)).bytes_out == 10.0


def test_they_cannot_be_written() -> None:
    plan = Plan(TFRecords(paths=("a",)), (Map(name="decode", function=Function.beside(DOUBLE, BOTH)),))
    with pytest.raises(FunctionError, match="decode: double beside both cannot be written"):
        to_toml(plan)
