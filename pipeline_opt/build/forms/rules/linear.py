"""Products of matrices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from pipeline_opt.build.forms.calls import Call, Rule
from pipeline_opt.build.forms.values import Dense, Ragged, Same, Unliftable, Value, stacked
from pipeline_opt.lazy import lazy_module

tf = lazy_module("tensorflow")


def matmul(call: Call) -> Sequence[Value]:
    """The product of two matrices."""
    one, other = call.inputs
    first, second = call.attr("transpose_a"), call.attr("transpose_b")
    if isinstance(one, Ragged) and isinstance(other, Same) and not first:
        frame = one.compact
        return [frame.like(tf.linalg.matmul(frame.values, other.tensor, transpose_b=second))]
    if isinstance(one, Dense) and isinstance(other, Same) and not first and one.shape.is_fully_defined():
        return [Dense(_by_one(one, other.tensor, second))]
    tensors = (_matrices(value, call.rows) for value in (one, other))
    return [Dense(tf.linalg.matmul(*tensors, transpose_a=first, transpose_b=second))]


def _by_one(one: Dense, other: Any, transpose: bool) -> Any:
    """All rows' matrices in one product."""
    height, width = one.shape.as_list()
    made = tf.linalg.matmul(tf.reshape(one.tensor, [-1, width]), other, transpose_b=transpose)
    return tf.reshape(made, [-1, height, *made.shape[1:]])


def _matrices(value: Value, rows: Any) -> Any:
    return value.tensor if isinstance(value, Same) else stacked(value, rows)


def batch_matmul(call: Call) -> Sequence[Value]:
    """The products of matrices along further axes, with broadcasting."""
    rank = max(value.shape.rank or 0 for value in call.inputs)
    tensors = []
    for value in call.inputs:
        if value.shape.rank is None:
            raise Unliftable("the rank of an input is not known")
        tensor = _matrices(value, call.rows)
        missing = 0 if isinstance(value, Same) else rank - value.shape.rank
        tensors.append(tensor[(slice(None), *[tf.newaxis] * missing, ...)] if missing else tensor)
    return [Dense(call.again(*tensors)[0])]


def einsum(call: Call) -> Sequence[Value]:
    """A sum of products, with one more letter for the rows."""
    equation = call.attr("equation").decode()
    if "." in equation:
        raise Unliftable("its equation has an ellipsis")
    given, result = equation.split("->")
    letter = next(letter for letter in "zyxwvutsrqponmlkjihgfedcbaZYXWVUTSRQPONMLKJIHGFEDCBA" if letter not in equation)
    terms, tensors = [], []
    for term, value in zip(given.split(","), call.inputs, strict=True):
        terms.append(term if isinstance(value, Same) else letter + term)
        tensors.append(_matrices(value, call.rows))
    return [Dense(tf.einsum(f"{','.join(terms)}->{letter}{result}", *tensors))]


RULES: Final = {
    "MatMul": Rule(matmul, rounds=True),
    "BatchMatMul": Rule(batch_matmul, rounds=True),
    "BatchMatMulV2": Rule(batch_matmul, rounds=True),
    "Einsum": Rule(einsum, rounds=True),
}
