"""Each stage as the tf.data transformation that it stands for."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from pipeline_opt.build.functions import asked, mapped, scoped
from pipeline_opt.build.ragged_rows import dense_rows
from pipeline_opt.build.settings import tf_options
from pipeline_opt.build.sources import finished, interleave_arguments, parallel
from pipeline_opt.errors import FunctionError, PlanError, PlanWarning, SchemeError
from pipeline_opt.functions import Function
from pipeline_opt.lazy import lazy_module
from pipeline_opt.sources import Source
from pipeline_opt.stages import (
    Batch,
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
    RaggedBatch,
    Rebatch,
    Repeat,
    Shard,
    Shuffle,
    Skip,
    Snapshot,
    Stage,
    Take,
    Unbatch,
)
from pipeline_opt.storage.uris import require_scheme

tf = lazy_module("tensorflow")


Finish = Callable[[Any], Any]
"""What the datasets inside an interleave or a flat_map pass through."""


def apply(dataset: Any, stage: Stage, finish: Finish | None = None) -> Any:
    """The dataset with one more transformation.

    Args:
        dataset: What it is applied to.
        stage: The transformation.
        finish: What the datasets inside it pass through, if there is something.

    Raises:
        FunctionError: tf.data could not trace the stage's function; names the stage and keeps the cause.
        PlanError: The stage does not fit the elements; names them.
    """
    return checked(lambda: _apply(dataset, stage, finish), stage.name, stage, dataset)


def checked(make: Callable[[], Any], name: str, item: Stage | Source, *taken: Any) -> Any:
    """What a stage or a source makes of the datasets that it takes.

    Raises:
        FunctionError: As `apply`; a user's function can raise anything while it is traced.
        PlanError: As `apply`.
    """
    try:
        return make()
    except PlanError:
        raise
    except SchemeError as error:
        raise SchemeError(f"{name}: {error}") from error
    except (Exception, SystemExit) as error:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        said = reason[-1].strip()
        named = (
            said if isinstance(error, ValueError | TypeError | AttributeError) else f"{type(error).__name__}: {said}"
        )
        takes = f" (it takes {' and '.join(str(dataset.element_spec) for dataset in taken)})" if taken else ""
        kind = FunctionError if isinstance(item, Map | Filter | FlatMap | Interleave) else PlanError
        raise kind(f"{name}: cannot be built: {named}{takes}") from error


def _apply(dataset: Any, stage: Stage, finish: Finish | None) -> Any:
    name = stage.name
    match stage:
        case Interleave(map_func=Function() as function):
            opened = finished(scoped(function, name), finish)
            return dataset.interleave(opened, **interleave_arguments(stage))
        case Map():
            calls = parallel(stage.num_parallel_calls, stage.deterministic)
            return dataset.map(mapped(stage, dataset.element_spec), **calls, name=name)
        case Filter():
            return dataset.filter(asked(stage, dataset.element_spec), name=name)
        case FlatMap():
            return dataset.flat_map(finished(scoped(stage.map_func, name), finish), name=name)
        case Cache():
            require_scheme(stage.filename)
            return dataset.cache(stage.filename, name=name)
        case Shuffle():
            return dataset.shuffle(stage.buffer_size, stage.seed, stage.reshuffle_each_iteration, name=name)
        case Repeat():
            return dataset.repeat(stage.count, name=name)
        case Unbatch():
            return dense_rows(dataset, name) if stage.dense else dataset.unbatch(name=name)
        case Take():
            return dataset.take(stage.count, name=name)
        case Skip():
            return dataset.skip(stage.count, name=name)
        case Shard():
            return dataset.shard(stage.num_shards, stage.index, name=name)
        case Prefetch():
            return dataset.prefetch(stage.buffer_size, name=name)
        case Snapshot():
            require_scheme(stage.path)
            return dataset.snapshot(stage.path, stage.compression, name=name)
        case PrefetchToDevice():
            return _to_device(dataset, stage)
        case Options():
            return dataset.with_options(tf_options(stage), name=name)
        case OpaqueStage(transformation=Function() as function):
            return function.load()(dataset)
        case _:
            return _batched(dataset, stage)


def _batched(dataset: Any, stage: Stage) -> Any:
    name = stage.name
    match stage:
        case Batch():
            calls = parallel(stage.num_parallel_calls, stage.deterministic)
            return dataset.batch(stage.batch_size, stage.drop_remainder, **calls, name=name)
        case PaddedBatch():
            shapes, values = stage.padded_shapes, stage.padding_values
            return dataset.padded_batch(stage.batch_size, shapes, values, stage.drop_remainder, name=name)
        case RaggedBatch():
            return dataset.ragged_batch(stage.batch_size, stage.drop_remainder, name=name)
        case Rebatch():
            return dataset.rebatch(stage.batch_size, stage.drop_remainder, name=name)
        case BucketBySequenceLength():
            return dataset.bucket_by_sequence_length(
                scoped(stage.element_length_func, name),
                list(stage.bucket_boundaries),
                list(stage.bucket_batch_sizes),
                padded_shapes=stage.padded_shapes,
                padding_values=stage.padding_values,
                pad_to_bucket_boundary=stage.pad_to_bucket_boundary,
                no_padding=stage.no_padding,
                drop_remainder=stage.drop_remainder,
                name=name,
            )
        case _:
            raise PlanError(f"{name}: a stage of kind {stage.kind!r} cannot be built")


def _to_device(dataset: Any, stage: PrefetchToDevice) -> Any:
    """Copy to a device; where there is no accelerator at all, do as tf.data does and leave batches on the host.

    With accelerators a device that is none of them is a mistake: TensorFlow itself would say nothing of it.
    """
    known = [device.name.replace("physical_device:", "") for device in tf.config.list_logical_devices()]
    try:
        wanted = tf.DeviceSpec.from_string(stage.device)
    except ValueError as error:
        raise PlanError(f"{stage.name}: device={stage.device!r} is no device; valid: {', '.join(known)}") from error
    devices = [tf.DeviceSpec.from_string(name) for name in known]
    if not any(_same_device(wanted, device) for device in devices):
        missing = f"{stage.name}: device={stage.device!r} is not on this machine"
        if any(device.device_type != "CPU" for device in devices):
            raise PlanError(f"{missing}; valid: {', '.join(known)}")
        warnings.warn(
            f"{missing}, which has {', '.join(known)}; batches stay in host memory", PlanWarning, stacklevel=2
        )
    return dataset.apply(tf.data.experimental.prefetch_to_device(stage.device, stage.buffer_size))


def _same_device(wanted: Any, known: Any) -> bool:
    return (wanted.device_type, wanted.device_index or 0) == (known.device_type, known.device_index or 0)
