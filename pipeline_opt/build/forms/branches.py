"""Branches that are taken for some elements and not for others: both are computed for all rows, and one is chosen."""

from __future__ import annotations

from typing import Any, Final

from pipeline_opt.build.forms.calls import Call
from pipeline_opt.build.forms.values import Dense, Ragged, Same, Unliftable, Value, stacked
from pipeline_opt.lazy import lazy_module

tf = lazy_module("tensorflow")

_HARMLESS: Final = frozenset((
    "Const", "Identity", "IdentityN", "StopGradient", "NoOp", "Assert", "Placeholder", "Cast", "Shape", "Size",
    "Rank", "Fill", "ZerosLike", "OnesLike", "Abs", "Neg", "Sign", "Square", "Floor", "Ceil", "Round", "Rint",
    "Relu", "Relu6", "Sqrt", "Rsqrt", "Exp", "Expm1", "Log", "Log1p", "Sin", "Cos", "Tan", "Tanh", "Sigmoid",
    "Softplus", "Elu", "Selu", "LeakyRelu", "Erf", "IsNan", "IsInf", "IsFinite", "LogicalNot", "LogicalAnd",
    "LogicalOr", "Equal", "NotEqual", "Less", "LessEqual", "Greater", "GreaterEqual", "Add", "AddV2", "Sub", "Mul",
    "RealDiv", "DivNoNan", "MulNoNan", "Minimum", "Maximum", "SquaredDifference", "SelectV2", "ClipByValue",
    "StringLower", "StringUpper", "StringStrip", "StaticRegexReplace", "StaticRegexFullMatch", "StringLength",
    "StringJoin", "AsString", "StringToHashBucketFast", "StringToHashBucketStrong", "LookupTableFindV2", "Reshape",
    "ExpandDims", "Squeeze", "Transpose", "Pack", "Unpack", "ConcatV2", "Tile", "Pad", "PadV2", "ReverseV2", "Sum",
    "Mean", "Max", "Min", "Prod", "All", "Any", "OneHot", "Softmax", "MatMul", "BatchMatMulV2", "StridedSlice",
))  # fmt: skip
"""Ops that do not fail for the values of rows that take the other branch, where all shapes are fixed."""


_OF_ANY_LENGTH: Final = ("Assert", "Identity")
"""Those of them that do not fail for rows of any lengths either."""


def require_harmless(call: Call) -> None:
    """Refuse an op of a branch that may fail for rows that do not take it.

    Raises:
        Unliftable: It may.
    """
    if call.op.type not in _HARMLESS:
        raise Unliftable("it stands in a branch that not every element takes, and may fail for the others")
    if call.ragged and call.op.type not in _OF_ANY_LENGTH:
        raise Unliftable("it stands in a branch that not every element takes, and lengths differ between elements")
    told = call.inputs[:1] if call.op.type == "Fill" else call.inputs[1:]
    places = any(not isinstance(value, Same) for value in told)
    if places and call.op.type in ("StridedSlice", "Reshape", "Tile", "Pad", "PadV2", "Fill", "OneHot"):
        raise Unliftable("it stands in a branch that not every element takes, and may fail for the others")


def truth(condition: Value, rows: Any) -> Any:
    """Which rows a condition holds for, bool of shape (rows,).

    Raises:
        Unliftable: It is no scalar.
    """
    if isinstance(condition, Ragged) or condition.shape.rank != 0:
        raise Unliftable("its condition is no scalar")
    tensor = stacked(condition, rows)
    if tensor.dtype == tf.bool:
        return tensor
    return tf.strings.length(tensor) > 0 if tensor.dtype == tf.string else tensor != 0


def chosen(taken: Any, one: Value, other: Value, rows: Any) -> Value:
    """The one value where a condition holds, the other where it does not.

    Raises:
        Unliftable: They differ in shape.
    """
    if isinstance(one, Ragged) or isinstance(other, Ragged):
        raise Unliftable("the length of what it gives differs between elements")
    if not one.shape.is_fully_defined() or one.shape != other.shape:
        raise Unliftable("its branches give tensors of different shapes")
    shape = [-1, *[1] * one.shape.rank]
    return Dense(tf.where(tf.reshape(taken, shape), stacked(one, rows), stacked(other, rows)))
