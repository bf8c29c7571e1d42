"""Names of imported stages: those that the user gave, else those of the user's functions, else what the stages are."""

from __future__ import annotations

import re
from typing import Final

from pipeline_opt.functions import Function
from pipeline_opt.ingest.graph import given_label, kind_of
from pipeline_opt.ingest.sites import Site
from pipeline_opt.stages import FUNCTION_FIELDS, OpaqueStage, Stage

_NAMELESS: Final = re.compile(r"lambda|\w+Dataset(V\d)?$")
"""Labels that say nothing of a stage: of lambdas, and of tf.data's own classes that open files."""


def wanted_name(site: Site, stage: Stage) -> str:
    """The name that a stage would have if it were the only one of that name."""
    given = given_label(site.node)
    if given:
        return _identifier(given)
    if isinstance(stage, OpaqueStage):
        return kind_of(site.node.op)
    functions = (getattr(stage, field, None) for field in FUNCTION_FIELDS)
    function = next((f for f in functions if isinstance(f, Function)), None)
    if function is None or _NAMELESS.match(function.label):
        return stage.kind
    return _identifier(function.label)


def free_name(wanted: str, taken: set[str]) -> str:
    """The name, with a number where it is taken already; it is taken then."""
    name, number = wanted, 2
    while name in taken:
        name, number = f"{wanted}_{number}", number + 1
    taken.add(name)
    return name


def _identifier(text: str) -> str:
    # A name scope may not begin with an underscore.
    name = re.sub(r"\W", "_", text).lstrip("_")
    return name if name.isidentifier() else f"stage_{name}"
