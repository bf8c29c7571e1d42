"""Where a function is cut in two, so that something may stand between: a cache, a shuffle, a batch.

Both splits are exact: the same ops in the same order, each in one part, but for constants.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any, Final

from pipeline_opt.build.forms.form import Refused
from pipeline_opt.build.forms.graph_cut import Split, cut
from pipeline_opt.build.forms.graph_edit import Draft, data_inputs, node_name
from pipeline_opt.build.forms.graph_reach import descendants, foldings, independent
from pipeline_opt.build.forms.smallest_cut import UNCUTTABLE, Network
from pipeline_opt.build.purity import TABLE_READ, purity_of_graph
from pipeline_opt.build.traced import Traced
from pipeline_opt.lazy import lazy_module

tf = lazy_module("tensorflow")
structure = lazy_module("tensorflow.python.data.util.structure")

_CHEAP: Final = (
    # One pass over the values, or less: done again for every epoch it costs next to nothing.
    *("Abs", "Add", "AddV2", "All", "Any", "Assert", "BroadcastTo", "Cast", "Ceil", "ClipByValue", "Concat"),
    *("ConcatV2", "DecodeRaw", "Div", "Equal", "EnsureShape", "ExpandDims", "Fill", "Floor", "FloorDiv"),
    *("FloorMod", "Greater", "GreaterEqual", "Identity", "IdentityN", "Less", "LessEqual", "LogicalAnd"),
    *("LogicalNot", "LogicalOr", "Maximum", "Minimum", "MirrorPad", "Mul", "Neg", "NotEqual", "OneHot"),
    *("OnesLike", "Pack", "Pad", "PadV2", "Prod", "Range", "Rank", "RealDiv", "Relu", "Reshape", "ReverseV2"),
    *("Rint", "Round", "Select", "SelectV2", "Shape", "Sign", "Size", "Slice", "Snapshot", "Split", "SplitV"),
    *(
        "Square",
        "Squeeze",
        "StopGradient",
        "StridedSlice",
        "StringFormat",
        "Sub",
        "Tile",
        "Transpose",
        "Unpack",
        "ZerosLike",
    ),
)
_SOURCE: Final = ":above"
_SINK: Final = ":below"
_UNKNOWN_SIDE: Final = 100
"""What an axis of unknown length is taken to be, when sizes are set side by side."""
_STRING_BYTES: Final = 256
_TENSOR_BYTES: Final = 64
"""What keeping one tensor more costs."""


def split_tail(function: Traced) -> Split | Refused:
    """Cut off what only makes a function's results larger: a cast to float, scaling, one-hot, padding.

    The cut is where the fewest bytes cross it, by the shapes that are known without running the function. All that has a
    state and all that costs more than a pass over the values stays in the head.

    Args:
        function: A function of one element, or of one batch.
    """
    draft = Draft(function)
    held = [node.name for node in draft.nodes.values() if draft.acts(node) or node.op not in _CHEAP]
    lower = _lower(draft, held, ())
    if not lower:
        return Refused("nothing at its end is only a cast, a scaling, one-hot or padding")
    split = cut(function, lower)
    if isinstance(split, Refused):
        return split
    before, after = (sum(map(_bytes, structure.get_flat_tensor_specs(part.gives))) for part in (split.head, split.tail))
    return (
        split
        if before < after
        else Refused(f"what would stand between is no smaller than its results ({before} bytes)")
    )


def split_random(function: Traced) -> Split | Refused:
    """Cut off what is random or has a state, and all that depends on it, so that the rest may be cached.

    Of what neither is random nor costs more than a pass over the values, as much is in the head as makes what crosses the
    cut smallest. What has a state stays in the tail, in the same order.

    Args:
        function: A function of one element, or of one batch.
    """
    draft = Draft(function)
    acting = [node.name for node in draft.nodes.values() if draft.acts(node)]
    if not acting:
        return Refused("nothing in it is random or has a state")
    lookups = [name for name in acting if draft.nodes[name].op in TABLE_READ]
    # A look-up is pure where its table cannot change, which only the whole graph of the head can tell.
    for drawn in dict.fromkeys((tuple(name for name in acting if name not in lookups), tuple(acting))):
        split = _split_random(draft, drawn)
        if isinstance(split, Refused) or purity_of_graph(split.head, split.head.concrete.graph).kind == "pure":
            return split
    return Refused("what does not depend on its random ops is not pure either")


def _split_random(draft: Draft, acting: Collection[str]) -> Split | Refused:
    if not acting:
        return Refused("nothing in it is random or has a state that can change")
    random = descendants(draft.nodes, acting)
    free = independent(draft)
    heavy = [
        n.name for n in draft.nodes.values() if n.op not in (*_CHEAP, "Placeholder") and n.name not in random | free
    ]
    if not heavy:
        return Refused("all of its work depends on what is random or has a state, or is only a pass over the values")
    lower = _lower(draft, heavy, random)
    return cut(draft.function, lower) if lower else Refused("its random ops are one with work that comes before others")


def _lower(draft: Draft, held: Collection[str], random: Collection[str]) -> set[str]:
    """The nodes below the cheapest cut that has some nodes above and others below it.

    Above the cut is whatever something above takes; a tensor that is taken below it costs its bytes, once.
    """
    network, free = Network(), independent(draft)
    tensors = {result for result in draft.results if node_name(result) not in free}
    for result in tensors:
        network.join(result, _SINK, UNCUTTABLE)
    for node in draft.nodes.values():
        taken = set() if node.name in free else {name for name in data_inputs(node) if node_name(name) not in free}
        for name in taken:
            network.join(node.name, node_name(name), UNCUTTABLE)
            network.join(name, node.name, UNCUTTABLE)
        tensors |= taken
    folded = {tensor for pair in foldings(draft) for tensor in pair.between}
    for tensor in tensors:
        network.join(node_name(tensor), tensor, UNCUTTABLE if tensor in folded else _bytes(draft.traced(tensor)))
    for name in {*held, *map(node_name, draft.function.arguments)} - free:
        network.join(_SOURCE, name, UNCUTTABLE)
    for name in random:
        network.join(name, _SINK, UNCUTTABLE)
    return set(draft.nodes) & network.sink_side(_SOURCE, _SINK)


def _bytes(tensor: Any) -> int:
    """About how much memory a tensor takes, by its shape and dtype."""
    sides = tensor.shape.as_list() if tensor.shape.rank is not None else [_UNKNOWN_SIDE] * 3
    count = math.prod(_UNKNOWN_SIDE if side is None else side for side in sides)
    return _TENSOR_BYTES + count * (_STRING_BYTES if tensor.dtype == tf.string else max(1, tensor.dtype.size))
