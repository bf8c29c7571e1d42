"""Whether a user's function gives the same result for the same element: found by tracing it and reading its ops."""

from __future__ import annotations

import contextlib
import dis
import io
import re
import types
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from pipeline_opt.functions import Function
from pipeline_opt.lazy import lazy_module

tf = lazy_module("tensorflow")
op_registry = lazy_module("tensorflow.python.framework.op_def_registry")

_RANDOM: Final = re.compile(
    r"(Random(?!Dataset)|^Multinomial|TruncatedNormal|CandidateSampler|SampleDistortedBoundingBox|^Rng|"
    r"^Stateful(Uniform|StandardNormal|TruncatedNormal|RandomBinomial)|SeedGenerator|"
    r"^(Shuffle|ShuffleAndRepeat|Random|Sampling|ExperimentalRandom)Dataset)"
)
_SEEDED: Final = re.compile(r"^Stateless(Random|Truncated|Parameterized|Multinomial|Shuffle|SampleDistorted)")
PYTHON: Final = ("PyFunc", "PyFuncStateless", "EagerPyFunc")
"""Ops that call Python."""
_VARIABLE: Final = re.compile(
    r"Variable|^VarHandleOp$|^VarIsInitializedOp$|^Assign|^Resource(Gather|Scatter|Count|Apply)"
)
TABLE_READ: Final = ("LookupTableFind", "LookupTableFindV2", "LookupTableSize", "LookupTableSizeV2")
"""Ops that look into a table and leave it as it is."""
_FILE_READ: Final = ("ReadFile", "MatchingFiles")
_HARMLESS: Final = re.compile(
    # Marked stateful, but only so that they are kept and not folded: calls, checks, stores of the call itself,
    # and datasets other than those with a state of their own.
    r"^((Stateless|Stateful)?(PartitionedCall|If|While|Case)|RemoteCall|Assert|TensorArray\w*|Stack(Push|Pop|Close)?V2|"
    r"(?!Cache|Generator|Snapshot|Save|.*Python)\w*Dataset(V\d+)?|ReduceDataset|_Arg|_Retval)$"
)
_RANDOM_MODULES: Final = ("random", "numpy.random", "secrets")


class Purity(NamedTuple):
    """What is known of a function: `kind` is `pure`, `random` or `unknown`; `evidence` is a sentence for people."""

    kind: str
    evidence: str


def purity(function: Function | Callable[..., Any], element_spec: Any) -> Purity:
    """Trace a function as tf.data would, and judge it by the ops in its graph and in every function it calls.

    Stateful random ops make it `random`; Python calls, variables, mutable tables, printing and every other op with a
    state make it `unknown`. Reading files, immutable lookup tables and stateless random ops with fixed seeds are pure.

    Args:
        function: The function.
        element_spec: The `element_spec` of the dataset that it is mapped over.
    """
    call = function.load() if isinstance(function, Function) else function
    try:
        graph = _trace(call, element_spec)
    except Exception as error:  # noqa: BLE001 - a user's function may raise anything
        reason = (str(error).strip().splitlines() or [""])[-1]
        return Purity("unknown", f"it cannot be traced: {type(error).__name__}: {reason}")
    return purity_of_graph(call, graph)


def purity_of_graph(function: Function | Callable[..., Any], graph: Any) -> Purity:
    """Judge a function that has been traced by its graph."""
    call = function.load() if isinstance(function, Function) else function
    frozen = _frozen_randomness(call)
    ops = list(_ops(graph))
    kind, reasons = _judge(ops, graph)
    if frozen and any(op.kind in PYTHON for op in ops):
        reasons.append(f"its Python code draws random numbers ({frozen})")
    elif frozen:
        reasons.append(f"{frozen} is called while tracing, so that its value is the same for every element")
    return Purity(kind, "; ".join(reasons))


def random_ops(graph: Any) -> set[str]:
    """The names of a graph's ops that draw at random, themselves or in a function that they call.

    What cannot be looked into (Python, variables) may: it counts as random.
    """
    definition = graph.as_graph_def()
    library = {f.signature.name: f for f in definition.library.function}
    return {node.name for node in definition.node if any(_may_draw(inner.op) for inner in _reached([node], library))}


def calls_python(definition: Any) -> bool:
    """Whether a `GraphDef`, or a function of its library, calls Python, whatever was declared of it."""
    nodes = [*definition.node, *(node for f in definition.library.function for node in f.node_def)]
    return any(node.op in PYTHON for node in nodes)


def is_seeded(definition: Any) -> bool:
    """Whether any random op of a `GraphDef` draws numbers that follow from a seed or from a state outside of it."""
    nodes = [*definition.node, *(node for f in definition.library.function for node in f.node_def)]
    random = [node for node in nodes if _RANDOM.search(node.op) or _SEEDED.search(node.op)]
    return any(not {"seed", "seed2"} & set(node.attr) or node.attr["seed"].i or node.attr["seed2"].i for node in random)


class _Op(NamedTuple):
    kind: str
    name: str
    types: tuple[Any, ...]


def _trace(call: Callable[..., Any], spec: Any) -> Any:
    """The graph of the function for elements of that spec; tuples are spread over its arguments, as in tf.data."""
    arguments = spec if type(spec) is tuple else (spec,)
    with _silence():
        return tf.function(call).get_concrete_function(*arguments).graph


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Keep warnings, AutoGraph's messages and what the function prints while it is traced to ourselves.

    It is traced again when the pipeline is built, and says it then.
    """
    logger = tf.get_logger()
    level = logger.level
    logger.setLevel("ERROR")
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _ops(graph: Any) -> Iterator[_Op]:
    """Every op of a graph and of the functions reached from it."""
    definition = graph.as_graph_def()
    for node in _reached(definition.node, {f.signature.name: f for f in definition.library.function}):
        yield _Op(node.op, node.name, tuple(node.attr[key].type for key in ("Tin", "Tout") if key in node.attr))


def _reached(nodes: Iterable[Any], library: Mapping[str, Any]) -> Iterator[Any]:
    """Nodes, and those of the functions that they call, at whatever remove; each function once."""
    pending, seen = [nodes], set[str]()
    while pending:
        for node in pending.pop():
            yield node
            for name in _called(node):
                if name in library and name not in seen:
                    seen.add(name)
                    pending.append(library[name].node_def)


def _may_draw(kind: str) -> bool:
    return bool(_RANDOM.search(kind) or kind in PYTHON or _VARIABLE.search(kind))


def _called(node: Any) -> Iterator[str]:
    yield node.op
    for value in node.attr.values():
        if value.HasField("func"):
            yield value.func.name
        yield from (f.name for f in value.list.func)


def _judge(ops: Sequence[_Op], graph: Any) -> tuple[str, list[str]]:
    stateful = [op for op in ops if is_stateful(op.kind) or op.kind in PYTHON]
    random = sorted((op for op in stateful if _RANDOM.search(op.kind)), key=lambda op: "SeedGenerator" in op.kind)
    variables = [op for op in stateful if _VARIABLE.search(op.kind)]
    if not random and variables:
        # Keras and tf.random keep the seeds of stateless ops in variables.
        random = [op for op in ops if _SEEDED.search(op.kind)]
    unknown = [reason for op in stateful if op not in random and (reason := _doubt(op, ops, graph))]
    if random:
        seeds = ", its seed comes from a variable" if _SEEDED.search(random[0].kind) else ""
        return "random", [f"random op {random[0].kind} ({random[0].name}){seeds}", *dict.fromkeys(unknown)]
    if unknown:
        return "unknown", list(dict.fromkeys(unknown))
    reads = sorted({op.kind for op in ops if op.kind in _FILE_READ})
    tables = any(op.kind in TABLE_READ for op in stateful)
    reasons = [f"none of its {len(ops)} ops has a state"]
    reasons += [f"it reads files ({', '.join(reads)})"] if reads else []
    reasons += ["its lookup tables cannot change"] if tables else []
    return "pure", reasons


def _doubt(op: _Op, ops: Sequence[_Op], graph: Any) -> str:
    """Why an op with a state keeps the function from being pure; nothing if it does not."""
    if op.kind in PYTHON:
        return f"it calls Python, which cannot be looked into ({op.kind}: {op.name})"
    if op.kind in TABLE_READ:
        return "" if _tables_are_immutable(ops, graph) else f"it looks up a table that can change ({op.name})"
    if _VARIABLE.search(op.kind):
        return f"it uses a variable ({op.kind}: {op.name})"
    if _HARMLESS.match(op.kind):
        return ""
    return f"it has an op with a state ({op.kind}: {op.name})"


def is_stateful(kind: str) -> bool:
    """Whether TensorFlow marks an op as one with a state."""
    definition = op_registry.get(kind)
    # What the registry does not know is a function of the graph's library, whose ops are looked at themselves.
    return bool(definition is not None and definition.is_stateful)


def _tables_are_immutable(ops: Sequence[_Op], graph: Any) -> bool:
    """Whether all tables that the function captures refuse an insertion; one of no entries shows it, unchanged."""
    types_ = {op.types for op in ops if op.kind.startswith("LookupTableFind")}
    handles = [outer for outer, _ in graph.captures if outer.dtype == tf.resource]
    answers = [_insertion(handle, pair) for handle in handles for pair in types_]
    return "refused" in answers and "taken" not in answers


def _insertion(handle: Any, key_and_value: tuple[Any, Any]) -> str:
    """Insert no entries into what may be a table: `refused`, `taken`, or `mismatch` if these are not its types."""
    keys, values = (tf.zeros([0], tf.as_dtype(kind)) for kind in key_and_value)
    try:
        tf.raw_ops.LookupTableInsertV2(table_handle=handle, keys=keys, values=values)
    except tf.errors.UnimplementedError:
        return "refused"
    except tf.errors.InvalidArgumentError as error:
        return "taken" if "Expected shape" in error.message else "mismatch"
    except (tf.errors.OpError, AttributeError):
        return "mismatch"
    return "taken"


def _frozen_randomness(call: Any, seen: frozenset[Any] = frozenset()) -> str:
    """What draws random numbers in Python, in a function or in the functions of its module that it calls."""
    function = _python_function(call)
    if function is None or function in seen:
        return ""
    for value, name in _referenced(function):
        if _is_python_random(value):
            return name
        if isinstance(value, types.FunctionType) and value.__module__ == function.__module__:
            found = _frozen_randomness(value, seen | {function})
            if found:
                return found
    return ""


def _python_function(call: Any) -> types.FunctionType | None:
    """The Python function inside a partial, a tf.function, a method or an object that can be called."""
    while not isinstance(call, types.FunctionType):
        inner = next((getattr(call, a) for a in ("func", "python_function", "__func__") if hasattr(call, a)), None)
        call = inner if inner is not None else type(call).__dict__.get("__call__")
        if call is None:
            return None
    return call


def _referenced(function: types.FunctionType) -> Iterator[tuple[Any, str]]:
    """Global and captured values, and attributes of modules, that a function's code names, inner functions included."""
    captured = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))
    values = function.__globals__ | {name: cell.cell_contents for name, cell in captured.items() if _is_filled(cell)}
    pending = [function.__code__]
    while pending:
        code = pending.pop()
        pending += [constant for constant in code.co_consts if isinstance(constant, types.CodeType)]
        value, name = None, ""
        for instruction in dis.get_instructions(code):
            if instruction.opname in ("LOAD_GLOBAL", "LOAD_DEREF"):
                name = str(instruction.argval)
                value = values.get(name)
            elif instruction.opname in ("LOAD_ATTR", "LOAD_METHOD") and isinstance(value, types.ModuleType):
                name = f"{name}.{instruction.argval}"
                value = vars(value).get(str(instruction.argval))
            else:
                continue
            yield value, name


def _is_filled(cell: types.CellType) -> bool:
    try:
        return cell.cell_contents is not None
    except ValueError:
        return False


def _is_python_random(value: Any) -> bool:
    owner = getattr(value, "__self__", None)
    modules = [getattr(value, "__name__", "")] if isinstance(value, types.ModuleType) else []
    modules += [type(value).__module__, type(owner).__module__, str(getattr(value, "__module__", ""))]
    return any(module == known or module.startswith(f"{known}.") for module in modules for known in _RANDOM_MODULES)
