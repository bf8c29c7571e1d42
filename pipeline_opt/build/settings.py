"""tf.data's options object: what it is told, by the path of the attribute."""

from __future__ import annotations

import enum
import functools
from collections.abc import Iterator
from typing import Any

from pipeline_opt.lazy import lazy_module
from pipeline_opt.stages import OPTION_PATHS, Options

tf = lazy_module("tensorflow")
options_base = lazy_module("tensorflow.python.data.util.options")


def tf_options(stage: Options) -> Any:
    """tf.data's options object for an options stage."""
    options = tf.data.Options()
    told = {path: getattr(stage, argument) for argument, path in OPTION_PATHS.items()} | dict(stage.others)
    for path, value in told.items():
        if value is not None:
            above, _, attribute = path.rpartition(".")
            setattr(functools.reduce(getattr, filter(None, above.split(".")), options), attribute, _read(value))
    return options


def leaves(options: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """What an options object was told, as plain values: the path of each attribute with its value."""
    for name, value in sorted(options._options.items()):
        if isinstance(value, options_base.OptionsBase):
            yield from leaves(value, f"{path}{name}.")
        elif value is not None and value != []:
            yield path + name, plain(value)


def plain(value: Any) -> Any:
    """An enum as `AutoShardPolicy.OFF`, a list as a tuple."""
    if isinstance(value, enum.Enum):
        return f"{type(value).__name__}.{value.name}"
    return tuple(value) if isinstance(value, list) else value


def _read(value: Any) -> Any:
    if isinstance(value, tuple):
        return list(value)
    kind, _, member = value.partition(".") if isinstance(value, str) else ("", "", "")
    known = getattr(tf.data.experimental, kind, None) if kind else None
    return known[member] if isinstance(known, type) and issubclass(known, enum.Enum) else value
