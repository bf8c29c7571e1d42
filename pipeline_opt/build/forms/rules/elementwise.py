"""Ops that work value by value, with broadcasting."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from pipeline_opt.build.forms.calls import Call, Rule
from pipeline_opt.build.forms.facts import Sum, greatest, least, product
from pipeline_opt.build.forms.values import (
    SMALL,
    Dense,
    Parts,
    Ragged,
    Same,
    Unliftable,
    Value,
    known_or,
    parts,
    rank_of,
    stacked,
    sum_of,
)
from pipeline_opt.lazy import lazy_module

tf = lazy_module("tensorflow")

_SUMS: Final[dict[str, Callable[[Sum, Sum], Sum]]] = {
    "Add": Sum.plus,
    "AddV2": Sum.plus,
    "Sub": lambda one, other: one.plus(other, -1),
    "Minimum": least,
    "Maximum": greatest,
    "Mul": product,
}
"""What is known of the result of an op on two whole numbers."""

_FOLDED: Final[dict[str, Callable[[Any, Any], Any]]] = {
    "Add": np.add,
    "AddV2": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "Minimum": np.minimum,
    "Maximum": np.maximum,
}

_EXACT: Final = (
    "Abs", "Neg", "Square", "Floor", "Ceil", "Round", "Rint", "Cast", "ZerosLike",
    "OnesLike", "Sqrt", "IsNan", "IsInf", "IsFinite", "LogicalNot", "Invert", "Real", "Imag", "Conj",
    "CheckNumerics", "CheckNumericsV2", "Add", "AddV2", "Sub", "Mul", "MulNoNan", "Div", "DivNoNan", "RealDiv",
    "TruncateDiv", "FloorDiv", "FloorMod", "Mod", "TruncateMod", "SquaredDifference", "Equal",
    "NotEqual", "Less", "LessEqual", "Greater", "GreaterEqual", "LogicalAnd", "LogicalOr", "BitwiseAnd", "BitwiseOr",
    "BitwiseXor", "LeftShift", "RightShift", "SelectV2", "PopulationCount",
)  # fmt: skip

_ROUNDED: Final = (
    "Minimum", "Maximum", "Relu", "Relu6", "Sign", "ClipByValue",
    "Exp", "Expm1", "Log", "Log1p", "Sin", "Cos", "Tan", "Sinh", "Cosh", "Tanh", "Asin", "Acos", "Atan", "Asinh",
    "Acosh", "Atanh", "Atan2", "Sigmoid", "Softplus", "Softsign", "Elu", "Selu", "LeakyRelu", "Rsqrt", "Erf", "Erfc",
    "Erfinv", "Ndtri", "Lgamma", "Digamma", "Pow", "Xdivy", "Xlogy", "Xlog1py", "ComplexAbs", "Angle", "Igamma",
    "Igammac", "Zeta", "NextAfter", "Polygamma", "Reciprocal", "Inv",
)  # fmt: skip
"""Vector instructions may compute these otherwise than the scalar ones that are used for the last few values of a tensor:
in the last bits, or with another sign of a zero or a NaN."""

_STRINGS: Final = (
    "StringLower", "StringUpper", "StringStrip", "RegexReplace", "StaticRegexReplace", "RegexFullMatch",
    "StaticRegexFullMatch", "StringLength", "StringToNumber", "StringToHashBucket", "StringToHashBucketFast",
    "StringToHashBucketStrong", "AsString", "EncodeBase64", "DecodeBase64", "UnicodeScript", "UnicodeTranscode",
    "DecodeCompressed", "DecodeCSV", "DecodeJSONExample", "Bucketize",
)  # fmt: skip
"""Ops on tensors of any shape; what else they take is one for all."""


def broadcast(call: Call) -> Sequence[Value]:
    """An op that broadcasts its inputs against each other."""
    entries = _entries(call)
    if entries is not None:
        return entries
    if call.ragged:
        frame, tensors = aligned_rows(call)
        return [frame.like(tensor) for tensor in call.again(*tensors)]
    if all(isinstance(value, Same) for value in call.inputs):
        return _known(call) or [Same(tensor) for tensor in call.again(*call.parameters())]
    rank = max(rank_of(value) for value in call.inputs)
    made = call.again(*(_raised(value, rank, call.rows) for value in call.inputs))
    return [_counted(call, tensor) if rank == 0 else Dense(tensor) for tensor in made]


def unary(call: Call) -> Sequence[Value]:
    """An op on the values of its first input, whose other inputs are the same for all rows."""
    first, parameters = call.inputs[0], call.parameters(1)
    if isinstance(first, Ragged):
        frame = first.compact
        return [frame.like(made) for made in call.again(frame.values, *parameters)]
    return [Dense(made) for made in call.again(stacked(first, call.rows), *parameters)]


def unchanged(call: Call) -> Sequence[Value]:
    """An op that gives what it takes."""
    return call.inputs


def equal_shapes(call: Call) -> Sequence[Value]:
    """An op whose inputs have one shape, or are scalars."""
    if call.ragged:
        frame, tensors = aligned_rows(call)
        tensors = [_filled(tensor, frame.values) for tensor in tensors]
        return [frame.like(tensor) for tensor in call.again(*tensors)]
    rank = max(rank_of(value) for value in call.inputs)
    tensors = [_raised(value, rank, call.rows) for value in call.inputs]
    if rank:
        frame_tensor = stacked(next(v for v in call.inputs if rank_of(v) == rank), call.rows)
    else:
        frame_tensor = next(value.tensor for value in call.inputs if isinstance(value, Dense))
    return [Dense(made) for made in call.again(*(_filled(tensor, frame_tensor) for tensor in tensors))]


def aligned_rows(call: Call) -> tuple[Ragged, list[Any]]:
    """Inputs, of which one at least has rows of their own lengths, as tensors with one entry for each value of it.

    Raises:
        Unliftable: They are not of the same lengths, or one would be broadcast along the axis whose length varies.
    """
    frame = next(value for value in call.inputs if isinstance(value, Ragged)).compact
    rank = frame.values.shape.rank
    if rank is None or any(value.shape.rank is None for value in call.inputs):
        raise Unliftable("the rank of an input is not known")
    return frame, [_beside(value, frame, rank, call.rows) for value in call.inputs]


def same_lengths(one: Ragged, other: Ragged) -> bool:
    """Whether two tensors are known to have rows of the same lengths."""
    return one.lengths is other.lengths or sum_of(one.lengths) == sum_of(other.lengths)


def _beside(value: Value, frame: Ragged, rank: int, rows: Any) -> Any:
    if isinstance(value, Ragged):
        if not same_lengths(value, frame):
            raise Unliftable(
                "it takes two tensors of which it is not known that their lengths are the same in each row"
            )
        if value.shape.rank != rank:
            raise Unliftable("it broadcasts along an axis whose length differs between elements")
        return value.compact.values
    shape = value.shape
    flat = shape.rank == rank and shape[0] == 1
    if shape.rank >= rank and not flat:
        raise Unliftable("it broadcasts along an axis whose length differs between elements")
    if isinstance(value, Same):
        return value.tensor[0] if flat else value.tensor
    tensor = tf.gather(stacked(value, rows)[:, 0] if flat else stacked(value, rows), frame.row_ids)
    missing = rank - tensor.shape.rank
    return _with_axes(tensor, missing) if missing else tensor


def _with_axes(tensor: Any, count: int) -> Any:
    """Axes of length 1 after the first."""
    return tensor[(slice(None), *[tf.newaxis] * count, ...)]


def _raised(value: Value, rank: int, rows: Any) -> Any:
    if isinstance(value, Same):
        return value.tensor
    missing = rank - rank_of(value)
    return _with_axes(stacked(value, rows), missing) if missing else stacked(value, rows)


def _filled(tensor: Any, frame: Any) -> Any:
    return tf.broadcast_to(tensor, tf.shape(frame))


def _known(call: Call) -> list[Value]:
    """The result of a few ops on whole numbers that are known: sizes and shapes that follow from them are known, then."""
    fold, dtype = _FOLDED.get(call.op.type), call.op.outputs[0].dtype
    known = [value.known for value in call.inputs if isinstance(value, Same)]
    if fold is None or not dtype.is_integer or any(value is None or value.size > SMALL for value in known):
        return []
    return [Same(tf.constant(fold(*known), dtype))]


def _counted(call: Call, tensor: Any) -> Value:
    """A whole number of each row, with what is known of it."""
    if not tensor.dtype.is_integer or tensor.dtype.size < 4:
        return Dense(tensor)
    inputs = [value for value in call.inputs if isinstance(value, Same | Dense)]
    if call.op.type in _SUMS and len(inputs) == 2:
        return known_or(_SUMS[call.op.type](sum_of(inputs[0]), sum_of(inputs[1])), tensor)
    if call.op.type == "Cast" and inputs[0].dtype.is_integer and inputs[0].dtype.size >= 4:
        return known_or(sum_of(inputs[0]), tensor)
    return Dense(tensor)


def _entries(call: Call) -> Sequence[Value] | None:
    """Entry by entry, where an input is a tensor of parts and the others are, or are scalars; else None."""
    if not any(isinstance(value, Parts) for value in call.inputs) or not call.op.outputs[0].dtype.is_integer:
        return None
    array = next(value.array for value in call.inputs if isinstance(value, Parts))
    each: list[Value] = []
    for place in np.ndindex(array.shape):
        inputs: list[Value] = []
        for value in call.inputs:
            if isinstance(value, Parts):
                if value.array.shape != array.shape:
                    return None
                inputs.append(value.array[place])
            elif isinstance(value, Same | Dense) and value.shape.rank == 0:
                inputs.append(value)
            else:
                return None
        each += broadcast(Call(call.op, tuple(inputs), call.rows))
    made: Any = np.empty(array.shape, object)
    made.flat = each
    return [parts(made, call.op.outputs[0].dtype)]


RULES: Final = {
    **{kind: Rule(broadcast, always=kind in _FOLDED) for kind in _EXACT},
    **{kind: Rule(broadcast, rounds=True, always=kind in _FOLDED) for kind in _ROUNDED},
    **{kind: Rule(unary) for kind in _STRINGS},
    **{kind: Rule(unchanged) for kind in ("Identity", "IdentityN", "StopGradient", "Snapshot", "PreventGradient")},
    "StringJoin": Rule(equal_shapes),
    "AddN": Rule(equal_shapes),
    "Substr": Rule(equal_shapes),
}
