"""How ops are computed for a whole batch: a rule for each, by family."""

from __future__ import annotations

from typing import Final

from pipeline_opt.build.forms.calls import Rule
from pipeline_opt.build.forms.rules import (
    checks,
    elementwise,
    linear,
    padding,
    parsing,
    reductions,
    shapes,
    slicing,
    sparse,
    strings,
    vision,
)

_FAMILIES: Final = (elementwise, shapes, slicing, padding, reductions, linear, strings, parsing, sparse, vision, checks)

RULES: Final[dict[str, Rule]] = {kind: rule for family in _FAMILIES for kind, rule in family.RULES.items()}
