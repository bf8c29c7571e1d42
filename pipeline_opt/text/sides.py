"""Two plans side by side."""

from __future__ import annotations

import textwrap
from difflib import SequenceMatcher
from itertools import zip_longest

from pipeline_opt.plan import Plan
from pipeline_opt.text.explain import line_text, plan_lines


def side_by_side(before: Plan, after: Plan, width: int = 60) -> str:
    """The plans as text, one beside the other, equal lines in one row, changed ones marked.

    Args:
        before: On the left.
        after: On the right.
        width: Columns of each; longer lines go on in the next row.
    """
    left, right = ([line_text(line) for line in plan_lines(plan)] for plan in (before, after))
    rows = [f"  {'before':<{width}}  after"]
    for kind, i, j, k, m in SequenceMatcher(None, left, right, autojunk=False).get_opcodes():
        mark = " " if kind == "equal" else "*"
        for one, other in zip_longest(left[i:j], right[k:m], fillvalue=""):
            pieces = zip_longest(_broken(one, width), _broken(other, width), fillvalue="")
            rows += [f"{mark} {a:<{width}}  {b}".rstrip() for a, b in pieces]
    return "\n".join(rows)


def _broken(text: str, width: int) -> list[str]:
    """A line in pieces, those after the first indented."""
    indent = " " * (len(text) - len(text.lstrip()) + 4)
    return textwrap.wrap(text, width, subsequent_indent=indent, break_on_hyphens=False, drop_whitespace=True) or [""]
