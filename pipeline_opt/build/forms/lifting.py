"""Computing the graph of a per-element function for a whole batch, op by op."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from pipeline_opt.build.forms.branches import chosen, require_harmless, truth
from pipeline_opt.build.forms.calls import Call, Rule
from pipeline_opt.build.forms.graph_edit import register
from pipeline_opt.build.forms.reasons import reason
from pipeline_opt.build.forms.rules import RULES
from pipeline_opt.build.forms.values import Dense, Ragged, Same, Unliftable, Value, tensors_of
from pipeline_opt.build.purity import is_stateful
from pipeline_opt.lazy import lazy_module

tf = lazy_module("tensorflow")
function_def_to_graph = lazy_module("tensorflow.python.framework.function_def_to_graph")

_CALLS: Final = ("PartitionedCall", "StatefulPartitionedCall")
_CONDITIONS: Final = ("If", "StatelessIf")


@dataclass(frozen=True, eq=False)
class Lifting:
    """The computation of one function for a batch.

    Args:
        library: The functions that its graph calls, by name.
        rows: The number of rows of the batch.
        rounding: Collects the ops after which floating-point results may differ in their last bits.
    """

    library: Mapping[str, Any]
    rows: Any
    rounding: dict[str, None] = field(default_factory=dict)

    def run(self, graph: Any, given: Mapping[str, Value], wanted: Sequence[Any], active: Any = None) -> list[Value]:
        """Compute a graph.

        Args:
            graph: The graph of the per-element function.
            given: Its placeholders' values in the batch, by the names of their tensors.
            wanted: Those of its tensors that are wanted.
            active: The rows that come to this graph, bool of shape (rows,); None for all of them.

        Raises:
            Unliftable: An op cannot be computed for a batch; the message names it.
        """
        values = dict(given)
        made: dict[Any, list[Any]] = {}
        for op in _needed(graph, wanted):
            if op.outputs and op.outputs[0].name in given:
                continue
            before = [tensor for one in op.control_inputs for tensor in made.get(one, ())]
            if op.type == "NoOp":
                made[op] = before
                continue
            inputs = tuple(values[tensor.name] for tensor in op.inputs)
            with tf.control_dependencies(before):
                found = self._found(op, inputs, active)
            made[op] = [tensor for value in found for tensor in tensors_of(value)]
            for tensor, value in zip(op.outputs, found, strict=True):
                values[tensor.name] = _shaped(value, tensor.shape)
        return [values[tensor.name] for tensor in wanted]

    def _found(self, op: Any, inputs: tuple[Value, ...], active: Any) -> Sequence[Value]:
        if op.type in _CALLS:
            return self._call(op, "f", inputs, active)
        if op.type in _CONDITIONS:
            return self._choose(op, inputs[0], inputs[1:], active)
        return self._lift(op, inputs, active)

    def _lift(self, op: Any, inputs: tuple[Value, ...], active: Any) -> Sequence[Value]:
        rule = RULES.get(op.type)
        call = Call(op, inputs, self.rows, active)
        try:
            if active is not None:
                require_harmless(call)
            if call.same and not (rule and rule.always):
                if _runs_functions(op) or (rule is None and is_stateful(op.type)):
                    raise Unliftable(reason(op.type))
                return [Same(tensor) for tensor in call.again(*call.parameters())]
            if rule is None:
                raise Unliftable(reason(op.type))
            found = rule.lift(call)
        except (Unliftable, ValueError, TypeError, tf.errors.OpError) as error:
            said = str(error).strip().splitlines() or [type(error).__name__]
            raise Unliftable(f"{op.type} ({op.name}): {said[0]}") from error
        if _rounds(rule, op, found):
            self.rounding[op.type] = None
        return found

    def _choose(self, op: Any, condition: Value, inputs: tuple[Value, ...], active: Any) -> Sequence[Value]:
        """Compute the branch that is known to be taken, or both for all rows."""
        if isinstance(condition, Same) and condition.known is not None:
            return self._call(op, "then_branch" if bool(condition.known) else "else_branch", inputs, active)
        try:
            taken = truth(condition, self.rows)
        except Unliftable as error:
            raise Unliftable(f"{op.type} ({op.name}): {error}") from error
        here = tf.constant(True) if active is None else active
        one = self._call(op, "then_branch", inputs, here & taken)
        other = self._call(op, "else_branch", inputs, here & ~taken)
        try:
            return [chosen(taken, *pair, self.rows) for pair in zip(one, other, strict=True)]
        except Unliftable as error:
            raise Unliftable(f"{op.type} ({op.name}): {error}") from error

    def _call(self, op: Any, attribute: str, inputs: tuple[Value, ...], active: Any) -> list[Value]:
        name = op.node_def.attr[attribute].func.name
        if name not in self.library:
            raise Unliftable(f"{op.type} ({op.name}): the function {name} that it calls is not in the graph")
        shapes = [tensor.shape for tensor in list(op.inputs)[len(op.inputs) - len(inputs) :]]
        register(self.library.values())
        with tf.init_scope():
            # Here functions that it calls in turn are looked for among those that are registered.
            inner = function_def_to_graph.function_def_to_graph(self.library[name], input_shapes=shapes)
        names = [tensor.name for tensor in inner.inputs]
        try:
            return self.run(inner, dict(zip(names, inputs, strict=True)), inner.outputs, active)
        except Unliftable as error:
            raise Unliftable(f"{error}, in {name}") from error


def _runs_functions(op: Any) -> bool:
    return any(value.HasField("func") or value.list.func for value in op.node_def.attr.values())


def _rounds(rule: Rule, op: Any, found: Sequence[Value]) -> bool:
    if all(isinstance(value, Same) for value in found):
        return False
    if op.type == "Cast" and (op.inputs[0].dtype.is_floating or op.inputs[0].dtype.is_complex):
        # What becomes of numbers that a type does not hold depends on the instructions used, but for these types.
        made = op.outputs[0].dtype
        return bool(made.is_integer and made not in (tf.int32, tf.int64, tf.uint64))
    floating = any(tensor.dtype.is_floating or tensor.dtype.is_complex for tensor in op.outputs)
    return rule.rounds and floating


def _needed(graph: Any, wanted: Sequence[Any]) -> list[Any]:
    """The ops that results come from, and those with a state and what they come from, in the order of the graph."""
    every = graph.get_operations()
    pending = [tensor.op for tensor in wanted] + [op for op in every if is_stateful(op.type)]
    seen = set()
    while pending:
        op = pending.pop()
        if op not in seen:
            seen.add(op)
            pending += [tensor.op for tensor in op.inputs]
            pending += op.control_inputs
    return [op for op in every if op in seen]


def _shaped(value: Value, shape: Any) -> Value:
    """A value with what the per-element graph knows of its shape."""
    if isinstance(value, Dense) and shape.rank is not None:
        value.tensor.set_shape(tf.TensorShape([None]).concatenate(shape))
    elif isinstance(value, Same):
        value.tensor.set_shape(shape)
    elif isinstance(value, Ragged) and shape.rank:
        value.values.set_shape(tf.TensorShape([None]).concatenate(shape[1:]))
    return value
