"""Functions that open a file, recognised: what they read, and how."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pipeline_opt.ingest.graph import bare, constant
from pipeline_opt.lazy import lazy_module
from pipeline_opt.sources import Csv, FileSource, FixedLength, TextLines, TFRecords

readers = lazy_module("tensorflow.python.data.ops.readers")

_PASSING: Final = ("Identity", "Reshape", "ExpandDims", "Squeeze")
"""Ops that leave a file's name what it is."""


@dataclass(frozen=True)
class Opening:
    """What a function does with a file's name: it makes a dataset of the file's elements and nothing else.

    Args:
        kind: The source that reads such files.
        arguments: What it is told, but for the paths.
    """

    kind: type[FileSource]
    arguments: tuple[tuple[str, Any], ...]

    def source(self, paths: tuple[str, ...]) -> FileSource:
        """The source that reads some files so."""
        return self.kind(paths=paths, **dict(self.arguments))


def opening(name: str, functions: Mapping[str, Any]) -> Opening | None:
    """What a function of a graph's library does with the name of a file; None where it does something else.

    Args:
        name: The function's name.
        functions: Every `FunctionDef` by name.
    """
    function = functions[name]
    if len(function.signature.input_arg) != 1 or len(function.ret) != 1:
        return None
    body = _Body({node.name: node for node in function.node_def}, function.signature.input_arg[0].name, functions)
    return body.opening(next(iter(function.ret.values())))


def opening_of(tensor: str, nodes: Mapping[str, Any], argument: str, functions: Mapping[str, Any]) -> Opening | None:
    """What a dataset does with the name of a file; None where it does something else.

    Args:
        tensor: The dataset, in the graph of a function.
        nodes: The ops of that graph by name.
        argument: The name of the op that stands for the function's only argument.
        functions: Every `FunctionDef` by name.
    """
    return _Body(nodes, argument, functions).opening(tensor)


@dataclass(frozen=True)
class _Body:
    nodes: Mapping[str, Any]
    argument: str
    functions: Mapping[str, Any]

    def opening(self, tensor: str) -> Opening | None:
        node = self._producer(tensor)
        if node is None:
            return None
        if node.op == "FlatMapDataset":
            return self._through_names(node)
        if node.op == "SkipDataset":
            return self._without_header(node)
        read = _READERS.get(node.op)
        if read is None or not self._is_argument(node.input[0]):
            return None
        constants = [self._constant(name) for name in node.input[1:] if not name.startswith("^")]
        return None if None in constants else read(*constants)

    def _through_names(self, node: Any) -> Opening | None:
        """`TFRecordDataset(file)` is a flat_map over a dataset of the one name."""
        names = self._producer(node.input[0])
        captured = len(node.input) > 1
        if names is None or captured or names.op not in ("TensorSliceDataset", "TensorDataset"):
            return None
        return opening(node.attr["f"].func.name, self.functions) if self._is_argument(names.input[0]) else None

    def _without_header(self, node: Any) -> Opening | None:
        lines = self.opening(node.input[0])
        told = dict(lines.arguments) if lines is not None and lines.kind is TextLines else {}
        if self._constant(node.input[1]) != 1 or not told or told["buffer_size"] is not None:
            return None
        return Opening(Csv, (("compression", told["compression"]), ("header", True)))

    def _producer(self, tensor: str) -> Any:
        node = self.nodes.get(bare(tensor))
        while node is not None and node.op == "Identity":
            node = self.nodes.get(bare(node.input[0]))
        return node

    def _is_argument(self, tensor: str) -> bool:
        name = bare(tensor)
        while name in self.nodes and self.nodes[name].op in _PASSING:
            name = bare(self.nodes[name].input[0])
        return name == self.argument

    def _constant(self, tensor: str) -> Any:
        node = self._producer(tensor)
        if node is None or node.op != "Const":
            return None
        value = constant(node).item()
        return value.decode() if isinstance(value, bytes) else value


def _records(compression: str, buffer_size: int, offsets: Any = None) -> Opening | None:
    if offsets is not None:
        return None
    # TensorFlow 2.21 has a default of its own for records.
    usual = getattr(readers, "_DEFAULT_TF_RECORD_BUFFER_SIZE_BYTES", readers._DEFAULT_READER_BUFFER_SIZE_BYTES)
    told = None if buffer_size == usual else buffer_size
    return Opening(TFRecords, (("buffer_size", told), ("compression", compression)))


def _lines(compression: str, buffer_size: int) -> Opening:
    return Opening(TextLines, (("buffer_size", _told(buffer_size)), ("compression", compression)))


def _fixed(header: int, record: int, footer: int, buffer_size: int, compression: str = "") -> Opening | None:
    if _told(buffer_size) is not None:
        return None
    sizes = {"compression": compression, "footer_bytes": footer, "header_bytes": header, "record_bytes": record}
    return Opening(FixedLength, tuple(sizes.items()))


def _told(buffer_size: int) -> int | None:
    return None if buffer_size == readers._DEFAULT_READER_BUFFER_SIZE_BYTES else buffer_size


_READERS: Final[Mapping[str, Callable[..., Opening | None]]] = {
    "TFRecordDataset": _records,
    "TextLineDataset": _lines,
    "FixedLengthRecordDataset": _fixed,
    "FixedLengthRecordDatasetV2": _fixed,
}
