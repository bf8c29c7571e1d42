"""A plan from its TOML form; nothing is imported and nothing is run, functions stay references."""

from __future__ import annotations

import dataclasses
import os
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Final, TypeVar, get_args, get_origin, get_type_hints

from pipeline_opt.access import Access
from pipeline_opt.errors import ConfigError, PlanError
from pipeline_opt.functions import Function, bind
from pipeline_opt.names import implied_kind, nearest_name
from pipeline_opt.plan import Concatenate, Plan, Sample, Zip
from pipeline_opt.sources import FILE_SOURCES, OpaqueDataset, Source
from pipeline_opt.stages import AUTO, STAGES, Stage
from pipeline_opt.text.toml import LITERAL
from pipeline_opt.text.values import read_literal, require_readable

_STAGES: Final[Mapping[str, type[Stage]]] = {stage.kind: stage for stage in STAGES}
_KNOWN_SOURCES: Final[tuple[type[Source], ...]] = (*FILE_SOURCES, OpaqueDataset, Zip, Concatenate, Sample)
_SOURCES: Final[Mapping[str, type[Source]]] = {source.kind: source for source in _KNOWN_SOURCES}
T = TypeVar("T", Source, Stage)

_WORDS: Final[Mapping[type, str]] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a string",
    NoneType: "left out",
    Function: "a function as 'package.module:function' or 'path/to/file.py:function', or a list of them",
}


def from_toml(config: str | Path) -> Plan:
    """A plan from TOML: text if `config` is a string, a file if it is a `Path`."""
    return load_path(config) if isinstance(config, Path) else loads(config)


MOST_BYTES: Final = 16 << 20
"""A plan is text that people write."""


def load_path(path: str | os.PathLike[str]) -> Plan:
    """Read a plan from a TOML file.

    Raises:
        ConfigError: the file cannot be read, or does not describe a plan; names the file, the stage and the value.
    """
    try:
        if Path(path).is_fifo() or Path(path).is_char_device() or Path(path).stat().st_size > MOST_BYTES:
            raise ConfigError(f"{path}: cannot be read: valid: a file of up to {MOST_BYTES:,} bytes")
        text = Path(path).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not a TOML file: byte {error.start} is not UTF-8") from error
    return loads(text, where=str(path))


def loads(text: str, where: str = "plan") -> Plan:
    """Read a plan from TOML text; `where` is what error messages call it.

    Raises:
        ConfigError: the text does not describe a plan; names the stage, the value and what would be valid.
    """
    try:
        table = tomllib.loads(text)
        require_readable(table)
    except (ValueError, RecursionError) as error:
        end = f"(at line {text.count(chr(10)) + 1}, the last)"
        reason = str(error).replace("(at end of document)", end)
        raise ConfigError(f"{where}: not valid TOML: {reason}") from error
    return _plan(table, where)


def _plan(table: Mapping[str, Any], where: str) -> Plan:
    _require_known(table, ("source", "order", "stages"), where, "entry")
    if "source" not in table:
        raise ConfigError(f"{where}: there is no [source]; add one with kind = one of: {', '.join(_SOURCES)}")
    source = _source(_table(table["source"], f"{where}: source"), f"{where}: source")
    tables = _table(table.get("stages", {}), f"{where}: stages")
    order = _order(table.get("order", []), tables, where)
    stages = [_stage(name, _table(tables.get(name, {}), f"{where}: {name}"), where) for name in order]
    try:
        return Plan(source, tuple(stages))
    except PlanError as error:
        raise ConfigError(f"{where}: {error}") from error


def _order(value: Any, tables: Mapping[str, Any], where: str) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(name, str) and name for name in value):
        raise ConfigError(f"{where}: order={value!r:.200} is not valid; write a list of stage names")
    names = value[1:] if value[:1] == ["source"] else value
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"{where}: order has {name!r} twice; every stage needs a name of its own")
    for name in tables:
        if name not in names:
            hint = nearest_name(name, names)
            raise ConfigError(
                f"{where}: stage {name!r} has a table and is not in order; add it or delete its table{hint}"
            )
    return names


def _source(table: Mapping[str, Any], where: str) -> Source:
    kind = table.get("kind")
    if not isinstance(kind, str) or kind not in _SOURCES:
        hint = nearest_name(str(kind), _SOURCES)
        raise ConfigError(f"{where}: kind={kind!r:.200} is not valid; valid: {', '.join(_SOURCES)}{hint}")
    given: dict[str, Any] = {name: value for name, value in table.items() if name != "kind"}
    if kind not in ("zip", "concatenate", "sample"):
        return _made(_SOURCES[kind], given, where)
    parts = given.pop("plans", None)
    if not isinstance(parts, list):
        raise ConfigError(f"{where}: plans={parts!r:.200} is not valid; write one [[source.plans]] for each plan")
    inner = [(f"{where}: plans[{number}]", part) for number, part in enumerate(parts)]
    plans = tuple(_plan(_table(part, place), place) for place, part in inner)
    return _made(_SOURCES[kind], given, where, plans=plans)


def _stage(name: str, table: Mapping[str, Any], where: str) -> Stage:
    kind = table.get("kind", implied_kind(name))
    if not isinstance(kind, str) or kind not in _STAGES:
        hint = nearest_name(str(kind), _STAGES)
        raise ConfigError(
            f"{where}: {name}: no kind of stage is called {kind!r}; a stage with a name of its own needs kind, "
            f"one of: {', '.join(_STAGES)}{hint}"
        )
    given = {argument: value for argument, value in table.items() if argument != "kind"}
    return _made(_STAGES[kind], given, f"{where}: {name}", name=name)


def _made(cls: type[T], given: Mapping[str, Any], where: str, **settled: Any) -> T:
    """An object of a stage or source class from a table of its arguments."""
    hints = get_type_hints(cls)
    fields = [f for f in dataclasses.fields(cls) if f.repr and f.name not in ("name", "plans", "value", "dataset")]
    takes_function = any(_is_function(hints[f.name]) for f in fields)
    _require_known(given, [f.name for f in fields] + ["arguments"] * takes_function, where, "argument")
    bound = _table(given.get("arguments", {}), f"{where}: arguments")
    values = {f.name: _argument(f, hints[f.name], given[f.name], bound, where) for f in fields if f.name in given}
    missing = [f.name for f in fields if f.default is dataclasses.MISSING and f.name not in values]
    if missing:
        raise ConfigError(f"{where}: {cls.kind} needs a value for {', '.join(missing)}")
    if bound and not any(isinstance(value, Function) for value in values.values()):
        raise ConfigError(f"{where}: arguments are given, and no function to pass them to")
    try:
        return cls(**settled, **values)
    except PlanError as error:
        reason = str(error).removeprefix(f"{settled.get('name', cls.kind)}: ")
        raise ConfigError(f"{where}: {reason}") from error


def _argument(field: dataclasses.Field[Any], hint: Any, given: Any, bound: Mapping[str, Any], where: str) -> Any:
    if field.default == AUTO or field.name == "num_parallel_calls":
        words = {"auto": AUTO, "sequential": None} if _fits(None, hint) else {"auto": AUTO}
        if isinstance(given, str) and given in words:
            return words[given]
        valid = "a whole number, " + " or ".join(f"{word!r}" for word in words)
    else:
        valid = _valid(hint)
    if hint is Access:
        return _access(_table(given, f"{where}: access"), where)
    value = _plain(given, f"{where}: {field.name}")
    if field.name == "paths" and isinstance(value, str):
        value = [value]
    if not _fits(value, hint):
        raise ConfigError(f"{where}: {field.name}={given!r:.200} is not valid; valid: {valid}")
    if value is None or not _is_function(hint):
        return value
    try:
        return _function(value, bound, where)
    except ConfigError:
        raise
    except PlanError as error:
        raise ConfigError(f"{where}: {field.name}: {error}") from error


def _function(value: Any, bound: Mapping[str, Any], where: str) -> Function:
    """A function from a reference, or from a list of those that are called one after another."""
    if isinstance(value, list):
        if bound:
            raise ConfigError(f"{where}: arguments are given for a list of functions; give each its own")
        if not value:
            raise ConfigError(f"{where}: no function is in the list; valid: one or more")
        return Function.chain(*(_part(part, where) for part in value))
    arguments = {name: _plain(argument, f"{where}: argument {name}") for name, argument in bound.items()}
    return Function(Function.of(value).ref, bind(arguments))


def _part(value: Any, where: str) -> Function:
    if not isinstance(value, dict):
        return _function(value, {}, where)
    _require_known(value, ["function", "arguments"], where, "argument")
    return _function(value.get("function"), _table(value.get("arguments", {}), f"{where}: arguments"), where)


def _access(table: Mapping[str, Any], where: str) -> Access:
    _require_known(table, [field.name for field in dataclasses.fields(Access)], f"{where}: access", "setting")
    try:
        return Access(**{name: _plain(value, f"{where}: access: {name}") for name, value in table.items()})
    except PlanError as error:
        raise ConfigError(f"{where}: {error}") from error


def _plain(value: Any, where: str) -> Any:
    if not isinstance(value, str) or not value.startswith(LITERAL):
        return value
    try:
        return read_literal(value.removeprefix(LITERAL))
    except ValueError as error:
        raise ConfigError(f"{where}: {error}") from error


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value read from TOML is of an annotated type; lists stand for tuples, strings for functions."""
    if hint is Any:
        return True
    if isinstance(hint, UnionType):
        return any(_fits(value, option) for option in get_args(hint))
    if get_origin(hint) is tuple:
        return isinstance(value, list | tuple) and all(_fits(item, get_args(hint)[0]) for item in value)
    if hint in (int, float):
        return isinstance(value, int if hint is int else int | float) and not isinstance(value, bool)
    return isinstance(value, str | list if hint is Function else hint)


def _valid(hint: Any) -> str:
    if isinstance(hint, UnionType):
        return ", or ".join(_valid(option) for option in get_args(hint))
    if get_origin(hint) is tuple:
        return f"a list, each item {_valid(get_args(hint)[0])}"
    return _WORDS.get(hint, str(hint))


def _is_function(hint: Any) -> bool:
    return hint is Function or Function in get_args(hint)


def _table(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ConfigError(f"{where}={value!r:.200} is not valid; write a table")
    return value


def _require_known(table: Mapping[str, Any], valid: Iterable[str], where: str, what: str) -> None:
    valid = list(valid)
    for name in table:
        if name not in valid:
            hint = nearest_name(name, valid)
            raise ConfigError(f"{where}: no {what} is called {name!r}; valid: {', '.join(valid) or 'none'}{hint}")
