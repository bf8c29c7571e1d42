"""What a dataset's own serialized graph says of its stages: names, kinds, functions and knobs, of any tf.data.Dataset."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline_opt.errors import PlanError
from pipeline_opt.lazy import lazy_module

tf = lazy_module("tensorflow")
np = lazy_module("numpy")
message = lazy_module("google.protobuf.message")

KINDS = {
    "TFRecord": "tfrecords",
    "TextLine": "text",
    "FixedLengthRecord": "fixed_length",
    "TensorSlice": "tensors",
    "Tensor": "tensors",
    "Generator": "generator",
    "ParallelInterleave": "interleave",
    "DirectedInterleave": "sample",
    "ParallelMap": "map",
    "ParallelFilter": "filter",
    "ParallelBatch": "batch",
    "MapAndBatch": "batch",
    "GroupByWindow": "bucket_by_sequence_length",
    "ShuffleAndRepeat": "shuffle",
}
"""Names of tf.data's graph ops, without `Dataset` and version, that differ from the method's name."""

PARALLELISM_INPUT = {"ParallelMapDataset": -1, "ParallelInterleaveDataset": -1, "ParallelBatchDataset": 2}
"""Where, among an op's inputs, its num_parallel_calls stands."""

COUNT_INPUT = {"RepeatDataset": 1, "TakeDataset": 1, "ShuffleAndRepeatDataset": 4}
"""Where, among an op's inputs, it is said how often or how many; -1: without end."""

_FUNCTION = re.compile(r"__inference_Dataset_(?:flat_map|group_by_window|take_while|[a-z]+)_(.+)_\d+")
_NAMELESS = re.compile(r"lambda|class[\w.]*\.\w+|key_func_wrapper")
"""What TensorFlow calls a lambda, an object (`class`, its module and its class), and what it wraps itself."""


@dataclass(frozen=True)
class Node:
    """One dataset op of a graph.

    Args:
        label: The name that trace events carry: the user's `name=`, or the op with a number.
        kind: The stage kind, in the words of tf.data's methods.
        function: The name of the user's Python function, "" if it has none or only a lambda.
        parallelism: A number, "auto", or None for a sequential op.
        key: The op's name in the graph.
        inputs: The keys of the dataset ops that it takes from.
        count: Of a repeat how often, of a take how many; -1: without end; None where it is no number or something else.
        ends_with_first: Whether it ends as soon as one of its inputs does.
    """

    label: str
    kind: str
    function: str
    parallelism: int | str | None
    key: str = ""
    inputs: tuple[str, ...] = ()
    count: int | None = None
    ends_with_first: bool = False


def nodes_of(dataset: Any) -> list[Node]:
    """The dataset ops of a dataset, sources first; empty if it cannot be serialized (it wraps an iterator, say)."""
    try:
        graph = serialized(dataset)
    except PlanError:
        return []
    by_name = {node.name: node for node in graph.node}
    found = generators(graph)
    return [_node(node, by_name, found) for node in _in_order(graph, by_name)]


def serialized(dataset: Any) -> Any:
    """The `GraphDef` of a dataset, with its functions, tables and variables.

    Raises:
        PlanError: It cannot be serialized: it wraps an iterator, or holds more than 2 GB of constants.
    """
    try:
        return tf.compat.v1.GraphDef.FromString(dataset._as_serialized_graph().numpy())
    except (tf.errors.OpError, NotImplementedError, AttributeError, message.Error) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[-1]
        raise PlanError(f"the dataset cannot be serialized: {reason}") from error


def kind_of(op: str) -> str:
    """The method's name for a graph op: `ParallelMapDatasetV2` gives `map`.

    >>> kind_of("ParallelMapDatasetV2"), kind_of("PaddedBatchDatasetV2")
    ('map', 'padded_batch')
    """
    bare = re.sub(r"V\d+$", "", op).replace("Dataset", "")
    return KINDS.get(bare) or re.sub(r"(?<=[a-z])(?=[A-Z])", "_", bare).lower()


def _in_order(graph: Any, by_name: dict[str, Any]) -> Iterator[Any]:
    """Dataset ops from the sources to the result, each once; a depth-first walk without recursion."""
    result = next((node for node in graph.node if node.op == "_Retval"), graph.node[-1])
    seen: set[str] = set()
    stack: list[tuple[Any, bool]] = [(result, False)]
    while stack:
        node, done = stack.pop()
        if done:
            if "Dataset" in node.op:
                yield node
            continue
        if node.name in seen:
            continue
        seen.add(node.name)
        stack.append((node, True))
        inputs = (by_name.get(bare(name)) for name in reversed(node.input))
        stack.extend((i, False) for i in inputs if i is not None)


def bare(name: str) -> str:
    """The name of the op that gives a tensor, or that a control input waits for."""
    return name.lstrip("^").partition(":")[0]


def generators(graph: Any) -> frozenset[str]:
    """Names of the functions that make a dataset of a Python generator: `from_generator` is a flat_map of such a one."""
    functions = graph.library.function
    return frozenset(f.signature.name for f in functions if any(node.op == "GeneratorDataset" for node in f.node_def))


def is_generator(node: Any, generators: Collection[str]) -> bool:
    """Whether a dataset op is the flat_map that `from_generator` makes."""
    name = node.attr["f"].func.name if "f" in node.attr else ""
    return name in generators and "_flat_map_fn_" in name


def _node(node: Any, by_name: dict[str, Any], generators: Collection[str]) -> Node:
    kind, function = ("generator", "") if is_generator(node, generators) else (kind_of(node.op), _function(node))
    taken = (by_name.get(bare(name)) for name in node.input)
    inputs = tuple(str(i.name) for i in taken if i is not None and "Dataset" in i.op)
    parallelism = _constant(node, by_name, PARALLELISM_INPUT)
    return Node(
        _label(node),
        kind,
        function,
        "auto" if parallelism == -1 else parallelism,
        str(node.name),
        inputs,
        _constant(node, by_name, COUNT_INPUT),
        kind == "zip" or ("stop_on_empty_dataset" in node.attr and node.attr["stop_on_empty_dataset"].b),
    )


def given_label(node: Any) -> str:
    """The name that the user gave a dataset op; "" if none: tf.data then makes one of the op and a number."""
    label = _label(node) if "metadata" in node.attr and node.attr["metadata"].s else ""
    return "" if re.fullmatch(r"\w+(Dataset\w*|Op|Reader):\d+", label) or "/_" in label else label


def _label(node: Any) -> str:
    """tf.data's metadata is a message whose first field is the dataset's name."""
    metadata = node.attr["metadata"].s if "metadata" in node.attr else b""
    if not metadata:
        return str(node.name)
    kind = lazy_module("tensorflow.core.framework.dataset_metadata_pb2").Metadata
    return str(kind.FromString(metadata).name.decode())


def _function(node: Any) -> str:
    """The name of the Python function that a dataset op calls."""
    for attribute in ("f", "predicate", "key_func", "next_func"):
        if attribute in node.attr:
            return python_name(node.attr[attribute].func.name)
    return ""


def python_name(function: str) -> str:
    """The Python name inside a graph function's; lambdas, partials and objects that can be called have none.

    >>> python_name("__inference_Dataset_flat_map_explode_12"), python_name("__inference_Dataset_map_classaug.Flip_7")
    ('explode', '')
    """
    found = _FUNCTION.fullmatch(function)
    name = found.group(1) if found else ""
    return "" if _NAMELESS.fullmatch(name) else name


def _constant(node: Any, by_name: dict[str, Any], places: Mapping[str, int]) -> int | None:
    """The number that an input of an op is; None where it is none, or found out only as the pipeline runs."""
    place = places.get(re.sub(r"V\d+$", "", node.op))
    if place is None:
        return None
    inputs = [name for name in node.input if not name.startswith("^")]
    const = by_name.get(bare(inputs[place]))
    if const is None or const.op != "Const":
        return None
    return int(constant(const))


def constant(node: Any) -> Any:
    """The value of a `Const` op, an array."""
    proto = node.attr["value"].tensor
    # TensorFlow's own `make_ndarray` knows nothing of strings that are packed, as those of a serialized dataset are.
    value = tf.io.parse_tensor(proto.SerializeToString(), tf.as_dtype(proto.dtype)).numpy()
    return value if hasattr(value, "ndim") else np.array(value, object)
