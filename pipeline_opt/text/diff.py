"""What a rewrite has changed, as text."""

from __future__ import annotations

import difflib
from collections.abc import Iterator

from pipeline_opt.plan import Plan
from pipeline_opt.text.explain import line_text, plan_lines


def plan_diff(before: Plan, after: Plan) -> str:
    """Both plans' lines in one text: `- ` before what is gone, `+ ` before what is new, two spaces before the rest.

    Lines that read alike and hold different functions or data (two lambdas) count as different.
    """
    return "\n".join(_diff(before, after))


def _diff(before: Plan, after: Plan) -> Iterator[str]:
    old, new = list(plan_lines(before)), list(plan_lines(after))
    old_text, new_text = [line_text(line) for line in old], [line_text(line) for line in new]
    matcher = difflib.SequenceMatcher(None, old_text, new_text, autojunk=False)
    for tag, a, b, c, d in matcher.get_opcodes():
        for i, j in zip(range(a, b), range(c, d), strict=False) if tag == "equal" else ():
            if old[i].item == new[j].item:
                yield f"  {old_text[i]}"
            else:
                yield from (f"- {old_text[i]}", f"+ {new_text[j]}")
        if tag != "equal":
            yield from (f"- {text}" for text in old_text[a:b])
            yield from (f"+ {text}" for text in new_text[c:d])
