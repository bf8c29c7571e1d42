"""Plain values as Python source text, and back; nothing is ever evaluated."""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from pipeline_opt.errors import PlanError

_NUMPY_SCALARS: Final = frozenset(
    ["bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16", "float32", "float64"]
)
MOST_BITS: Final = 1024
"""Of a whole number in a file: more than anything counts, and well within what Python converts to digits."""

_MANY: Final = 6
"""Sequences longer than this are cut short where they are only shown."""


def literal(value: Any, where: str) -> str:
    """Python source text that gives an equal value of the same type; arrays and numpy scalars as `np.…`.

    Args:
        value: None, numbers, strings, bytes, numpy scalars and arrays, a tensor or shape of TensorFlow, and tuples,
            lists, dictionaries and sets of these.
        where: What the value belongs to, for the message.

    Raises:
        PlanError: the value is none of these.
    """
    match value:
        case np.ndarray():
            return _array(value, where)
        case np.generic():
            return _numpy_scalar(value, where)
        case float() if not math.isfinite(value):
            return f'float("{value}")'
        case None | bool() | int() | float() | str() | bytes() if type(value).__repr__ in _PLAIN_REPRS:
            return repr(value)
        case tuple() if type(value) is tuple:
            items = [literal(item, where) for item in value]
            return f"({items[0]},)" if len(items) == 1 else f"({', '.join(items)})"
        case list() if type(value) is list:
            return f"[{', '.join(literal(item, where) for item in value)}]"
        case dict() if type(value) is dict:
            pairs = (f"{literal(key, where)}: {literal(item, where)}" for key, item in value.items())
            return f"{{{', '.join(pairs)}}}"
        case set() | frozenset() if value:
            items = sorted(literal(item, where) for item in value)
            return f"{{{', '.join(items)}}}" if isinstance(value, set) else f"frozenset({{{', '.join(items)}}})"
    if hasattr(value, "as_list") and hasattr(value, "rank"):
        return repr(None if value.rank is None else value.as_list())
    if hasattr(value, "numpy") and not hasattr(value, "assign"):
        return literal(value.numpy(), where)
    raise PlanError(
        f"{where}: {describe(value)} cannot be written as text; valid: None, numbers, strings, bytes, numpy values, "
        "and tuples, lists and dictionaries of these"
    )


_PLAIN_REPRS: Final = {t.__repr__ for t in (type(None), bool, int, float, str, bytes)}
"""An enum or another subclass with a `repr` of its own does not come back as what it was."""


def _numpy_scalar(value: np.generic, where: str) -> str:
    if isinstance(value, np.str_ | np.bytes_):
        return repr(value.item())
    if value.dtype.name not in _NUMPY_SCALARS:
        raise PlanError(f"{where}: a numpy value of type {value.dtype.name} cannot be written as text")
    name = "bool_" if value.dtype.name == "bool" else value.dtype.name
    return f"np.{name}({literal(value.item(), where)})"


def _array(value: np.ndarray[Any, Any], where: str) -> str:
    if value.ndim == 0:
        return literal(value[()], where)
    kind = value.dtype.kind
    if kind not in "OSU" and value.dtype.name not in _NUMPY_SCALARS:
        raise PlanError(f"{where}: an array of type {value.dtype.name} cannot be written as text")
    if value.size == 0:
        return f"np.empty({value.shape}, {_dtype_text(value.dtype)})"
    return f"np.array({literal(value.tolist(), where)}, {_dtype_text(value.dtype)})"


def _dtype_text(dtype: np.dtype[Any]) -> str:
    return repr(dtype.str if dtype.kind in "SU" else dtype.name)


def read_literal(text: str) -> Any:
    """The value that `literal` wrote; looks at the text's syntax only, runs nothing.

    Raises:
        ValueError: the text is not a literal; says which part is not.
    """
    try:
        value = _value(ast.parse(text.strip(), mode="eval").body)
    except (SyntaxError, TypeError, ArithmeticError, RecursionError, MemoryError) as error:
        raise ValueError(f"not a Python literal: {text!r:.200}") from error
    require_readable(value)
    return value


def require_readable(value: Any) -> None:
    """Refuse whole numbers, in a value or inside it, that are too long for Python to write.

    Raises:
        ValueError: There is one.
    """
    if isinstance(value, int) and value.bit_length() > MOST_BITS:
        raise ValueError(f"a whole number of {value.bit_length():,} bits; valid: up to {MOST_BITS:,}")
    if isinstance(value, Mapping):
        for pair in value.items():
            require_readable(pair)
    elif isinstance(value, list | tuple | set | frozenset):
        for item in value:
            require_readable(item)


def _value(node: ast.expr) -> Any:
    match node:
        case ast.Constant(value=value):
            return value
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
            return -value
        case ast.Tuple(elts=items):
            return tuple(_value(item) for item in items)
        case ast.List(elts=items):
            return [_value(item) for item in items]
        case ast.Set(elts=items):
            return {_value(item) for item in items}
        case ast.Dict(keys=keys, values=values) if None not in keys:
            return {_value(key): _value(value) for key, value in zip(keys, values, strict=True) if key is not None}
        case ast.Call(func=ast.Name(id="float"), args=[ast.Constant(value=str(text))], keywords=[]):
            return float(text)
        case ast.Call(func=ast.Name(id="frozenset"), args=[ast.Set(elts=items)], keywords=[]):
            return frozenset(_value(item) for item in items)
        case ast.Call(func=ast.Attribute(value=ast.Name(id="np"), attr=name), args=[argument], keywords=[]) if (
            name.removesuffix("_") in _NUMPY_SCALARS
        ):
            value = _value(argument)
            made = np.dtype(name.removesuffix("_")).type(value)
            # Older versions of numpy wrap a number that does not fit.
            if made.dtype.kind not in "iu" or made == value:
                return made
    raise ValueError(f"not a Python literal: {ast.unparse(node)}")


def describe(value: Any) -> str:
    """A short text for people: long sequences cut, arrays by type and shape, free of addresses."""
    match value:
        case np.ndarray():
            return f"{value.dtype.name}{list(value.shape)}"
        case str() | bytes() | None | bool() | int() | float():
            return repr(value)
        case tuple() | list():
            shown = [describe(item) for item in value[:_MANY]]
            if len(value) > _MANY:
                shown = [*shown[: _MANY // 2], f"... {len(value)} in all"]
            inside = ", ".join(shown)
            return f"({inside}{',' * (len(value) == 1)})" if isinstance(value, tuple) else f"[{inside}]"
        case Mapping():
            return "{" + ", ".join(f"{describe(key)}: {describe(item)}" for key, item in value.items()) + "}"
        case set() | frozenset():
            return "{" + ", ".join(sorted(map(describe, value))) + "}"
    if hasattr(value, "dtype") and hasattr(value, "shape") and hasattr(value, "numpy"):
        return f"{value.dtype.name}{list(value.shape)}"
    return repr(value) if stable_repr(value) else f"<{type(value).__name__}>"


def stable_repr(value: Any) -> bool:
    """Whether `repr` shows no memory address."""
    return re.search(r"\b0x[0-9a-f]{6,}", repr(value)) is None
