"""Each stage as a line of tf.data code."""

from __future__ import annotations

import re
from typing import Any

from pipeline_opt.errors import FunctionError
from pipeline_opt.functions import Function
from pipeline_opt.stages import (
    OPTION_PATHS,
    Batch,
    Batching,
    BucketBySequenceLength,
    Cache,
    Filter,
    FlatMap,
    Interleave,
    Map,
    OpaqueStage,
    Options,
    PaddedBatch,
    Prefetch,
    PrefetchToDevice,
    Repeat,
    Shard,
    Shuffle,
    Skip,
    Snapshot,
    Stage,
    Take,
    Unbatch,
)
from pipeline_opt.text.code.functions import function_code
from pipeline_opt.text.code.layout import call
from pipeline_opt.text.code.script import Script
from pipeline_opt.text.code.sources import interleave_arguments, knob, parallel
from pipeline_opt.text.values import literal


def stage_lines(script: Script, stage: Stage, where: str) -> list[str]:
    """Lines that pass the dataset `ds` through one stage.

    Args:
        script: Gets the imports and definitions that the stage needs.
        stage: Any stage but the interleave that reads files.
        where: The stage's name, `in0_map` in a plan inside another one.

    Raises:
        FunctionError: the stage's function cannot be written as code.
        PlanError: one of its arguments cannot.
    """
    match stage:
        case OpaqueStage():
            if stage.transformation is None:
                raise FunctionError(f"{where}: a transformation that only an existing dataset holds has no code")
            return [f"ds = {call(_called(script, stage.transformation, where), ['ds'])}"]
        case PrefetchToDevice():
            made = f"tf.data.experimental.prefetch_to_device({stage.device!r}, {stage.buffer_size})"
            return [f"ds = ds.apply({made})"]
        case Unbatch(dense=True):
            # Inside a function, rows of ragged tensors are tensors. TensorFlow passes the parts of a tuple one by one.
            apart = "(lambda *row: row) if type(ds.element_spec) is tuple else (lambda row: row)"
            return [f"ds = ds.unbatch(name={where!r})", f"ds = ds.map({apart})"]
        case Options():
            given = {path: getattr(stage, name) for name, path in OPTION_PATHS.items()}
            lines = [f"options.{path} = {value}" for path, value in given.items() if value is not None]
            lines += [f"options.{path} = {_option(value)}" for path, value in stage.others]
            return ["options = tf.data.Options()", *lines, f"ds = ds.with_options(options, name={where!r})"]
    arguments = [*_arguments(script, stage, where), f"name={where!r}"]
    return [f"ds = {call(f'ds.{stage.kind}', arguments)}"]


def _option(value: Any) -> str:
    """A value of an option as code: an enum of tf.data by its name, a tuple as the list that tf.data takes."""
    if isinstance(value, str) and re.fullmatch(r"[A-Z]\w+\.[A-Z_]+", value):
        return f"tf.data.experimental.{value}"
    return repr(list(value) if isinstance(value, tuple) else value)


def _arguments(script: Script, stage: Stage, where: str) -> list[str]:
    """The arguments of the tf.data method that has the stage's name."""
    match stage:
        case Interleave(map_func=Function() as function):
            return [function_code(script, function, where), *interleave_arguments(stage)]
        case Map(forms=forms) if forms:
            names = ", ".join(form if isinstance(form, str) else form[0] for form in forms)
            raise FunctionError(
                f"{where}: its function is computed in another form ({names}), made as the plan is built"
            )
        case Map(function=function):
            calls = parallel(stage.num_parallel_calls, stage.deterministic)
            return [function_code(script, function, where), *calls]
        case Filter(predicate=function) | FlatMap(map_func=function):
            return [function_code(script, function, where)]
        case Cache():
            return [repr(stage.filename)] if stage.filename else []
        case Shuffle():
            seed = [] if stage.seed is None else [f"seed={stage.seed}"]
            again = [] if stage.reshuffle_each_iteration else ["reshuffle_each_iteration=False"]
            return [str(stage.buffer_size), *seed, *again]
        case Repeat():
            return [] if stage.count is None else [str(stage.count)]
        case Take() | Skip():
            return [str(stage.count)]
        case Shard():
            return [str(stage.num_shards), str(stage.index)]
        case Prefetch():
            return [knob(stage.buffer_size)]
        case Snapshot():
            compression = [] if stage.compression == "AUTO" else [f"compression={stage.compression!r}"]
            return [repr(stage.path), *compression]
        case Batching():
            return _batching_arguments(script, stage, where)
        case BucketBySequenceLength():
            return _bucket_arguments(script, stage, where)
    return []


def _batching_arguments(script: Script, stage: Batching, where: str) -> list[str]:
    arguments = [str(stage.batch_size)]
    if isinstance(stage, PaddedBatch):
        arguments += _padding(script, stage, where)
    if stage.drop_remainder:
        arguments.append("drop_remainder=True")
    if isinstance(stage, Batch):
        arguments += parallel(stage.num_parallel_calls, stage.deterministic)
    return arguments


def _bucket_arguments(script: Script, stage: BucketBySequenceLength, where: str) -> list[str]:
    flags = [name for name in ("pad_to_bucket_boundary", "no_padding", "drop_remainder") if getattr(stage, name)]
    return [
        function_code(script, stage.element_length_func, where),
        f"bucket_boundaries={list(stage.bucket_boundaries)}",
        f"bucket_batch_sizes={list(stage.bucket_batch_sizes)}",
        *_padding(script, stage, where),
        *(f"{name}=True" for name in flags),
    ]


def _padding(script: Script, stage: Any, where: str) -> list[str]:
    given = {name: getattr(stage, name) for name in ("padded_shapes", "padding_values")}
    texts = [f"{name}={literal(value, f'{where}: {name}')}" for name, value in given.items() if value is not None]
    if any("np." in text for text in texts):
        script.require("import numpy as np")
    return texts


def _called(script: Script, function: Function, where: str) -> str:
    """An expression that can be called: a lambda needs brackets."""
    code = function_code(script, function, where)
    return f"({code})" if code.startswith("lambda") else code
