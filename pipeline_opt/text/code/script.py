"""The script being written: its imports, its definitions and the names that are taken."""

from __future__ import annotations

import builtins
import keyword
import re
from itertools import pairwise
from typing import Any, Final, NamedTuple

from pipeline_opt.text.code.layout import INDENT, call, docstring, indent

RESERVED: Final = (
    "tf", "np", "functools", "importlib", "sys", "base64", "io", "Path", "make_dataset", "ds", "files", "labels",
    "options", "name", "path", "label", "_chain",
)  # fmt: skip
"""Names that the script itself uses."""

_LOADER: Final = '''def _load_file(path):
    """Import a Python file by its path; its folder can be imported from, as when the file is run."""
    path = Path(path)
    sys.path.insert(0, str(path.parent))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module'''


_CHAIN: Final = '''def _chain(*functions):
    """The functions one after another, as maps in a row call them."""

    def call(*elements):
        for function in functions:
            given = function(*elements)
            elements = given if type(given) is tuple else (given,)
        return given

    return call'''


class _Imported(NamedTuple):
    """What a name at the margin stands for, where the script imports it."""

    module: str
    name: str = ""


class Script:
    """Collects what stands above `make_dataset`."""

    def __init__(self) -> None:
        self._imports = {"import tensorflow as tf"}
        self._own_imports: list[str] = []
        self._blocks: list[str] = []
        self._bound: dict[str, Any] = {name: name for name in RESERVED}
        self._files: dict[str, str] = {}

    def require(self, statement: str) -> None:
        """Import a module that needs no installing, or numpy, under its usual name."""
        self._imports.add(statement)

    def import_from(self, module: str, attribute: str) -> str:
        """Import a name from a module; the expression that stands for it."""
        first, _, rest = attribute.partition(".")
        name = self._bind(first, _Imported(module, first))
        alias = "" if name == first else f" as {name}"
        statement = f"from {module} import {first}{alias}"
        if statement not in self._own_imports:
            self._own_imports.append(statement)
        return f"{name}.{rest}" if rest else name

    def import_file(self, path: str, attribute: str) -> str:
        """Load a Python file once; the expression that stands for a name in it."""
        if path not in self._files:
            for module in ("import importlib.util", "import sys", "from pathlib import Path"):
                self.require(module)
            if not self._files:
                self._blocks.append(_LOADER)
            stem = re.sub(r"\W", "_", path.rpartition("/")[2].removesuffix(".py"))
            self._files[path] = self._bind(f"_{stem}", _Imported(path))
            self._blocks.append(f"{self._files[path]} = _load_file({path!r})")
        return f"{self._files[path]}.{attribute}"

    def chain(self, functions: list[str]) -> str:
        """The expression that stands for functions that are called one after another."""
        if _CHAIN not in self._blocks:
            self._blocks.append(_CHAIN)
        return call("_chain", functions)

    def fits(self, name: str, value: Any) -> bool:
        """Whether a name is free, or stands for this very object already."""
        return self._bound[name] is value if name in self._bound else not _is_awkward(name)

    def holds(self, name: str) -> bool:
        """Whether a name is defined already."""
        return name in self._bound

    def define(self, name: str, value: Any, block: str) -> None:
        """Add a definition at the margin: of a function, a constant, or an import of its own."""
        self._bound[name] = value
        self._blocks.append(block)

    def free_name(self, wanted: str) -> str:
        """A name like the one wanted that nothing has taken."""
        return self._bind(re.sub(r"\W", "_", wanted), object())

    def _bind(self, wanted: str, value: Any) -> str:
        name, number = wanted, 2
        while self._is_taken(name, value):
            name, number = f"{wanted}_{number}", number + 1
        self._bound[name] = value
        return name

    def _is_taken(self, name: str, value: Any) -> bool:
        if name not in self._bound:
            return _is_awkward(name)
        known = self._bound[name]
        return known is not value and not (isinstance(known, _Imported) and known == value)

    def text(self, body: str, main: str) -> str:
        """The whole script: `body` is what `make_dataset` does, `main` what running the script does."""
        ordered = sorted(self._imports, key=lambda line: (line.startswith("from"), line))
        foreign = [line for line in ordered if line.endswith((" np", " tf"))]
        standard = [line for line in ordered if line not in foreign]
        groups = [["from __future__ import annotations"], standard, foreign, sorted(self._own_imports)]
        head = ['"""An input pipeline in plain tf.data."""', *("\n".join(group) for group in groups if group)]
        function = "\n".join(
            ["def make_dataset():", docstring("Make the dataset."), indent(body), f"{INDENT}return ds"]
        )
        blocks = [*self._blocks, function, f'if __name__ == "__main__":\n{indent(main)}']
        return "\n\n".join(head) + "\n\n\n" + _spaced(blocks) + "\n"


def _spaced(blocks: list[str]) -> str:
    """Two empty lines between blocks, none between lines that stand alone."""
    text = blocks[0]
    for before, block in pairwise(blocks):
        text += ("\n\n\n" if "\n" in before + block else "\n") + block
    return text


def _is_awkward(name: str) -> bool:
    """Whether a definition of this name would hide something that the script uses."""
    return hasattr(builtins, name) or keyword.iskeyword(name) or re.fullmatch(r"(in[0-9]+_)+ds", name) is not None
