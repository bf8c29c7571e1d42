"""A plan as a TOML file that people edit: written here, read back in `toml_reader`.

The form of a file:

    order = ["interleave", "decode", "batch"]

    [source]
    kind = "tfrecords"
    paths = ["data/*.tfrecord"]

    [source.access]
    via = "fsspec"

    [stages.decode]
    kind = "map"
    function = "package.module:decode"
    num_parallel_calls = "auto"

    [stages.decode.arguments]
    size = 224

A stage without a table has its kind's defaults; its kind is its name without a number at the end, unless the table
says `kind`. Functions that are called one after another are a list of references, those with arguments tables
`{ function = ..., arguments = { ... } }`. `"auto"` stands for `AUTO`, `"sequential"` for a parallelism of None. What TOML
has no form for (None inside a list, tuples, bytes) is a string that begins with `literal:` and goes on as Python writes
the value.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import tomli_w

from pipeline_opt.access import Access
from pipeline_opt.errors import FunctionError, PlanError
from pipeline_opt.functions import Chain, Function
from pipeline_opt.names import implied_kind, inner_prefix
from pipeline_opt.plan import Combination, Plan
from pipeline_opt.sources import OpaqueDataset, Source, Tensors
from pipeline_opt.stages import AUTO, OpaqueStage, Stage, inner_stages
from pipeline_opt.text.explain import is_list, told
from pipeline_opt.text.values import literal

LITERAL: Final = "literal:"
"""How a string begins that holds a value in Python's own form."""


def to_toml(plan: Plan) -> str:
    """The plan as TOML text; `loads` gives an equal plan back.

    Raises:
        FunctionError: a function has no reference; says how to give it one.
        PlanError: the source is in memory or an existing dataset, or an argument is not a plain value.
    """
    text: str = tomli_w.dumps(_plan_table(plan, ""))
    return text


def _plan_table(plan: Plan, prefix: str) -> dict[str, Any]:
    tables = {stage.name: _stage_table(stage, prefix) for stage in plan.stages}
    told_of = {name: table for name, table in tables.items() if table}
    order = [stage.name for stage in plan.stages]
    source = _source_table(plan.source, prefix)
    return {"order": order, "source": source} | ({"stages": told_of} if told_of else {})


def _source_table(source: Source, prefix: str) -> dict[str, Any]:
    where = f"{prefix}source"
    if isinstance(source, Tensors):
        raise PlanError(f"{where}: tensors in memory cannot be written as TOML; write them to files first")
    if isinstance(source, OpaqueDataset) and source.factory is None:
        raise PlanError(
            f"{where}: an existing dataset cannot be written as TOML; pass the function that makes it, "
            "as 'package.module:function'"
        )
    table = {"kind": source.kind, **_arguments(source, where)}
    if isinstance(source, Combination):
        table["plans"] = [_plan_table(part, inner_prefix(prefix, number)) for number, part in enumerate(source.plans)]
    return table


def _stage_table(stage: Stage, prefix: str) -> dict[str, Any]:
    where = prefix + stage.name
    if isinstance(stage, OpaqueStage) and stage.transformation is None:
        raise PlanError(f"{where}: a transformation that only an existing dataset holds cannot be written as TOML")
    if inner_stages(stage):
        raise PlanError(f"{where}: the stages inside it cannot be written as TOML")
    kind = {} if implied_kind(stage.name) == stage.kind else {"kind": stage.kind}
    return kind | _arguments(stage, where)


def _arguments(item: Source | Stage, where: str) -> dict[str, Any]:
    table: dict[str, Any] = {}
    bound: Mapping[str, Any] = {}
    for field in told(item):
        value = getattr(item, field.name)
        if isinstance(value, Access):
            settings = value.settings().items()
            table[field.name] = {name: toml_value(setting, f"{where}: access: {name}") for name, setting in settings}
        elif isinstance(value, Function):
            table[field.name] = _function(value, where)
            bound = dict(value.arguments)
        else:
            converted = list(value) if is_list(field) and value is not None else value
            table[field.name] = _knob(field.name, field.default, converted, where)
    if bound:
        table["arguments"] = _bound(bound, where)
    return table


def _bound(arguments: Mapping[str, Any], where: str) -> dict[str, Any]:
    return {name: toml_value(value, f"{where}: argument {name}") for name, value in arguments.items()}


def _function(function: Function, where: str) -> Any:
    """A reference; of functions one after another a list of them, each with its own arguments."""
    if not isinstance(function.call, Chain):
        return _reference(function, where)
    return [_part(part, where) for part in function.call.functions]


def _part(function: Function, where: str) -> Any:
    told_of = _function(function, where)
    return (
        {"function": told_of, "arguments": _bound(dict(function.arguments), where)} if function.arguments else told_of
    )


def _knob(name: str, default: Any, value: Any, where: str) -> Any:
    if name == "num_parallel_calls" and value is None:
        return "sequential"
    if (name == "num_parallel_calls" or default == AUTO) and value == AUTO:
        return "auto"
    return toml_value(value, f"{where}: {name}")


def _reference(function: Function, where: str) -> str:
    if function.ref is None:
        raise FunctionError(
            f"{where}: {function.label} cannot be written to a file, as nothing can import it; define it at the top of a "
            "module or file and pass it from there, or as 'package.module:function' or 'path/to/file.py:function'"
        )
    return function.ref


def toml_value(value: Any, where: str) -> Any:
    """A value in TOML's own form where it has one, else as a string that begins with `literal:`.

    Raises:
        PlanError: the value is not a plain one; `where` says whose it is.
    """
    return value if _is_toml(value) else f"{LITERAL} {literal(value, where)}"


def _is_toml(value: Any) -> bool:
    kind = type(value)
    if kind is str:
        return not value.startswith(LITERAL)
    if kind is list:
        return all(_is_toml(item) for item in value)
    if kind is dict:
        return all(type(key) is str and _is_toml(item) for key, item in value.items())
    return kind in (bool, int, float)
