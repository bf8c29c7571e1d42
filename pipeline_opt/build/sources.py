"""A source as a tf.data.Dataset: of elements, or of the files that an interleave stage is to read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pipeline_opt.build import bridged
from pipeline_opt.errors import PlanError
from pipeline_opt.lazy import lazy_module
from pipeline_opt.sources import Csv, FileSource, FixedLength, Images, ResolvedSource, TextLines, TFRecords
from pipeline_opt.stages import AUTO, Interleave
from pipeline_opt.storage.bridge import Bridge

tf = lazy_module("tensorflow")


@dataclass(frozen=True)
class FileReader:
    """How the files of one source are opened.

    Args:
        source: The source.
        resolved: Its files, listed.
        name: The name that its datasets carry.
    """

    source: FileSource
    resolved: ResolvedSource
    name: str

    def names(self) -> Any:
        """A dataset of the files' names; of pairs with the class number for images."""
        files = list(self.resolved.files)
        if isinstance(self.source, Images):
            labels = tf.constant(self.resolved.labels or (), tf.int64)
            return tf.data.Dataset.from_tensor_slices((files, labels), name=self.name)
        return tf.data.Dataset.from_tensor_slices(files, name=self.name)

    @cached_property
    def bridge(self) -> Bridge | None:
        """What fetches the files; None where TensorFlow opens them itself."""
        return bridged.bridge_of(self.source, self.resolved) if self.resolved.via == "fsspec" else None

    def read_in_order(self) -> Any:
        """A dataset of the elements of all files, one file after another."""
        if isinstance(self.source, Images):
            return self._off_the_common_threads(self.names().map(self._image_reader(self.name), name=self.name))
        if self.bridge is not None:
            pieces = self.names().flat_map(bridged.fetcher(self.bridge, self.name), name=self.name)
            return self._off_the_common_threads(self._piece_reader(self.name)(pieces))
        if isinstance(self.source, Csv) and self.source.header:
            return self.names().flat_map(self.opener(self.name), name=self.name)
        return self.opener(self.name)(list(self.resolved.files))

    def interleave(self, names: Any, stage: Interleave, finish: Callable[[Any], Any] | None = None) -> Any:
        """A dataset of the elements of the files in `names`, read as an interleave stage says.

        Args:
            names: The files, as `names` gives them.
            stage: The stage.
            finish: What the dataset of each file passes through, if there is something.
        """
        if isinstance(self.source, Images):
            if finish is not None:
                raise PlanError(f"{stage.name}: an image file holds one element; put the stages inside it after it")
            # A file holds one element, so taking files in turn is a parallel read in order.
            calls = stage.num_parallel_calls
            if calls is not None and stage.cycle_length != AUTO:
                calls = stage.cycle_length
            read = self._image_reader(stage.name)
            images = names.map(read, **parallel(calls, stage.deterministic), name=stage.name)
            return self._off_the_common_threads(images, AUTO if calls is None else calls)
        elements = names.interleave(finished(self.opener(stage.name), finish), **interleave_arguments(stage))
        return self._off_the_common_threads(elements, stage.cycle_length)

    def opener(self, name: str) -> Callable[[Any], Any]:
        """The function from a file name (or several, but for the bridge) to a dataset of its elements."""
        if self.bridge is not None:
            fetch, read = bridged.fetcher(self.bridge, name), self._piece_reader(name)
            return lambda path: read(fetch(path))
        source, compression = self.source, self.resolved.compression
        if isinstance(source, TFRecords):
            return lambda f: tf.data.TFRecordDataset(f, compression, source.buffer_size, name=name)
        if isinstance(source, TextLines):
            return lambda f: tf.data.TextLineDataset(f, compression, source.buffer_size, name=name)
        if isinstance(source, FixedLength):
            sizes = (source.record_bytes, source.header_bytes, source.footer_bytes)
            return lambda f: tf.data.FixedLengthRecordDataset(f, *sizes, compression_type=compression, name=name)
        if isinstance(source, Csv):
            skip = int(source.header)
            return lambda f: skipped(tf.data.TextLineDataset(f, compression, name=name), skip, name)
        raise TypeError(f"no reader for {source!r}")

    def _piece_reader(self, name: str) -> Callable[[Any], Any]:
        """The function from a dataset of pieces, which the bridge has decompressed, to one of their elements."""
        source = self.source
        if isinstance(source, TFRecords | TextLines):
            kind = tf.data.TFRecordDataset if isinstance(source, TFRecords) else tf.data.TextLineDataset
            return lambda f: kind(f, buffer_size=source.buffer_size, name=name)
        if isinstance(source, FixedLength):
            return lambda f: tf.data.FixedLengthRecordDataset(f, source.record_bytes, name=name)
        return lambda f: tf.data.TextLineDataset(f, name=name)

    def _image_reader(self, name: str) -> Callable[[Any, Any], tuple[Any, Any]]:
        return read_image if self.bridge is None else bridged.image_reader(self.bridge, name)

    def _off_the_common_threads(self, elements: Any, cycle_length: int = 1) -> Any:
        return elements if self.bridge is None else bridged.on_own_threads(elements, cycle_length)


def finished(opener: Callable[..., Any], finish: Callable[[Any], Any] | None) -> Callable[..., Any]:
    """A function that opens a dataset, which then passes through something."""
    if finish is None:
        return opener
    # Only the user's own code is for AutoGraph to convert: `opener` may hold some, and each stage's function is converted apart.
    rest = tf.autograph.experimental.do_not_convert(finish)

    def opened(*element: Any) -> Any:
        return rest(opener(*element))

    opened.__name__ = getattr(opener, "__name__", "opened").replace("<lambda>", "opened")
    return opened


def read_image(path: Any, label: Any) -> tuple[Any, Any]:
    """Read one image file; its class number stays with it."""
    return tf.io.read_file(path), label


def skipped(dataset: Any, count: int, name: str) -> Any:
    """The dataset without its first `count` elements."""
    return dataset.skip(count, name=name) if count else dataset


def interleave_arguments(stage: Interleave) -> dict[str, Any]:
    """tf.data's arguments of an interleave stage."""
    return {
        "cycle_length": stage.cycle_length,
        "block_length": stage.block_length,
        **parallel(stage.num_parallel_calls, stage.deterministic),
        "name": stage.name,
    }


def parallel(num_parallel_calls: int | None, deterministic: bool | None) -> dict[str, Any]:
    """`deterministic` goes only with a parallel form: tf.data warns of it otherwise."""
    if num_parallel_calls is None:
        return {}
    return {"num_parallel_calls": num_parallel_calls, "deterministic": deterministic}
