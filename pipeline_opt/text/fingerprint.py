"""A short name for a plan that stays the same from process to process and changes when the plan does."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any, Final

import numpy as np

from pipeline_opt.access import DEFAULT, Access
from pipeline_opt.functions import Function
from pipeline_opt.plan import Plan
from pipeline_opt.sources import OpaqueDataset, Source
from pipeline_opt.stages import Stage
from pipeline_opt.text.values import stable_repr

_DIGITS: Final = 16


def fingerprint(plan: Plan) -> str:
    """16 hexadecimal digits that tell plans apart: the same in every process, whatever the addresses and hash seeds.

    Goes in: every argument, the reference and the bound arguments of every function, the contents of tensors in memory,
    and, where the function itself is at hand, its bytecode with constants, defaults, closure and the functions and
    values of its module that it uses (bytecode belongs to one Python version). Of an existing dataset, only the types
    of its elements go in.
    """
    writer = _Writer()
    writer.write(plan)
    return writer.hash.hexdigest()[:_DIGITS]


class _Writer:
    """Feeds values, part by part, to one hash."""

    def __init__(self) -> None:
        self.hash = hashlib.sha256()
        self._functions: list[FunctionType] = []

    def write(self, value: Any) -> None:
        """Feed one value: its type, then its parts."""
        self._text("Plan" if isinstance(value, Plan) else type(value).__name__)
        match value:
            case None | bool() | int() | float() | complex() | str() | bytes():
                self._text(repr(value))
            case np.ndarray() | np.generic():
                self._array(np.asarray(value))
            case Plan() | Stage() | Source():
                self._fields(value)
            case Access():
                self.write(value.told())
            case Function():
                self._all((value.ref, dict(value.arguments), value.call))
            case tuple() | list():
                self._all(value)
            case Mapping():
                self._all(part for key in sorted(value, key=repr) for part in (key, value[key]))
            case set() | frozenset():
                self._all(sorted(value, key=repr))
            case _:
                self._code(value)

    def _text(self, text: str) -> None:
        data = text.encode("utf-8", "surrogatepass")
        self.hash.update(b"%d:" % len(data) + data)

    def _all(self, parts: Iterable[Any]) -> None:
        for part in parts:
            self.write(part)
        self._text("end")

    def _fields(self, value: Any) -> None:
        if isinstance(value, OpaqueDataset):
            # A function stands for what it makes, whether it has been called yet or not.
            spec = None if value.factory is not None else getattr(value.dataset, "element_spec", None)
            self._all((str(spec), value.factory))
            return
        fields = (f.name for f in dataclasses.fields(value) if f.compare and not _is_unsaid(f, getattr(value, f.name)))
        self._all(part for name in fields for part in (name, getattr(value, name)))

    def _array(self, value: np.ndarray[Any, Any]) -> None:
        self._text(f"{value.dtype.str}{value.shape}")
        if value.dtype.hasobject:
            self._all(value.ravel().tolist())
        else:
            self.hash.update(np.ascontiguousarray(value).reshape(-1).view(np.uint8).data)

    def _code(self, value: Any) -> None:
        match value:
            case FunctionType():
                self._function(value)
            case CodeType():
                self._all((value.co_code, value.co_consts, value.co_names, value.co_freevars, value.co_argcount))
            case functools.partial():
                self._all((value.func, value.args, value.keywords))
            case MethodType():
                self._all((value.__func__, type(value.__self__)))
            case ModuleType() | BuiltinFunctionType() | type():
                self._text(f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', value.__name__)}")
            case _ if isinstance(getattr(value, "__wrapped__", None), FunctionType):
                self.write(value.__wrapped__)
            case _ if hasattr(value, "numpy") and not hasattr(value, "assign"):
                self.write(value.numpy())
            case _ if stable_repr(value):
                self._text(repr(value))

    def _function(self, function: FunctionType) -> None:
        """A function that came before, possibly because it calls itself, counts by its number."""
        if function in self._functions:
            self._text(f"function {self._functions.index(function)}")
            return
        self._functions.append(function)
        closure = [_content(cell) for cell in function.__closure__ or ()]
        self._all((function.__code__, function.__defaults__, function.__kwdefaults__, closure, dict(_used(function))))


_LATER: Final = ("inner", "forms", "others")


def _is_unsaid(field: dataclasses.Field[Any], value: Any) -> bool:
    """What plans could not say once, and is not said: without it they have the fingerprint that they had then."""
    return (isinstance(value, Access) and value == DEFAULT) or (field.name in _LATER and not value)


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        return None


def _used(function: FunctionType) -> Iterator[tuple[str, Any]]:
    """What a function uses of its module: functions and constants; other things count by their names alone.

    Lists and dictionaries count where their name, in capitals, says that they stay as they are.
    """
    for name in sorted(_names(function.__code__)):
        value = function.__globals__.get(name)
        own = isinstance(value, FunctionType) and value.__module__ == function.__module__
        fixed = isinstance(value, int | float | str | bytes | tuple | frozenset)
        constant = name.isupper() and isinstance(value, list | dict | set | np.ndarray)
        if own or fixed or constant:
            yield name, value


def _names(code: CodeType) -> set[str]:
    inner = (const for const in code.co_consts if isinstance(const, CodeType))
    return set(code.co_names).union(*map(_names, inner))
