"""The decompressed bytes of GZIP and ZLIB streams, block by block; zlib works without the interpreter's lock."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from typing import Final

from pipeline_opt.errors import CorruptRecordError

_WINDOW_BITS: Final = {"GZIP": 31, "ZLIB": 15}
_STEP: Final = 256 << 10


def inflated(path: str, blocks: Iterable[bytes], compression: str, most: int) -> Iterator[bytes]:
    """Decompress; several members one after another are one stream.

    A stream that breaks off ends there, as it does for TensorFlow.

    Args:
        path: The file, for messages.
        blocks: Compressed bytes.
        compression: `GZIP` or `ZLIB`.
        most: Bytes of one decompressed block.

    Raises:
        CorruptRecordError: The stream is damaged; names the file and the decompressed byte, to some 256 KiB.
    """
    inflater = zlib.decompressobj(_WINDOW_BITS[compression])
    given = 0
    for block in blocks:
        for start in range(0, len(block), _STEP):
            raw = block[start : start + _STEP]
            while raw:
                if inflater.eof:
                    inflater = zlib.decompressobj(_WINDOW_BITS[compression])
                try:
                    data = inflater.decompress(raw, most)
                except zlib.error as error:
                    raise CorruptRecordError(
                        f"{path}, byte {given}: the {compression} stream is damaged: {error}"
                    ) from error
                given += len(data)
                if data:
                    yield data
                raw = inflater.unused_data if inflater.eof else inflater.unconsumed_tail
