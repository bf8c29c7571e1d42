"""Forms that move work on single pixels behind what moves or drops pixels: `crop_first` and `cast_late`, both `exact`.

Each pixel goes through the same ops in the same order. Only ops are moved that round as IEEE 754 says, or do not round:
the last bits of others (`exp`, `tanh`, `pow`), and the sign of a zero or a NaN that a maximum gives, may depend on a pixel's
place in the array.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from pipeline_opt.build.forms.form import Refused
from pipeline_opt.build.forms.graph_edit import PASSING, Draft, data_inputs, tensor_name
from pipeline_opt.build.forms.graph_reach import foldings
from pipeline_opt.build.traced import Traced
from pipeline_opt.lazy import lazy_module

tf = lazy_module("tensorflow")

CROPS: Final = ("Slice", "StridedSlice")
MOVERS: Final = (*CROPS, "ReverseV2", "Transpose", "Reshape", "ExpandDims", "Squeeze")
"""Ops that give some or all values of their first input, in other places."""
MEASURES: Final = ("Shape", "Rank", "Size")
"""Ops that take nothing but the shape of their input."""
_UNARY: Final = (
    *("Abs", "Cast", "Ceil", "Floor", "LogicalNot", "Neg", "Relu", "Relu6", "Rint", "Round", "Sign", "Square"),
    *PASSING,
)
_BINARY: Final = (
    *("Add", "AddV2", "Div", "Equal", "Greater", "GreaterEqual", "Less", "LessEqual", "LogicalAnd", "LogicalOr"),
    *("Maximum", "Minimum", "Mul", "NotEqual", "RealDiv", "SquaredDifference", "Sub"),
)
_OF_INTEGERS: Final = ("ClipByValue", "Maximum", "Minimum", "Relu", "Relu6", "Sign")
"""Those that are moved only where they take integers: vector and scalar instructions choose otherwise between 0.0 and -0.0."""


def crop_first(function: Traced) -> Traced | Refused:
    """Crop before work on single pixels (casts, scaling), which is then done for what is kept alone.

    Preserves: exact.

    Args:
        function: A function of one element.
    """
    return _moved(function, _is_crop, _is_elementwise, "work on single pixels stands right before a crop")


def cast_late(function: Traced) -> Traced | Refused:
    """Cast to a wider type after crops, flips and reshapes, which then move fewer bytes.

    Preserves: exact.

    Args:
        function: A function of one element.
    """
    what = "cast to a wider type stands right before a crop, flip, transpose or reshape"
    return _moved(function, lambda _, node: node.op in MOVERS, _is_widening, what)


_Mover = Callable[[Draft, Any], bool]
_Worker = Callable[[Draft, Any, int, Any], bool]


def _moved(function: Traced, is_mover: _Mover, moves: _Worker, what: str) -> Traced | Refused:
    """Turn pairs of an op that `moves` and a mover after it around, until there is none."""
    draft, turned = Draft(function), 0
    folded = _pairs(draft)
    while pair := _pair(draft, is_mover, moves):
        _turn(draft, *pair)
        turned += 1
    if lost := folded - _pairs(draft):
        return Refused(f"it would part {' and '.join(min(lost))}, which TensorFlow makes one op of")
    if turned:
        _keep_apart(draft, folded)
        return draft.finished()
    return Refused(f"no {what}")


def _pairs(draft: Draft) -> set[tuple[str, str]]:
    return {(pair.first, pair.second) for pair in foldings(draft)}


def _keep_apart(draft: Draft, folded: set[tuple[str, str]]) -> None:
    """Put an op that lets everything through between two that TensorFlow would now make one of, and round otherwise."""
    for pair in foldings(draft):
        if (pair.first, pair.second) not in folded:
            tensor = pair.between[0]
            made = draft.insert("apart", lambda given: tf.raw_ops.Snapshot(input=given), [tensor])
            node = draft.nodes[pair.second]
            node.input[data_inputs(node).index(tensor)] = made[0]


def _is_crop(draft: Draft, node: Any) -> bool:
    """Whether a node crops, or puts an axis in front of what is then cropped, as `crop_to_bounding_box` does."""
    if node.op != "ExpandDims":
        return node.op in CROPS
    return draft.constant(node.input[1]) == 0 and any(other.op in CROPS for other, _ in draft.takers(f"{node.name}:0"))


def _pair(draft: Draft, is_mover: _Mover, moves: _Worker) -> tuple[Any, int, Any] | None:
    for mover in draft.nodes.values():
        if not is_mover(draft, mover):
            continue
        worker = draft.maker(data_inputs(mover)[0])
        if not _is_alone(draft, worker, mover):
            continue
        for place, given in enumerate(data_inputs(worker)):
            if draft.traced(given).shape.rank != 0 and moves(draft, worker, place, mover):
                return worker, place, mover
    return None


def _is_alone(draft: Draft, worker: Any, mover: Any) -> bool:
    """Whether a mover is all that takes an op's result, but for ops that measure it."""
    tensor = f"{worker.name}:0"
    takers = [node.name for node, _ in draft.takers(tensor) if node.op not in MEASURES]
    waiting = any(f"^{worker.name}" in node.input for node in draft.nodes.values())
    return takers == [mover.name] and tensor not in draft.results and not waiting


def _turn(draft: Draft, worker: Any, place: int, mover: Any) -> None:
    """Let the mover take what the op took at that place, the op what the mover gives, and others what the op then gives."""
    source = data_inputs(worker)[place]
    moved, worked = f"{mover.name}:0", f"{worker.name}:0"
    shape, kind = draft.traced(moved).shape, draft.traced(source).dtype
    for node, number in draft.takers(worked):
        node.input[number] = source
        node.attr["T"].type = kind.as_datatype_enum
    draft.redirect(moved, worked)
    worker.input[place] = moved
    mover.attr["T"].type = kind.as_datatype_enum
    draft.respecify(moved, shape, kind)
    draft.respecify(worked, shape, draft.traced(worked).dtype)


def _is_widening(draft: Draft, worker: Any, place: int, mover: Any) -> bool:
    cast = draft.maker(draft.origin(f"{worker.name}:0"))
    if cast.op != "Cast":
        return False
    given, made = (draft.traced(tensor).dtype for tensor in (data_inputs(cast)[0], f"{cast.name}:0"))
    return _is_safe_cast(given, made) and given.size < made.size


def _is_elementwise(draft: Draft, worker: Any, place: int, mover: Any) -> bool:
    """Whether an op works on each value of its input alone, so that the mover may come before it."""
    inputs = data_inputs(worker)
    if worker.op == "Cast":
        return _is_safe_cast(draft.traced(inputs[0]).dtype, draft.traced(f"{worker.name}:0").dtype)
    if worker.op in _OF_INTEGERS and not draft.traced(inputs[0]).dtype.is_integer:
        return False
    if worker.op in _UNARY:
        return True
    if worker.op == "EnsureShape":
        shape = tf.TensorShape(worker.attr["shape"].shape)
        return _keeps_channels(draft, mover) and all(size is None for size in (shape.as_list() or [None])[:-1])
    if worker.op not in (*_BINARY, "ClipByValue"):
        return False
    others = [tensor for number, tensor in enumerate(inputs) if number != place]
    return (worker.op in _BINARY or place == 0) and all(
        _is_everywhere_the_same(draft, t, inputs[place], mover) for t in others
    )


def _is_everywhere_the_same(draft: Draft, other: str, tensor: str, mover: Any) -> bool:
    """Whether an operand has one value for all pixels, or one for each channel where the crop keeps all channels."""
    operand, image = draft.traced(other).shape, draft.traced(tensor).shape
    if operand.rank == 0:
        return True
    if operand.rank is None or image.rank is None or operand.rank > image.rank:
        return False
    if operand.num_elements() == 1:
        return True
    return all(size == 1 for size in operand[:-1]) and operand[-1] == image[-1] and _keeps_channels(draft, mover)


def _keeps_channels(draft: Draft, mover: Any) -> bool:
    """Whether the shapes that were known when the function was traced say that a mover keeps the last axis whole."""
    if mover.op == "ExpandDims":
        return True
    before, after = (draft.traced(tensor).shape for tensor in (tensor_name(mover.input[0]), f"{mover.name}:0"))
    if before.rank is None or after.rank != before.rank:
        return False
    return _begins_at_0(draft, mover) or (before[-1] is not None and before[-1] == after[-1])


def _begins_at_0(draft: Draft, mover: Any) -> bool:
    """Whether a crop is one that `sample_distorted_bounding_box` has drawn: it keeps all channels."""
    makers = [draft.maker(draft.origin(tensor)) for tensor in data_inputs(mover)[1:3]]
    return mover.op == "Slice" and all("SampleDistortedBoundingBox" in maker.op for maker in makers)


def _is_safe_cast(given: Any, made: Any) -> bool:
    """Whether a cast gives the same for a value wherever it stands: one from floats to integers may not if out of range."""
    numbers = all(dtype.is_integer or dtype.is_floating or dtype.is_bool for dtype in (given, made))
    return bool(numbers and not (given.is_floating and not made.is_floating))
