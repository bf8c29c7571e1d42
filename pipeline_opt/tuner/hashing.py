"""Hashes of elements by content, so that two epochs can be compared without keeping either.

An element, or each row of a batch, has a digest of 128 bits (BLAKE2b) of every component's place, dtype, shape and bytes. Floats
are taken bit by bit: -0.0 is not 0.0, and a NaN equals only a NaN of the same bits. Strings are taken by their bytes, ragged rows
by their lengths and values, sparse ones by indices and values, in the order in which they are there.

An epoch has the sum of its digests modulo 2^128, which does not depend on order or on how rows are batched, and a chain of them,
which depends on order. Two epochs of different rows have the same sum with a probability of 2^-128.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from pipeline_opt.errors import UsageError
from pipeline_opt.tuner.components import Array, Component, content

Digests = npt.NDArray[np.uint8]
"""Digests, one a row: an array of shape (rows, 16)."""

SIZE: Final = 16
_MODULUS: Final = 2 ** (8 * SIZE)

Columns = tuple[list[Array], list[Sequence[bytes]]]
"""What each row holds: arrays with a row for each (fixed width), and sequences of bytes, one for each."""


@dataclass(frozen=True)
class Fingerprint:
    """The hash of a number of rows: how many, the sum of their digests, and their chain."""

    count: int
    total: int
    chain: bytes

    def same_rows(self, other: Fingerprint) -> bool:
        """Whether it is of the same rows, in whatever order."""
        return (self.count, self.total) == (other.count, other.total)


class Fingerprinter:
    """Adds up digests."""

    def __init__(self) -> None:
        self._count = self._total = 0
        self._chain = hashlib.blake2b(digest_size=SIZE)

    def add(self, digests: Digests) -> None:
        """Take in further rows."""
        words = np.ascontiguousarray(digests).view("<u4").sum(axis=0, dtype=np.uint64)
        self._count += len(digests)
        self._total = (self._total + sum(int(word) << (32 * place) for place, word in enumerate(words))) % _MODULUS
        self._chain.update(digests.tobytes())

    def result(self) -> Fingerprint:
        """The hash of all rows until now."""
        return Fingerprint(self._count, self._total, self._chain.digest())


def digests_of(components: Sequence[Component], *, batched: bool, padding: Mapping[str, Any] | None = None) -> Digests:
    """The digest of an element, or of each row of a batch.

    Args:
        components: The element's.
        batched: Whether it is a batch, whose components' first dimension are its rows. Of a sparse component the dense shape
            then does not count, as it depends on the other rows of the batch.
        padding: For places of dense components of a padded batch, the value they are padded with. How far a row is padded
            depends on the other rows, so padding at the ends of its dimensions does not count.

    Raises:
        UsageError: The components of a batch have different numbers of rows, or none.
    """
    if not batched:
        return _digests(1, _header(components), [], [[_whole(component)] for component in components])
    rows = row_counts(components)
    if len(rows) > 1 or None in rows:
        raise UsageError(
            f"a batch whose components have {sorted(map(str, rows))} rows; valid: batches, of as many rows each"
        )
    arrays: list[Array] = []
    loose: list[Sequence[bytes]] = []
    for component in components:
        pad = (padding or {}).get(component.place) if component.values.ndim > 1 else None
        more, rest = _columns(component) if pad is None else _trimmed(component.values, pad)
        arrays += more
        loose += rest
    return _digests(next(iter(rows), 0) or 0, _header(components, padding), arrays, loose)


def row_counts(components: Sequence[Component]) -> set[int | None]:
    """The numbers of rows of the components of a batch; None for one that has no rows."""
    return {_rows(component) for component in components}


def _rows(component: Component) -> int | None:
    if component.form == "ragged":
        return len(component.parts[0]) - 1
    if component.form == "sparse":
        return int(component.parts[1][0]) if len(component.parts[1]) else None
    return component.values.shape[0] if component.form == "dense" and component.values.ndim else None


def _header(components: Sequence[Component], padding: Mapping[str, Any] | None = None) -> bytes:
    """What is the same for all rows: a digest of the components' places, forms, types, and shapes where they are fixed."""
    kinds = [
        (c.place, c.form, c.dtype, () if c.place in (padding or {}) else c.values.shape[1:], len(c.parts))
        for c in components
    ]
    return hashlib.blake2b(repr(kinds).encode(), digest_size=SIZE).digest()


def _digests(rows: int, header: bytes, fixed: Sequence[Array], loose: Sequence[Sequence[bytes]]) -> Digests:
    columns = [np.broadcast_to(np.frombuffer(header, np.uint8), (rows, SIZE)), *map(_as_bytes, fixed)]
    matrix = np.concatenate(columns, axis=1) if rows else np.zeros((0, SIZE), np.uint8)
    data, width = memoryview(np.ascontiguousarray(matrix).reshape(-1).data), matrix.shape[1]
    each: Iterator[Any] = (data[start : start + width] for start in range(0, rows * width, width))
    if loose:
        each = (b"".join(parts) for parts in zip(each, *loose, strict=True))
    made = [hashlib.blake2b(row, digest_size=SIZE).digest() for row in each]
    return np.frombuffer(b"".join(made), np.uint8).reshape(rows, SIZE)


def _as_bytes(array: Array) -> Digests:
    rows = len(array)
    flat = np.ascontiguousarray(array).reshape(rows, -1) if array.size else np.zeros((rows, 0), np.uint8)
    return flat.view(np.uint8).reshape(rows, -1)


def _whole(component: Component) -> bytes:
    return repr(component.values.shape).encode() + content(component)


def _columns(component: Component) -> Columns:
    """A component of a batch, row by row."""
    values = component.values
    if component.form == "ragged":
        return _ragged(values, component.parts)
    if component.form == "sparse":
        return _sparse(values, component.parts[0], int(component.parts[1][0]))
    if values.dtype != object:
        return [values], []
    flat = values.reshape(len(values), -1)
    lengths = np.fromiter(map(len, flat.ravel()), np.int64, flat.size).reshape(flat.shape)
    return [lengths], [flat[:, 0].tolist() if flat.shape[1] == 1 else [b"".join(row) for row in flat.tolist()]]


def _ragged(values: Array, splits: Sequence[Array]) -> Columns:
    edges, loose = splits[0].astype(np.int64), []
    counts = np.diff(edges)[:, None]
    for inner in splits[1:]:
        loose.append(list(_pieces(np.diff(inner.astype(np.int64)), edges)))
        edges = inner.astype(np.int64)[edges]
    return [counts], [*loose, list(_pieces(values, edges))]


def _sparse(values: Array, indices: Array, rows: int) -> Columns:
    order = np.argsort(indices[:, 0], kind="stable")
    edges = np.searchsorted(indices[order, 0], np.arange(rows + 1))
    inner = np.ascontiguousarray(indices[order, 1:])
    return [np.diff(edges)[:, None]], [list(_pieces(inner, edges)), list(_pieces(values[order], edges))]


def _pieces(array: Array, edges: Array) -> Iterator[bytes]:
    """The bytes of an array between each edge and the next."""
    bounds = edges.tolist()
    if array.dtype == object:
        for start, end in itertools.pairwise(bounds):
            yield _strings(array[start:end])
        return
    data, width = array.tobytes(), array[:1].nbytes if len(array) else 0
    for start, end in itertools.pairwise(bounds):
        yield data[start * width : end * width]


def _strings(array: Array) -> bytes:
    flat = array.ravel().tolist()
    return np.array([len(item) for item in flat], np.int64).tobytes() + b"".join(flat)


def _trimmed(values: Array, pad: Any) -> Columns:
    """The rows without the padding at the ends of their dimensions, with the sizes that are left."""
    rows, real = len(values), values != (pad.encode() if isinstance(pad, str) else pad)
    sizes = np.zeros((rows, values.ndim - 1), np.int64)
    for axis in range(1, values.ndim):
        used = real.any(axis=tuple(other for other in range(1, values.ndim) if other != axis))
        sizes[:, axis - 1] = np.where(used.any(axis=1), used.shape[1] - np.argmax(used[:, ::-1], axis=1), 0)
    kept = (row[tuple(map(slice, size))] for row, size in zip(values, sizes.tolist(), strict=True))
    return [sizes], [[_strings(row) if row.dtype == object else row.tobytes() for row in kept]]


def keys_of(digests: Digests) -> npt.NDArray[np.uint64]:
    """The first half of each digest as a number, to find rows again by."""
    return np.ascontiguousarray(digests[:, :8]).view("<u8").reshape(-1)
