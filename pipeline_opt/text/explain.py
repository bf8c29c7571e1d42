"""A plan as text that people read: one stage a line."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from pipeline_opt.access import Access
from pipeline_opt.functions import Function
from pipeline_opt.names import inner_prefix
from pipeline_opt.plan import Combination, Plan
from pipeline_opt.sources import OpaqueDataset, Source, Tensors
from pipeline_opt.stages import AUTO, FUNCTION_FIELDS, Map, Stage, inner_stages
from pipeline_opt.text.values import describe

TUNED: Final = ("cycle_length", "num_parallel_calls")
"""The arguments that are shown and written whatever they are: people turn these."""

_PAD: Final = 2


class Line(NamedTuple):
    """One line of a plan's text.

    Attributes:
        depth: How many plans this one stands inside.
        first: Whether a plan inside another one begins here.
        path: The stage's name, `in0_map` in a plan inside another one; `source` for a source.
        item: The source or the stage.
    """

    depth: int
    first: bool
    path: str
    item: Source | Stage

    @property
    def title(self) -> str:
        """The stage's name, or the source's kind."""
        return self.item.name if isinstance(self.item, Stage) else self.item.kind

    @property
    def knobs(self) -> str:
        """The arguments that differ from the default, and those that people tune."""
        return " ".join(f"{name}={text}" for name, text in knob_texts(self.item))


def plan_text(plan: Plan) -> str:
    """The plan as text: its source, then one stage a line with the arguments that say something.

    Plans that meet in the source stand indented beneath it, each from a dash on. Free of memory addresses, so that
    texts can be compared.
    """
    return "\n".join(line_text(line) for line in plan_lines(plan))


def line_text(line: Line) -> str:
    """A line as `plan_text` shows it."""
    kind = "" if line.title == line.item.kind or _numbered(line) else f"({line.item.kind})"
    indent = "    " * (line.depth - 1) + ("  - " if line.first else "    ") if line.depth else ""
    return indent + " ".join(word for word in (line.title, kind, line.knobs) if word)


def _numbered(line: Line) -> bool:
    return re.fullmatch(rf"{re.escape(line.item.kind)}_[0-9]+", line.title) is not None


def plan_lines(plan: Plan, depth: int = 0, prefix: str = "") -> Iterator[Line]:
    """Source and stages, each plan inside the source directly beneath it."""
    yield Line(depth, True, f"{prefix}source", plan.source)
    if isinstance(plan.source, Combination):
        for number, part in enumerate(plan.source.plans):
            yield from plan_lines(part, depth + 1, inner_prefix(prefix, number))
    for stage in plan.stages:
        yield from _stage_lines(stage, depth, False, prefix)


def _stage_lines(stage: Stage, depth: int, first: bool, prefix: str) -> Iterator[Line]:
    """A stage, and beneath it those that each of its inputs passes through."""
    yield Line(depth, first, prefix + stage.name, stage)
    for number, inner in enumerate(inner_stages(stage)):
        yield from _stage_lines(inner, depth + 1, number == 0, prefix)


def knob_texts(item: Source | Stage) -> Iterator[tuple[str, str]]:
    """Name and text of every argument that says something."""
    if isinstance(item, Tensors):
        yield "value", _structure(item.value)
    for field in told(item):
        value = getattr(item, field.name)
        if isinstance(value, Access):
            yield from ((name, describe(setting)) for name, setting in value.settings().items())
        elif isinstance(value, Function):
            yield field.name, _function_text(value)
        elif field.name == "num_parallel_calls" and value is None:
            yield field.name, "sequential"
        elif _is_tuned(field) and value == AUTO:
            yield field.name, "AUTO"
        else:
            yield field.name, describe(list(value) if is_list(field) and value is not None else value)
    if isinstance(item, OpaqueDataset) and item.factory is None:
        yield "element_spec", describe(getattr(item.dataset, "element_spec", None))


def told(item: Source | Stage) -> Iterator[dataclasses.Field[Any]]:
    """The fields that a text of the stage holds: those without a default, not at it, or tuned by people."""
    for field in dataclasses.fields(item):
        value = getattr(item, field.name)
        if field.name in ("name", "plans") or not field.repr:
            continue
        required = field.default is dataclasses.MISSING
        # Not compared with None by value: an array given for `padded_shapes` has no single truth value.
        changed = value is not None if field.default is None else value != field.default
        if required or _is_tuned(field) or changed:
            yield field


def _is_tuned(field: dataclasses.Field[Any]) -> bool:
    return field.name in TUNED or field.default == AUTO


def is_list(field: dataclasses.Field[Any]) -> bool:
    """Whether a field holds a list of values (kept as a tuple); in other fields a tuple is a structure."""
    return str(field.type).startswith("tuple[")


def _function_text(function: Function) -> str:
    bound = ", ".join(f"{name}={describe(value)}" for name, value in function.arguments)
    return (function.ref or function.label) + (f"({bound})" if bound else "")


def _structure(value: Any) -> str:
    """The types and shapes of tensors in memory, in their structure."""
    if isinstance(value, tuple):
        return f"({', '.join(_structure(item) for item in value)})"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_structure(item)}" for key, item in value.items()) + "}"
    return f"{len(value)} values" if isinstance(value, list) else describe(value)


def explain(plan: Plan, purity: Mapping[str, str] | None = None, harms: Sequence[tuple[str, str]] = ()) -> str:
    """The plan as an aligned table: stage, kind, arguments and purity; what does harm stands beneath.

    Args:
        plan: The plan.
        purity: `pure`, `random` or `unknown` by stage name (`in0_map` in a plan inside another one), for the stages that
            hold a user's function; what the plan itself declares where a stage is missing.
        harms: Stage name and message of what the order does.
    """
    rows = [("stage", "kind", "arguments", "purity")]
    for line in plan_lines(plan):
        rows.append(("  " * line.depth + line.path, line.item.kind, line.knobs, _purity(line, purity or {})))
    widths = [max(len(row[column]) for row in rows) + _PAD for column in range(3)]
    table = ["".join(cell.ljust(width) for cell, width in zip(row, (*widths, 0), strict=True)).rstrip() for row in rows]
    warnings = [f"warning: {stage}: {message}" for stage, message in harms]
    return "\n".join(table + ([""] if warnings else []) + warnings)


def _purity(line: Line, found: Mapping[str, str]) -> str:
    if not any(getattr(line.item, name, None) is not None for name in FUNCTION_FIELDS):
        return ""
    said = line.item.random if isinstance(line.item, Map) else None
    declared = {True: "random", False: "pure", None: "unknown"}[said]
    return found.get(line.path, declared)
