"""Layout of Python code: calls and lists that stay readable, blocks moved to another indentation."""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Sequence
from typing import Final

WIDTH: Final = 100
INDENT: Final = "    "


def call(function: str, arguments: Sequence[str]) -> str:
    """A call on one line if it fits, else one argument a line."""
    line = f"{function}({', '.join(arguments)})"
    if not arguments or (len(line) <= WIDTH and "\n" not in line):
        return line
    return f"{function}(\n{''.join(f'{indent(argument)},{chr(10)}' for argument in arguments)})"


def listing(items: Sequence[str]) -> str:
    """A list on one line if it fits, else one item a line."""
    line = f"[{', '.join(items)}]"
    if len(line) <= WIDTH:
        return line
    return f"[\n{''.join(f'{INDENT}{item},{chr(10)}' for item in items)}]"


def indent(code: str) -> str:
    """The code one level deeper; lines inside a string stay as they are."""
    inside = _lines_inside_strings(code)
    lines = code.split("\n")
    moved = (line if number in inside or not line.strip() else INDENT + line for number, line in enumerate(lines, 1))
    return "\n".join(moved)


def dedent(code: str, columns: int) -> str:
    """The code `columns` characters further left; lines inside a string stay as they are."""
    inside = _lines_inside_strings("if True:\n" + code) if columns else _lines_inside_strings(code)
    shift = 1 if columns else 0
    lines = code.split("\n")
    return "\n".join(line if number + shift in inside else line[columns:] for number, line in enumerate(lines, 1))


def _lines_inside_strings(code: str) -> set[int]:
    """Numbers of the lines that begin inside a string, in code that can be parsed (else none)."""
    try:
        tree = ast.parse(code)
    except SyntaxError:
        return set()
    strings = [node for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) or _is_text(node)]
    return {
        line
        for node in strings
        if isinstance(node, ast.expr)
        for line in range(node.lineno + 1, (node.end_lineno or node.lineno) + 1)
    }


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str | bytes)


def docstring(text: str) -> str:
    """A docstring of one or more lines."""
    return textwrap.indent(f'"""{text}"""', INDENT)
