"""Dataset ops that a plan has no words for, applied anew to other datasets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pipeline_opt.errors import PlanError
from pipeline_opt.functions import Function
from pipeline_opt.ingest.imports import made
from pipeline_opt.ingest.sites import SEEDED, Site
from pipeline_opt.lazy import lazy_module

tf = lazy_module("tensorflow")
dataset_ops = lazy_module("tensorflow.python.data.ops.dataset_ops")


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
        given |= self._site.captured
        (variant,) = made(self._site.graph.definition, [f"{self._site.node.name}:0"], given)
        return _made_of(datasets, variant, self._site.spec, self)

    def __repr__(self) -> str:
        return self.__name__

    @property
    def functions(self) -> Sequence[Any]:
        """The op's functions as tf.data traced them (`StructuredFunctionWrapper`); none where only its graph is known."""
        return self._site.wrappers


def reapplied(site: Site, kind: str) -> Function:
    """The op as a function of the datasets that it takes from.

    Raises:
        PlanError: It cannot be applied to others: it has none, or uses a variable or table that the program may change meanwhile.
    """
    if not site.inputs:
        raise PlanError(f"{site.node.op} takes from no other dataset")
    if SEEDED.search(site.node.op):
        raise PlanError(f"{site.node.op} holds a seed that its graph does not")
    site.require_unchanging(site.node.input)
    return Function(None, (), Reapplied(site, kind))


class _Retyped:
    """Says of a dataset's elements in which structure their components stand."""

    def __init__(self, element_spec: Any) -> None:
        self._spec = element_spec
        self.__name__ = "structure"

    def __repr__(self) -> str:
        return self.__name__

    def __call__(self, dataset: Any) -> Any:
        return _made_of([dataset], dataset._variant_tensor, self._spec, self)


def _made_of(inputs: Sequence[Any], variant: Any, element_spec: Any, maker: Any) -> Any:
    """A dataset that passes on the options of those it takes from, and keeps them and its maker alive."""

    def start(self: Any) -> None:
        self._element_spec, self._maker = element_spec, maker
        dataset_ops.DatasetV2.__init__(self, variant)

    parts = {
        "__init__": start,
        "_inputs": lambda self: list(inputs),
        "element_spec": property(lambda self: element_spec),
    }
    return type("AppliedDataset", (dataset_ops.DatasetV2,), parts)()


def retyped(element_spec: Any) -> Function:
    """The same elements, their flat components in another structure."""
    return Function(None, (), _Retyped(element_spec))
