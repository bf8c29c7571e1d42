"""Two plans side by side."""

from __future__ import annotations

from difflib import SequenceMatcher

from pipeline_opt.plan import Plan
from pipeline_opt.text.explain import line_text, plan_lines


def side_by_side(before: Plan, after: Plan, width: int = 60) -> str:
    """The plans as text, one beside the other, equal lines in one row, changed ones marked.

    Args:
        before: On the left.
        after: On the right.
        width: Columns of each; longer lines are cut.
    """
    left = [_cut(line_text(line), width) for line in plan_lines(before)]
    right = [_cut(line_text(line), width) for line in plan_lines(after)]
    rows = [f"  {'before':<{width}}  after"]
    for kind, i, j, k, m in SequenceMatcher(None, left, right, autojunk=False).get_opcodes():
        mark = " " if kind == "equal" else "*"
        a, b = left[i:j], right[k:m]
        for number in range(max(len(a), len(b))):
            one = a[number] if number < len(a) else ""
            other = b[number] if number < len(b) else ""
            rows.append(f"{mark} {one:<{width}}  {other}".rstrip())
    return "\n".join(rows)


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 1]}…"
