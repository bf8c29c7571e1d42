"""A plan's functions as tf.data is to call them."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Any

from pipeline_opt.build.forms import OF_BATCHES, Refused, derive
from pipeline_opt.build.forms.needed import needed
from pipeline_opt.build.traced import Traced, traced
from pipeline_opt.errors import PlanError
from pipeline_opt.functions import Chain, Function
from pipeline_opt.lazy import lazy_module
from pipeline_opt.stages import Filter, Map

tf = lazy_module("tensorflow")


def scoped(function: Function, stage: str) -> Callable[..., Any]:
    """The function, its ops under a name scope of the stage's name, so that traces and errors name the stage.

    A scope changes neither results nor op seeds. Where it returns None, for which TensorFlow has no words, it raises.
    """
    call = function.load()
    if isinstance(call, Traced):
        # It is a graph already: there is no Python code of the user's to convert.
        call = tf.autograph.experimental.do_not_convert(call.__call__)
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


def mapped(stage: Map, element_spec: Any) -> Callable[..., Any]:
    """The function of a map as tf.data is to call it, in the forms that the map names.

    Args:
        stage: The map.
        element_spec: The `element_spec` of what it is mapped over.

    Raises:
        PlanError: There is no such form of the function; says why.
    """
    if not stage.forms:
        return scoped(stage.function, stage.name)
    forms = [form if isinstance(form, tuple) else (form, {}) for form in stage.forms]
    batched = any(name in OF_BATCHES for name, _ in forms)
    function = traced(stage.function, unbatched(element_spec) if batched else element_spec)
    for name, told in forms:
        derived = derive(function, name, **told)
        if isinstance(derived, Refused):
            raise PlanError(f"{stage.name}: it has no form {name!r}: {derived.reason}")
        function = derived
    return scoped(Function(None, (), function), stage.name)


def asked(stage: Filter, element_spec: Any) -> Callable[..., Any]:
    """The predicate of a filter as tf.data is to call it; of a chain of functions, only what the answer needs.

    Args:
        stage: The filter.
        element_spec: The `element_spec` of what is filtered.
    """
    if not isinstance(stage.predicate.call, Chain):
        return scoped(stage.predicate, stage.name)
    return scoped(Function(None, (), needed(traced(stage.predicate, element_spec))), stage.name)


def unbatched(element_spec: Any) -> Any:
    """The `element_spec` of the rows of a batch."""
    return tf.nest.map_structure(lambda spec: spec._unbatch(), element_spec)


def scope_name(stage: str) -> str:
    """A stage's name as a name scope may hold it."""
    return re.sub(r"[^A-Za-z0-9_.\\/-]", "_", stage)
