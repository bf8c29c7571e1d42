"""Where a plan's elements come from: frozen, checking themselves, opening nothing until the plan is built."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

from pipeline_opt.access import DEFAULT, Access
from pipeline_opt.bounds import MOST_BYTES, counts, is_count
from pipeline_opt.errors import KnobError
from pipeline_opt.functions import Function

COMPRESSIONS: Final = ("", "GZIP", "ZLIB", "auto")
IMAGE_SUFFIXES: Final = (".jpg", ".jpeg", ".png", ".bmp", ".gif")


@dataclass(frozen=True, kw_only=True)
class Source:
    """Base of all sources."""

    kind: ClassVar[str] = "source"

    def _require_count(self, argument: str, *, least: int, most: int) -> None:
        value = getattr(self, argument)
        if not is_count(value, least, most):
            raise KnobError(f"{self.kind}: {argument}={value!r} is out of range; valid: {counts(least, most)}")


@dataclass(frozen=True, kw_only=True)
class FileSource(Source):
    """Base of the sources that read files.

    Args:
        paths: Files, folders and globs, as the user gave them; they are listed, sorted, when the plan is built.
        access: How they are reached: by which client, in requests of what size.

    An `Interleave` stage without a function says how the files are read; without one they are read one after another.
    """

    paths: tuple[str, ...]
    access: Access = DEFAULT

    def __post_init__(self) -> None:
        given: Any = self.paths
        paths = (str(given),) if isinstance(given, str | os.PathLike) else tuple(str(p) for p in given)
        if not paths or not all(paths):
            raise KnobError(f"{self.kind}: paths={given!r} is out of range; valid: a path, a glob, or a list of them")
        object.__setattr__(self, "paths", paths)
        if not isinstance(self.access, Access):
            raise KnobError(f"{self.kind}: access={self.access!r} is out of range; valid: an Access")


@dataclass(frozen=True, kw_only=True)
class CompressedSource(FileSource):
    """Base of the file sources that may be compressed; `auto` tells it from the first bytes of the first file."""

    compression: str = "auto"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.compression not in COMPRESSIONS:
            raise KnobError(
                f"{self.kind}: compression={self.compression!r} is out of range; "
                "valid: 'auto', '' (none), 'GZIP', 'ZLIB'"
            )


@dataclass(frozen=True, kw_only=True)
class TFRecords(CompressedSource):
    """Records of TFRecord files: scalar byte strings. `buffer_size` is the read buffer in bytes; None: TensorFlow's."""

    kind: ClassVar[str] = "tfrecords"
    buffer_size: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.buffer_size is not None:
            self._require_count("buffer_size", least=0, most=MOST_BYTES)


@dataclass(frozen=True, kw_only=True)
class TextLines(CompressedSource):
    """Lines of text files: scalar byte strings without the line end."""

    kind: ClassVar[str] = "text"
    buffer_size: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.buffer_size is not None:
            self._require_count("buffer_size", least=1, most=MOST_BYTES)


@dataclass(frozen=True, kw_only=True)
class Csv(CompressedSource):
    """Rows of CSV files as lines: scalar byte strings. With `header`, the first line of every file is left out."""

    kind: ClassVar[str] = "csv"
    header: bool = True
    delimiter: str = ","

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.delimiter) != 1 or self.delimiter in '"\r\n':
            raise KnobError(
                f"{self.kind}: delimiter={self.delimiter!r} is out of range; valid: one character, no quote"
            )


@dataclass(frozen=True, kw_only=True)
class FixedLength(CompressedSource):
    """Records of `record_bytes` bytes, after a header and before a footer of given lengths."""

    kind: ClassVar[str] = "fixed_length"
    record_bytes: int
    header_bytes: int = 0
    footer_bytes: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, least in (("record_bytes", 1), ("header_bytes", 0), ("footer_bytes", 0)):
            self._require_count(name, least=least, most=MOST_BYTES)


@dataclass(frozen=True, kw_only=True)
class Images(FileSource):
    """Image files in one folder a class: pairs of encoded bytes and class number (folders in sorted order, int64)."""

    kind: ClassVar[str] = "images"


@dataclass(frozen=True, kw_only=True, eq=False)
class Tensors(Source):
    """Slices of tensors in memory, along their first axis, as `from_tensor_slices` gives them.

    Equal only to itself: comparing the data could take as long as reading it.
    """

    kind: ClassVar[str] = "tensors"
    value: Any = field(repr=False)


@dataclass(frozen=True, kw_only=True, eq=False)
class OpaqueDataset(Source):
    """A `tf.data.Dataset` that already exists, or the function that makes it; equal only to itself.

    `reason` says why its own stages are not known, where they were asked for; `constant` that it gives the same in every epoch,
    `knobless` that AUTOTUNE can set nothing in it.
    """

    kind: ClassVar[str] = "dataset"
    dataset: Any = field(default=None, repr=False)
    factory: Function | None = None
    reason: str = ""
    constant: bool = field(default=False, repr=False)
    knobless: bool = field(default=False, repr=False)


FILE_SOURCES: Final[tuple[type[FileSource], ...]] = (TFRecords, TextLines, Csv, FixedLength, Images)


@dataclass(frozen=True)
class ResolvedSource:
    """What a file source turned out to be when it was listed.

    Args:
        files: Every file, in the order in which it is read.
        labels: The class number of each file, for images.
        class_names: The folder names that the class numbers index, for images.
        bytes: Size of all files together; None where the storage does not tell.
        compression: `""`, `GZIP` or `ZLIB`: what `auto` stands for in this data.
        via: The client that reads them: `local`, `tf` or `fsspec`.
    """

    files: tuple[str, ...]
    labels: tuple[int, ...] | None = None
    class_names: tuple[str, ...] = ()
    bytes: int | None = None
    compression: str = ""
    via: str = field(default="local", compare=False)
