"""The source of a plan as code, and the reading of its files."""

from __future__ import annotations

import base64
import io
import textwrap
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np

from pipeline_opt.errors import FunctionError, PlanError
from pipeline_opt.sources import (
    Csv,
    FileSource,
    FixedLength,
    Images,
    OpaqueDataset,
    ResolvedSource,
    Tensors,
    TextLines,
    TFRecords,
)
from pipeline_opt.stages import AUTO, Interleave
from pipeline_opt.text.code.functions import function_code
from pipeline_opt.text.code.layout import call, listing
from pipeline_opt.text.code.script import Script
from pipeline_opt.text.values import literal

Resolve = Callable[[FileSource], ResolvedSource]

MAX_TENSOR_BYTES: Final = 8 * 2**20
"""Tensors in memory above this size do not go into a script."""

_FEW_VALUES: Final = 100
"""Arrays up to this size are written as numbers that can be read."""

READ_IMAGE: Final = "lambda path, label: (tf.io.read_file(path), label)"


def file_lines(source: FileSource, resolved: ResolvedSource) -> list[str]:
    """Lines that make a dataset `ds` of the names of a source's files (for images, of pairs with the class number)."""
    lines = [f"files = {_files(source, resolved)}"]
    if isinstance(source, Images):
        numbers = listing([str(label) for label in resolved.labels or ()])
        lines.append(f"labels = {call('tf.constant', [numbers, 'tf.int64'])}")
        return [*lines, "ds = tf.data.Dataset.from_tensor_slices((files, labels))"]
    return [*lines, "ds = tf.data.Dataset.from_tensor_slices(files)"]


def record_lines(source: FileSource, resolved: ResolvedSource) -> list[str]:
    """Lines that make a dataset `ds` of a source's elements, read one file after another."""
    if isinstance(source, Images):
        return [*file_lines(source, resolved), f"ds = ds.map({READ_IMAGE})"]
    if isinstance(source, Csv) and source.header:
        return [*file_lines(source, resolved), f"ds = ds.flat_map(lambda path: {_opened(source, resolved, 'path')})"]
    return [f"files = {_files(source, resolved)}", f"ds = {_opened(source, resolved, 'files')}"]


def reading_line(source: FileSource, resolved: ResolvedSource, stage: Interleave, name: str) -> str:
    """The line of the stage that reads the files."""
    if isinstance(source, Images):
        # A file holds one element, so taking files in turn is a parallel read in order.
        calls = stage.num_parallel_calls
        if calls is not None and stage.cycle_length != AUTO:
            calls = stage.cycle_length
        return f"ds = {call('ds.map', [READ_IMAGE, *parallel(calls, stage.deterministic), name])}"
    opened = f"lambda path: {_opened(source, resolved, 'path')}"
    return f"ds = {call('ds.interleave', [opened, *interleave_arguments(stage), name])}"


def interleave_arguments(stage: Interleave) -> list[str]:
    """tf.data's arguments of an interleave stage, its function and name aside."""
    return [
        f"cycle_length={knob(stage.cycle_length)}",
        *([f"block_length={stage.block_length}"] if stage.block_length != 1 else []),
        *parallel(stage.num_parallel_calls, stage.deterministic),
    ]


def parallel(num_parallel_calls: int | None, deterministic: bool | None) -> list[str]:
    """`deterministic` goes only with a parallel form: tf.data warns of it otherwise."""
    if num_parallel_calls is None:
        return []
    order = [] if deterministic is None else [f"deterministic={deterministic}"]
    return [f"num_parallel_calls={knob(num_parallel_calls)}", *order]


def knob(value: int) -> str:
    """A number, or tf.data's name for choosing it while the pipeline runs."""
    return "tf.data.AUTOTUNE" if value == AUTO else str(value)


def _opened(source: FileSource, resolved: ResolvedSource, files: str) -> str:
    """The expression of a dataset of the elements of some files."""
    arguments = [f"compression_type={resolved.compression!r}"] if resolved.compression else []
    match source:
        case TFRecords() | TextLines():
            if source.buffer_size is not None:
                arguments.append(f"buffer_size={source.buffer_size}")
            kind = "TFRecordDataset" if isinstance(source, TFRecords) else "TextLineDataset"
            return call(f"tf.data.{kind}", [files, *arguments])
        case Csv():
            return call("tf.data.TextLineDataset", [files, *arguments]) + (".skip(1)" if source.header else "")
        case FixedLength():
            sizes = [f"{name}={getattr(source, name)}" for name in ("record_bytes", "header_bytes", "footer_bytes")]
            return call("tf.data.FixedLengthRecordDataset", [files, *sizes, *arguments])
    raise PlanError(f"source: {source!r} cannot be written as code")


def _files(source: FileSource, resolved: ResolvedSource) -> str:
    """The files listed anew when the script runs, where that surely gives the same ones, else their names."""
    if resolved.via == "fsspec":
        raise PlanError(
            f"source: {source.paths[0]} is read through the bridge from fsspec, which plain tf.data code has no form for; "
            "write the code of a plan whose files TensorFlow opens itself: of a local copy, or with via='tf'"
        )
    if len(source.paths) == 1 and _is_simple_glob(source.paths[0], resolved.files) and not isinstance(source, Images):
        return f"sorted(tf.io.gfile.glob({source.paths[0]!r}))"
    return listing([repr(path) for path in resolved.files])


def _is_simple_glob(path: str, files: tuple[str, ...]) -> bool:
    """Whether a glob means the same to TensorFlow: stars in the file's name alone, which cannot match hidden files.

    A suffix keeps it from matching folders.
    """
    folder, _, pattern = path.rpartition("/")
    start, star, suffix = pattern[:1], "*" in pattern, pattern.rpartition("*")[2]
    plain = not any(sign in path for sign in ("**", "?", "[", "]", "~", "file://")) and "*" not in folder
    begin, beyond = (folder + "/" if folder else "", len(pattern.replace("*", "")))
    fits = all(f.startswith(begin) and f.endswith(suffix) and len(f) - len(begin) >= beyond for f in files)
    return plain and star and start != "*" and "." in suffix and fits and list(files) == sorted(set(files))


def memory_lines(script: Script, source: Tensors | OpaqueDataset, where: str) -> list[str]:
    """Lines that make a dataset `ds` of a source that is not in files.

    Raises:
        PlanError: tensors are too large or of a type that has no form in code.
        FunctionError: an existing dataset has no function that could be called to make it.
    """
    if isinstance(source, Tensors):
        return [f"ds = {call('tf.data.Dataset.from_tensor_slices', [_Tensors(script, where).code(source.value)])}"]
    if source.factory is None or source.factory.ref is None:
        raise FunctionError(
            f"{where}: an existing dataset cannot be written as code; pass the function that makes it, as "
            "'package.module:function' or 'path/to/file.py:function'"
        )
    return [f"ds = {function_code(script, source.factory, where)}()"]


class _Tensors:
    """Tensors in memory as code: small ones as numbers, larger ones as a block of text that holds an archive."""

    def __init__(self, script: Script, where: str) -> None:
        self._script = script
        self._where = where
        self._bytes = 0

    def code(self, value: Any) -> str:
        """The expression of a structure of tensors."""
        if isinstance(value, tuple) and type(value) is tuple:
            items = [self.code(item) for item in value]
            return f"({', '.join(items)}{',' * (len(items) == 1)})"
        if isinstance(value, Mapping):
            return f"{{{', '.join(f'{self._literal(key)}: {self.code(item)}' for key, item in value.items())}}}"
        if hasattr(value, "flat_values") or hasattr(value, "indices"):
            raise PlanError(f"{self._where}: a {type(value).__name__} in memory cannot be written as code")
        if hasattr(value, "numpy") and not isinstance(value, np.ndarray):
            value = value.numpy()
        if isinstance(value, np.ndarray) and value.size > _FEW_VALUES and value.dtype.kind in "biufc":
            return self._archive(value)
        return self._literal(value)

    def _literal(self, value: Any) -> str:
        text = literal(value, self._where)
        if "np." in text:
            self._script.require("import numpy as np")
        self._count(len(text))
        return text

    def _archive(self, value: np.ndarray[Any, Any]) -> str:
        self._count(value.nbytes)
        if value.dtype.name not in np.sctypeDict:
            raise PlanError(f"{self._where}: tensors of type {value.dtype.name} cannot be written as code")
        stream = io.BytesIO()
        np.savez_compressed(stream, value=value)
        for module in ("import base64", "import io", "import numpy as np"):
            self._script.require(module)
        name = self._script.free_name("_tensor")
        text = "\n".join(textwrap.wrap(base64.b64encode(stream.getvalue()).decode(), 100))
        loaded = 'np.load(io.BytesIO(base64.b64decode(DATA)), allow_pickle=False)["value"]'
        block = f'"""\n{text}\n"""'
        self._script.define(name, value, f"{name} = {loaded.replace('DATA', block)}")
        return name

    def _count(self, size: int) -> None:
        self._bytes += size
        if self._bytes > MAX_TENSOR_BYTES:
            raise PlanError(
                f"{self._where}: tensors in memory above {MAX_TENSOR_BYTES // 2**20} MiB cannot be written as code; "
                "write them to files, or pass the function that makes the dataset"
            )
