"""A module that is imported when it is first used."""

from __future__ import annotations

import importlib
from functools import cached_property
from types import ModuleType
from typing import Any


class LazyModule:
    """Stands for a module and imports it at the first attribute asked of it.

    TensorFlow takes seconds to import; a command line that only prints its help must not wait for it.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    @cached_property
    def _module(self) -> ModuleType:
        return importlib.import_module(self._name)

    def __getattr__(self, attribute: str) -> Any:
        return getattr(self._module, attribute)

    def __repr__(self) -> str:
        return f"<lazy module {self._name!r}>"


def lazy_module(name: str) -> Any:
    """Return a stand-in for module `name`; typed `Any`, as TensorFlow ships no complete types."""
    return LazyModule(name)
