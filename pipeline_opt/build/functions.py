"""A plan's functions as tf.data is to call them."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Any

from pipeline_opt.functions import Function
from pipeline_opt.lazy import lazy_module

tf = lazy_module("tensorflow")


def scoped(function: Function, stage: str) -> Callable[..., Any]:
    """The function, its ops under a name scope of the stage's name, so that traces and errors name the stage.

    A scope changes neither results nor op seeds. Where it returns None, for which TensorFlow has no words, it raises.
    """
    call = function.load()
    scope = scope_name(stage)

    def run(*elements: Any) -> Any:
        with tf.name_scope(scope):
            made = call(*elements)
        if made is None:
            raise TypeError(f"{function.label} returns None; valid: tensors, or a dataset where a dataset is due")
        return made

    functools.update_wrapper(run, getattr(call, "func", call), assigned=("__name__", "__doc__"), updated=())
    # AutoGraph follows __wrapped__ to the user's source; the wrapper itself must stay what it converts.
    run.__dict__.pop("__wrapped__", None)
    # Of a function called <lambda> AutoGraph looks for the lambda in the source, finds this one and warns.
    run.__name__ = function.label
    return run


def scope_name(stage: str) -> str:
    """A stage's name as a name scope may hold it."""
    return re.sub(r"[^A-Za-z0-9_.\\/-]", "_", stage)
