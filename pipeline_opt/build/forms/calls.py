"""One op of a per-element function that is to be computed for a whole batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from pipeline_opt.build.forms.values import Ragged, Same, Unliftable, Value
from pipeline_opt.lazy import lazy_module

tf = lazy_module("tensorflow")
ops = lazy_module("tensorflow.python.framework.ops")


@dataclass(frozen=True, eq=False)
class Call:
    """An op, and what its inputs are in the batch.

    Args:
        op: The op in the graph of the per-element function.
        inputs: Its inputs.
        rows: The number of rows of the batch, int32 of shape ().
        active: The rows that come to the op, bool of shape (rows,); None for all of them.
    """

    op: Any
    inputs: tuple[Value, ...]
    rows: Any
    active: Any = None

    def attr(self, name: str) -> Any:
        """One of the op's attributes."""
        return self.op.get_attr(name)

    def again(self, *tensors: Any) -> list[Any]:
        """Run the op, with its attributes, on other tensors; gives all that it gives."""
        attrs = {name: value for name, value in self.op.node_def.attr.items() if not name.startswith("_")}
        graph = ops.get_default_graph()
        made = graph._create_op_internal(self.op.type, list(tensors), attrs=attrs, name=self.op.type)
        return list(made.outputs)

    def parameters(self, first: int = 0) -> list[Any]:
        """The tensors of the inputs from `first` on, which are the same for all rows.

        Raises:
            Unliftable: One of them is not.
        """
        found = [value.tensor for value in self.inputs[first:] if isinstance(value, Same)]
        if len(found) < len(self.inputs) - first:
            raise Unliftable("what it takes beside its first input differs between elements")
        return found

    @property
    def ragged(self) -> bool:
        """Whether an input has a length that differs between rows."""
        return any(isinstance(value, Ragged) for value in self.inputs)

    @property
    def same(self) -> bool:
        """Whether all inputs are the same for all rows."""
        return all(isinstance(value, Same) for value in self.inputs)


Lift = Callable[[Call], Sequence[Value]]
"""What computes an op for a batch: the op's outputs. Raises `Unliftable` where it cannot."""


class Rule(NamedTuple):
    """How an op is computed for a batch.

    Args:
        lift: Computes it.
        rounds: Whether floating-point results may differ in their last bits from those of one element at a time.
        always: Whether it is to be used where all inputs are the same for all rows, too: the op is else run once.
    """

    lift: Lift
    rounds: bool = False
    always: bool = False
