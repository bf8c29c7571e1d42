"""A user's function, held by reference, so that a plan is data and loading one runs no code."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import sys
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from pipeline_opt.errors import FunctionError
from pipeline_opt.names import is_utf8


@dataclass(frozen=True)
class Function:
    """A function by reference (`package.module:name` or `path/to/file.py:name`), by object, or both.

    Args:
        ref: Where to import it from; None when it can only be reached as an object.
        arguments: Keyword arguments bound to it, plain values only, so that they can be written to a file.
        call: The function itself. Not compared where `ref` is known.
    """

    ref: str | None = None
    arguments: tuple[tuple[str, Any], ...] = ()
    call: Callable[..., Any] | None = field(default=None, compare=False, repr=False)

    @classmethod
    def of(cls, function: str | Callable[..., Any] | Function, **arguments: Any) -> Function:
        """Wrap a reference or a callable; `arguments` are bound as keyword arguments.

        Raises:
            FunctionError: `function` is neither, or the reference is not `module:name`.
        """
        bound = bind(arguments)
        if isinstance(function, Function):
            return cls(function.ref, bind(dict(function.arguments) | arguments), function.call)
        if isinstance(function, str):
            _split(function)
            return cls(function, bound)
        if not callable(function):
            raise FunctionError(
                f"not a function: {function!r}; pass a callable or a reference 'package.module:function'"
            )
        if isinstance(function, functools.partial) and not function.args:
            inner = cls.of(function.func)
            return cls(inner.ref, bind(function.keywords | arguments), inner.call)
        return cls(_reference(function), bound, function)

    @classmethod
    def chain(cls, *functions: Function) -> Function:
        """The functions one after another; a tuple that one gives are the next one's arguments, as in tf.data."""
        return cls(None, (), Chain(functions))

    @classmethod
    def beside(cls, *functions: Function | None) -> Function:
        """A function of as many arguments, each the element of its own; what has none is given on."""
        return cls(None, (), Beside(functions))

    @property
    def label(self) -> str:
        """A short name for tables and figures: the function's own."""
        if self.call is not None:
            return str(getattr(self.call, "__name__", type(self.call).__name__)).replace("<lambda>", "lambda")
        return self.ref.rpartition(":")[2].rpartition(".")[2] if self.ref else "function"

    def load(self) -> Callable[..., Any]:
        """Import the function if need be and bind its arguments.

        Raises:
            FunctionError: the module or the name in it does not exist, or importing it failed.
        """
        call = self.call if self.call is not None else _import(self.ref or "")
        return functools.partial(call, **dict(self.arguments)) if self.arguments and not _is_traced(call) else call

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Function):
            return NotImplemented
        if self.ref is None or other.ref is None or (_is_traced(self.call) and _is_traced(other.call)):
            # What was traced for other elements is another function, though it was made of the same code.
            same = self.call is other.call or (isinstance(self.call, Chain | Beside) and self.call == other.call)
            return same and (self.ref, self.arguments) == (other.ref, other.arguments)
        return (self.ref, self.arguments) == (other.ref, other.arguments)

    def __hash__(self) -> int:
        # As far as equality looks: by reference where there is one, else by the very object.
        return hash(self.ref if self.ref else self.call if isinstance(self.call, Chain | Beside) else id(self.call))


@dataclass(frozen=True)
class Chain:
    """Functions that are called one after another; equal to a chain of equal functions."""

    functions: tuple[Function, ...]

    @property
    def __name__(self) -> str:
        return " then ".join(function.label for function in self.functions)

    def __call__(self, *elements: Any) -> Any:
        """What the last one gives of what those before it give."""
        for function in self.functions:
            given = function.load()(*elements)
            elements = given if type(given) is tuple else (given,)
        return given


@dataclass(frozen=True)
class Beside:
    """Functions of one element each of a tuple of elements; None gives an element on. Equal where they are."""

    functions: tuple[Function | None, ...]

    @property
    def __name__(self) -> str:
        return " beside ".join(function.label for function in self.functions if function is not None)

    def __call__(self, *elements: Any) -> Any:
        """What each gives of its element."""
        return tuple(
            element if function is None else function.load()(*(element if type(element) is tuple else (element,)))
            for function, element in zip(self.functions, elements, strict=True)
        )


def _is_traced(call: Any) -> bool:
    """Whether it is a graph, in which keyword arguments were bound as it was traced."""
    return bool(getattr(call, "is_bound", False))


def bind(arguments: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    """Keyword arguments in the form that `Function` holds."""
    return tuple(sorted(arguments.items()))


def load_reference(ref: str) -> Any:
    """Import what `package.module:name` or `path/to/file.py:name` names, callable or not.

    Raises:
        FunctionError: it cannot be found or importing it failed; names what is there instead.
    """
    return _import(ref)


def load_file(path: Path) -> ModuleType:
    """Import a Python file by its path, once, under a name of its own.

    The file's folder is put on `sys.path`, as running it would.
    """
    path = path.resolve()
    if not path.is_file():
        raise FunctionError(f"no such Python file: {path}")
    if not is_utf8(str(path)):
        raise FunctionError(f"the file name {str(path)!r} is not UTF-8, and TensorFlow traces no code of it; rename it")
    name = path.stem
    known = sys.modules.get(name)
    if known is not None:
        if getattr(known, "__file__", None) == str(path):
            return known
        name = f"{path.stem}_{zlib.crc32(str(path).encode()):08x}"
        if name in sys.modules:
            return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise FunctionError(f"not a Python file: {path}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise FunctionError(f"importing {path} failed: {type(error).__name__}: {error}") from error
    return module


def _split(ref: str) -> tuple[str, str]:
    module, colon, name = ref.rpartition(":")
    if not colon or not module or not name:
        raise FunctionError(
            f"not a function reference: {ref!r}; write 'package.module:function' or 'path/to/file.py:function'"
        )
    return module, name


def _import(ref: str) -> Any:
    where, name = _split(ref)
    module = load_file(Path(where)) if where.endswith(".py") else _import_module(where)
    value: Any = module
    for part in name.split("."):
        if not hasattr(value, part):
            known = sorted(n for n, v in vars(value).items() if callable(v) and not n.startswith("_"))
            raise FunctionError(f"{where} has no {name!r}; it has: {', '.join(known) or 'no functions'}")
        value = getattr(value, part)
    return value


def _import_module(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as error:
        raise FunctionError(f"importing {name!r} failed: {type(error).__name__}: {error}") from error


def _reference(function: Callable[..., Any]) -> str | None:
    """`module:qualname` where importing that gives this very object back, else None."""
    module = getattr(function, "__module__", None)
    qualname = getattr(function, "__qualname__", "")
    if not module or module == "__main__" or "<" in qualname:
        return None
    value: Any = sys.modules.get(module)
    for part in qualname.split("."):
        value = getattr(value, part, None)
    if value is not function:
        return None
    file = getattr(sys.modules[module], "__file__", None)
    if "." not in module and file and importlib.util.find_spec(module) is None:
        return f"{file}:{qualname}"
    return f"{module}:{qualname}"
