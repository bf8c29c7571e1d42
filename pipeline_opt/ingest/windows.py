"""`group_by_window` in two: what finds the keys of its elements, and the rest, which takes them with the elements.

The key is asked for of one element at a time, which costs a call for each; a map before it can find the keys of many at once.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from pipeline_opt.build.purity import purity_of_graph
from pipeline_opt.build.traced import Traced, of_wrapper
from pipeline_opt.functions import Function
from pipeline_opt.ingest.graph import kind_of
from pipeline_opt.ingest.opaque import Reapplied

WINDOWS: Final = kind_of("GroupByWindowDataset")


class Keyed(NamedTuple):
    """`group_by_window` as two: a function that puts the key behind an element, and the transformation of such elements."""

    key: Function
    windows: Function


def keyed(transformation: Function | None) -> Keyed | None:
    """A carried along `group_by_window` in two; None for any other, and where its key depends on more than the element."""
    call = None if transformation is None else transformation.call
    if not isinstance(call, Reapplied) or call.__name__ != WINDOWS:
        return None
    functions = call.functions
    if len(functions) != len(_Windows._fields):
        return None
    parts = _Windows(*map(of_wrapper, functions))
    if purity_of_graph(parts.key.python_function or parts.key, parts.key.concrete.graph).kind != "pure":
        return None
    return Keyed(Function(call=_WithKey(parts.key)), Function(call=_OfKeys(parts)))


class _Windows(NamedTuple):
    """The functions of the op, in its order."""

    key: Traced
    reduce: Traced
    size: Traced


class _WithKey:
    """Gives an element's components and, behind them, its key."""

    def __init__(self, key: Traced) -> None:
        self._key = key
        self.__name__ = "key"

    def __call__(self, *element: Any) -> Any:
        return (*element, self._key(*element))


class _OfKeys:
    """`group_by_window` of elements that have their key behind their components."""

    def __init__(self, windows: _Windows) -> None:
        self._windows = windows
        self.__name__ = WINDOWS

    def __repr__(self) -> str:
        return self.__name__

    def __call__(self, dataset: Any) -> Any:
        parts = type(self._windows.key.takes) is tuple

        def reduce(key: Any, window: Any) -> Any:
            # Neither this function of an element nor that of the key is ever called: they only hand on what they are given.
            return self._windows.reduce(key, window.map(lambda *row: row[:-1] if parts else row[0]))

        return dataset.group_by_window(lambda *row: row[-1], reduce, window_size_func=self._windows.size)
