"""Dataset ops that a plan has no words for, applied anew to other datasets."""

from __future__ import annotations

import re
from typing import Any

from pipeline_opt.errors import PlanError
from pipeline_opt.functions import Function
from pipeline_opt.ingest.graph import bare
from pipeline_opt.ingest.imports import made
from pipeline_opt.ingest.sites import Site
from pipeline_opt.lazy import lazy_module

tf = lazy_module("tensorflow")
dataset_ops = lazy_module("tensorflow.python.data.ops.dataset_ops")

_LIVE = re.compile(r"VarHandleOp|MutableHashTable|MutableDenseHashTable|Anonymous|^Iterator")
"""Ops that make things which the rest of the program can change: the graph holds but a copy of them."""


class Reapplied:
    """A dataset op as a function of the datasets that it takes from.

    Everything else that it was told stays as it is. The dataset that it was read from is kept, as Python functions live in it.
    """

    def __init__(self, site: Site, kind: str) -> None:
        self._site = site
        self.__name__ = kind

    def __call__(self, *datasets: Any) -> Any:
        """The op applied to other datasets."""
        names = [site.node.name for site in self._site.inputs]
        given = {name: dataset._variant_tensor for name, dataset in zip(names, datasets, strict=True)}
        (variant,) = made(self._site.graph.definition, [f"{self._site.node.name}:0"], given)
        return dataset_ops._VariantDataset(variant, self._site.spec)

    def __repr__(self) -> str:
        return self.__name__


def reapplied(site: Site, kind: str) -> Function:
    """The op as a function of the datasets that it takes from.

    Raises:
        PlanError: It cannot be applied to others: it has none, or uses a variable or table that the program may change meanwhile.
    """
    if not site.inputs:
        raise PlanError(f"{site.node.op} takes from no other dataset")
    changing = next((node.op for node in _beside(site) if _LIVE.search(node.op)), None)
    if changing is not None:
        raise PlanError(f"{site.node.op} uses what the program can change ({changing})")
    return Function(None, (), Reapplied(site, kind))


class _Retyped:
    """Says of a dataset's elements in which structure their components stand."""

    def __init__(self, element_spec: Any) -> None:
        self._spec = element_spec
        self.__name__ = "structure"

    def __call__(self, dataset: Any) -> Any:
        return dataset_ops._VariantDataset(dataset._variant_tensor, self._spec)


def retyped(element_spec: Any) -> Function:
    """The same elements, their flat components in another structure."""
    return Function(None, (), _Retyped(element_spec))


def _beside(site: Site) -> list[Any]:
    """The ops that make what an op takes beside datasets."""
    inputs = {inner.node.name for inner in site.inputs}
    wanted, seen = [bare(name) for name in site.node.input], set(inputs)
    found = []
    while wanted:
        name = wanted.pop()
        if name not in seen:
            seen.add(name)
            node = site.graph.nodes[name]
            found.append(node)
            wanted += [bare(i) for i in node.input]
    return found
