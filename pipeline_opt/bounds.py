"""How large a number may be: beyond these bounds TensorFlow does not refuse it, it ends the process."""

from __future__ import annotations

from typing import Any, Final

MOST_PARALLEL: Final = 4_096
"""Calls, inputs or threads at a time: so many work, and 100,000 inputs end the process."""

MOST_IN_MEMORY: Final = 100_000_000
"""Elements of a buffer: TensorFlow sets 24 bytes aside for each before the first has come."""

MOST_IN_BATCH: Final = 10_000_000
"""Elements of a batch: with ten times as many a map that is fused with its batch seems to hang."""

MOST_BYTES: Final = 2**31 - 1
"""Bytes of a read buffer or of a record."""

MOST_ON_DEVICE: Final = 4_096
"""Batches that wait on a device."""

MOST: Final = 2**63 - 1
"""What TensorFlow's numbers can hold."""


def is_count(value: Any, least: int, most: int) -> bool:
    """Whether a value is a whole number within bounds."""
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def counts(least: int, most: int) -> str:
    """The whole numbers within bounds, in words.

    >>> counts(1, 4096)
    'a whole number from 1 to 4,096'
    """
    return f"a whole number from {least} to {'2**63-1' if most == MOST else f'{most:,}'}"
