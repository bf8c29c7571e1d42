"""Where a function's source is, and what it takes from around it."""

from __future__ import annotations

import ast
import builtins
import dis
import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from types import CodeType, FunctionType
from typing import Any

from pipeline_opt.text.code.layout import dedent


class NoSourceError(Exception):
    """Raised within this room where a function cannot be written as code; the message is the reason."""


@dataclass(frozen=True)
class Origin:
    """The source of one function.

    Args:
        source: The whole file that it stands in.
        node: Its syntax in that file.
    """

    source: str
    node: ast.FunctionDef | ast.Lambda

    def text(self, replacements: Sequence[tuple[ast.expr, str]] = ()) -> str:
        """The expression of a lambda, or a `def` at the left margin without its decorators.

        A function object is what a decorator got, so that a decorator, where there is one, is written elsewhere.

        Args:
            replacements: Parts of the function with what to write in their place.
        """
        data = self.source.encode()
        begin, end = self._span(self.node)
        parts = []
        for node, code in sorted(replacements, key=lambda item: self._span(item[0])):
            first, last = self._span(node)
            parts += [data[begin:first].decode(), code]
            begin = last
        text = "".join([*parts, data[begin:end].decode()])
        if isinstance(self.node, ast.Lambda):
            return f"({text})" if "\n" in text else text
        return dedent(" " * self.node.col_offset + text, self.node.col_offset)

    def _span(self, node: ast.expr | ast.stmt) -> tuple[int, int]:
        """First byte of a part of the file, and the one after its last."""
        starts = [0, *accumulate(len(line.encode()) for line in self.source.splitlines(keepends=True))]
        end_line, end_column = node.end_lineno or node.lineno, node.end_col_offset or 0
        return starts[node.lineno - 1] + node.col_offset, starts[end_line - 1] + end_column


def find_origin(function: FunctionType) -> Origin:
    """Find the source of a function; exact also where several lambdas share a line.

    Raises:
        NoSourceError: there is none, the file has changed since the function was made from it, or the function
            changes variables outside it.
    """
    try:
        lines, _ = inspect.findsource(function.__code__)
        source = "".join(lines)
        tree = ast.parse(source)
        module = compile(source, function.__code__.co_filename, "exec", dont_inherit=True)
    except (OSError, SyntaxError, ValueError) as error:
        raise NoSourceError("its source cannot be found") from error
    if not any(_alike(function.__code__, code) for code in _codes(module)):
        raise NoSourceError("its source has changed since it was imported, or was changed on import")
    node = _node(tree, function.__code__)
    for inner in ast.walk(node):
        outside = isinstance(inner, ast.Nonlocal) and set(inner.names) & set(function.__code__.co_freevars)
        if isinstance(inner, ast.Global) or outside:
            raise NoSourceError(f"it changes {', '.join(inner.names)} outside it")  # type: ignore[attr-defined]
    return Origin(source, node)


def _alike(one: CodeType, other: CodeType) -> bool:
    """Whether two codes come from the same text at the same place; compiler flags, as of a notebook, do not count."""
    same = all(getattr(one, name) == getattr(other, name) for name in ("co_code", "co_names", "co_linetable"))
    if not same or one.co_firstlineno != other.co_firstlineno or len(one.co_consts) != len(other.co_consts):
        return False
    for mine, others in zip(one.co_consts, other.co_consts, strict=True):
        if isinstance(mine, CodeType) and isinstance(others, CodeType):
            if not _alike(mine, others):
                return False
        elif (type(mine), mine) != (type(others), others):
            return False
    return True


def _codes(code: CodeType) -> Iterator[CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield constant
            yield from _codes(constant)


def _node(tree: ast.Module, code: CodeType) -> ast.FunctionDef | ast.Lambda:
    kind = ast.Lambda if code.co_name == "<lambda>" else ast.FunctionDef
    found = [node for node in ast.walk(tree) if isinstance(node, kind) and _first_line(node) == code.co_firstlineno]
    fitting = [node for node in found if _covers(node, code)]
    if not fitting:
        raise NoSourceError("its source cannot be found")
    # A lambda around this one covers its instructions as well.
    return max(fitting, key=lambda node: (node.lineno, node.col_offset))


def _first_line(node: ast.FunctionDef | ast.Lambda) -> int:
    decorators = node.decorator_list if isinstance(node, ast.FunctionDef) else []
    return min([node.lineno, *(decorator.lineno for decorator in decorators)])


def _covers(node: ast.FunctionDef | ast.Lambda, code: CodeType) -> bool:
    """Whether the instructions of a function's code lie within a piece of syntax."""
    if isinstance(node, ast.FunctionDef):
        return node.name == code.co_name
    begin, end = (node.lineno, node.col_offset), (node.end_lineno or 0, node.end_col_offset or 0)
    for line, end_line, column, end_column in code.co_positions():
        if line is None or end_line is None or column is None or end_column is None:
            continue
        empty = (line, column) == (end_line, end_column)
        if not empty and not (begin <= (line, column) and (end_line, end_column) <= end):
            return False
    return True


def used_values(function: FunctionType) -> Iterator[tuple[str, Any]]:
    """The names that a function takes from its closure and its module, with their values; builtins left out.

    Raises:
        NoSourceError: a variable of its closure has no value yet.
    """
    code = function.__code__
    for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
        try:
            yield name, cell.cell_contents
        except ValueError as error:
            raise NoSourceError(f"it uses {name!r}, which has no value yet") from error
    for name in dict.fromkeys(_global_names(code)):
        if name in function.__globals__:
            yield name, function.__globals__[name]
        elif not hasattr(builtins, name):
            raise NoSourceError(f"it uses {name!r}, which does not exist")


def _global_names(code: CodeType) -> Iterator[str]:
    for instruction in dis.get_instructions(code):
        if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            yield instruction.argval
    for inner in _codes(code):
        yield from _global_names(inner)


def written_defaults(function: FunctionType, origin: Origin) -> Iterator[tuple[ast.expr, Any]]:
    """The defaults of arguments that are not written as constants, with the values that they had."""
    arguments = origin.node.args
    positional = function.__defaults__ or ()
    yield from _not_constant(arguments.defaults, positional)
    named = function.__kwdefaults__ or {}
    pairs = [(node, named[a.arg]) for a, node in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True) if node]
    yield from _not_constant([node for node, _ in pairs], [value for _, value in pairs])


def _not_constant(nodes: Sequence[ast.expr], values: Sequence[Any]) -> Iterator[tuple[ast.expr, Any]]:
    for node, value in zip(nodes, values, strict=True):
        if not isinstance(node, ast.Constant):
            yield node, value
