"""The bridge in tf.data: files that fsspec fetches, read by TensorFlow's own readers."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from pipeline_opt.lazy import lazy_module
from pipeline_opt.sources import Csv, FileSource, FixedLength, ResolvedSource, TFRecords
from pipeline_opt.stages import AUTO
from pipeline_opt.storage.bridge import Bridge
from pipeline_opt.storage.bridge.cutting import Cut, cut_lines, cut_records, cut_rows, fixed_length

tf = lazy_module("tensorflow")
dataset_ops = lazy_module("tensorflow.python.data.ops.dataset_ops")
np = lazy_module("numpy")

UNKNOWN_CYCLE: Final = 16
"""Files that are taken to be read at a time where tf.data decides it."""
_MOST_THREADS: Final = 256


def bridge_of(source: FileSource, resolved: ResolvedSource) -> Bridge:
    """The bridge for the files of a source."""
    return Bridge(source.access, _cut(source), resolved.compression)


def fetcher(bridge: Bridge, name: str) -> Callable[[Any], Any]:
    """The function from a file name to a dataset of its pieces: paths, each to be read before the next is asked for."""
    pieces, piece = partial(bridge.pieces, reader=name), tf.TensorSpec((), tf.string)
    return lambda path: tf.data.Dataset.from_generator(pieces, args=(path,), output_signature=piece, name=name)


def image_reader(bridge: Bridge, name: str) -> Callable[[Any, Any], tuple[Any, Any]]:
    """The function that reads one image file; its class number stays with it."""

    def whole(path: bytes) -> Any:
        # As an array of bytes numpy would drop zeros at its end.
        return np.array(bridge.whole(path, name), dtype=object)

    def read_image(path: Any, label: Any) -> tuple[Any, Any]:
        encoded = tf.numpy_function(whole, [path], tf.string, stateful=False, name="fetch_file")
        return tf.ensure_shape(encoded, ()), label

    return read_image


def on_own_threads(dataset: Any, cycle_length: int = 1) -> Any:
    """The dataset with threads of its own to run functions on.

    Fetching is a call of Python that waits. On TensorFlow's common threads, one for each core, as many files as there are cores
    could be waited for, and nothing else would be computed meanwhile.
    """
    files = UNKNOWN_CYCLE if cycle_length == AUTO else cycle_length
    # An interleave opens as many files again ahead of its cycle.
    threads = min(2 * files + 2, _MOST_THREADS)
    variant = tf.raw_ops.PrivateThreadPoolDataset(
        input_dataset=dataset._variant_tensor,
        num_threads=tf.constant(threads, tf.int64),
        **dataset._flat_structure,
    )
    return dataset_ops.UnaryUnchangedStructureDataset(dataset, variant)


def _cut(source: FileSource) -> Cut:
    if isinstance(source, TFRecords):
        return cut_records
    if isinstance(source, FixedLength):
        return fixed_length(source.record_bytes, source.header_bytes, source.footer_bytes)
    return cut_rows if isinstance(source, Csv) and source.header else cut_lines
