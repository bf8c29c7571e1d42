"""A plan's function as code: imported by its reference, or written out with all that it uses."""

from __future__ import annotations

import functools
from pathlib import Path
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any, Final

from pipeline_opt.errors import FunctionError, PlanError
from pipeline_opt.functions import Chain, Function, load_reference
from pipeline_opt.lazy import LazyModule
from pipeline_opt.text.code.layout import call, indent
from pipeline_opt.text.code.origin import NoSourceError, find_origin, used_values, written_defaults
from pipeline_opt.text.code.script import Script
from pipeline_opt.text.values import literal

_USUAL: Final = {
    "tf": "tensorflow",
    "np": "numpy",
    **{name: name for name in ("base64", "functools", "importlib", "io", "sys")},
}
"""Modules that the script imports at its top under their usual names."""

_PACKAGE: Final = __name__.partition(".")[0]


def function_code(script: Script, function: Function, stage: str) -> str:
    """The expression that stands for a function in the script; what it needs is added to the script.

    Raises:
        FunctionError: it has no reference and cannot be written out; names the stage, the reason and the remedy.
    """
    try:
        return _bound(script, function)
    except (NoSourceError, RecursionError) as error:
        # Functions that call each other through their closures would be written out for ever.
        reason = error if isinstance(error, NoSourceError) else "it uses functions that use it"
        raise FunctionError(
            f"{stage}: {function.label} cannot be written as code: {reason}; define it at the top of a module or file "
            "and pass it from there, or as 'package.module:function' or 'path/to/file.py:function'"
        ) from error


def _bound(script: Script, function: Function) -> str:
    """A function with the arguments that are bound to it."""
    code = _expression(script, function)
    bound = [f"{name}={_literal(script, value, f'argument {name}')}" for name, value in function.arguments]
    return _partial(script, code, bound) if bound else code


def _expression(script: Script, function: Function) -> str:
    if isinstance(function.call, Chain):
        return script.chain([_bound(script, part) for part in function.call.functions])
    if function.ref is None:
        return _callable(script, function.call)
    where, _, name = function.ref.rpartition(":")
    call = function.call if function.call is not None else _imported(function.ref)
    if _is_ours(where):
        return _callable(script, call)
    if isinstance(call, FunctionType) and _needs_us(call):
        try:
            return _written_out(script, call)
        except NoSourceError:
            # Importing it works where the user's own module does.
            pass
    if where.endswith(".py"):
        return script.import_file(str(Path(where).resolve()), name)
    return script.import_from(where, name)


def _imported(ref: str) -> Any:
    """What a reference names, to be looked at; None where it cannot be imported here."""
    try:
        return load_reference(ref)
    except FunctionError:
        return None


def _callable(script: Script, value: Any) -> str:
    match value:
        case FunctionType():
            return _written_out(script, value)
        case functools.partial():
            inner = _value(script, value.func, "function")
            positional = [_value(script, argument, "argument") for argument in value.args]
            named = [f"{name}={_value(script, argument, name)}" for name, argument in value.keywords.items()]
            return _partial(script, inner, [*positional, *named])
        case _:
            raise NoSourceError(f"it is an object of class {type(value).__name__}, not a function")


def _partial(script: Script, code: str, arguments: list[str]) -> str:
    script.require("import functools")
    return call("functools.partial", [code, *arguments])


def _written_out(script: Script, function: FunctionType) -> str:
    """Define a function at the margin of the script, or inside a function of its own where names would clash."""
    needs = _Needs(script, function)
    at_margin = function.__closure__ is None and needs.fit_at_margin()
    if at_margin:
        needs.define_at_margin()
        return needs.result
    maker = script.free_name(f"_make_{_own_name(function).strip('<>')}")
    body = "\n".join([*needs.blocks.values(), f"return {needs.result}"])
    script.define(maker, function, f"def {maker}():\n{indent(body)}")
    return f"{maker}()"


class _Needs:
    """A function and what it uses, in an order in which they can be defined."""

    def __init__(self, script: Script, function: FunctionType) -> None:
        self._script = script
        self._module = function.__globals__
        self.values: dict[str, Any] = {}
        self.blocks: dict[str, str] = {}
        if _own_name(function) == "<lambda>":
            self._add_used(function)
            self.result = self._text(function)
        else:
            self._add_function(function)
            self.result = _own_name(function)

    def fit_at_margin(self) -> bool:
        """Whether every name is free at the margin of the script."""
        return all(self._script.fits(name, value) for name, value in self.values.items())

    def define_at_margin(self) -> None:
        """Define what is not defined yet."""
        for name, block in self.blocks.items():
            if not self._script.holds(name):
                self._script.define(name, self.values[name], block)

    def _add_function(self, function: FunctionType) -> None:
        self.values[_own_name(function)] = function
        self._add_used(function)
        self.blocks[_own_name(function)] = self._text(function)

    def _text(self, function: FunctionType) -> str:
        origin = find_origin(function)
        defaults = [(n, _value(self._script, value, "default")) for n, value in written_defaults(function, origin)]
        return origin.text(defaults)

    def _add_used(self, function: FunctionType) -> None:
        for name, value in used_values(function):
            if name not in self.values:
                self._add(name, value)
            elif self.values[name] is not value:
                raise NoSourceError(f"it uses two different things called {name!r}")

    def _add(self, name: str, value: Any) -> None:
        module = _module_name(value)
        if module is not None and _USUAL.get(name) == module:
            self._script.require(f"import {module}" if module == name else f"import {module} as {name}")
        elif isinstance(value, FunctionType) and self._is_neighbour(name, value):
            self._add_function(value)
        else:
            code = _value(self._script, value, name) if module is None else module
            # What the script imports under this very name need not be defined.
            if code != name or module is not None:
                self.values[name] = value
                self.blocks[name] = f"{name} = {code}" if module is None else f"import {module} as {name}"

    def _is_neighbour(self, name: str, value: FunctionType) -> bool:
        """Whether a function of the same module is best written beside this one, under its own name."""
        return value.__globals__ is self._module and value.__closure__ is None and _own_name(value) == name


def _own_name(function: FunctionType) -> str:
    """The name in the function's source; a decorator may have given it another as `__name__`."""
    return function.__code__.co_name


def _module_name(value: Any) -> str | None:
    if isinstance(value, LazyModule):
        return str(vars(value)["_name"])
    return value.__name__ if isinstance(value, ModuleType) else None


def _value(script: Script, value: Any, name: str) -> str:
    """The expression that stands for a value that a function uses."""
    if isinstance(value, FunctionType | BuiltinFunctionType | type):
        return _expression(script, Function.of(value)) if not isinstance(value, type) else _class(script, value)
    if isinstance(value, functools.partial):
        return _callable(script, value)
    if type(value).__module__.startswith("tensorflow"):
        return _tensor(script, value, name)
    return _literal(script, value, name)


def _class(script: Script, value: type) -> str:
    if value.__module__ == "builtins":
        return value.__name__
    ref = Function.of(value).ref
    if ref is None or _is_ours(value.__module__) or ".py:" in ref:
        raise NoSourceError(f"it uses the class {value.__name__}, which cannot be imported")
    return script.import_from(value.__module__, value.__qualname__)


def _tensor(script: Script, value: Any, name: str) -> str:
    if hasattr(value, "as_numpy_dtype"):
        return f"tf.as_dtype({value.name!r})"
    if hasattr(value, "numpy") and not hasattr(value, "assign"):
        return f"tf.constant({_literal(script, value, name)})"
    return _literal(script, value, name)


def _literal(script: Script, value: Any, name: str) -> str:
    try:
        text = literal(value, name)
    except PlanError as error:
        raise NoSourceError(f"it uses {name!r}, a {type(value).__name__}, which has no form in code") from error
    if "np." in text:
        script.require("import numpy as np")
    return text


def _is_ours(module: str) -> bool:
    return module == _PACKAGE or module.startswith(f"{_PACKAGE}.")


def _needs_us(function: FunctionType) -> bool:
    """Whether importing the function's module would import this package."""
    return any(_is_ours(_home(value)) for value in function.__globals__.values())


def _home(value: Any) -> str:
    if isinstance(value, ModuleType):
        return value.__name__
    home = value.__module__ if isinstance(value, FunctionType | type) else type(value).__module__
    return str(home)
