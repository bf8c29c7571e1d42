"""The steps of recipes: what each may be told, where it fits, what it does, and what the elements are behind it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import tensorflow as tf
from element_equality import Equality
from hypothesis import strategies as st
from recipe_functions import CHANGES, first_number, on_dense, on_element
from recipe_state import MOST, Places, State

Arguments = Mapping[str, Any]
AUTO: Final = -1
_NAMES: Final = st.sampled_from([None, None, None, "mine"])
_CALLS: Final = st.sampled_from([None, None, 2, AUTO])
_DETERMINISTIC: Final = st.sampled_from([None, None, True, False])
_BATCH: Final = st.integers(1, 4)
_SCALAR: Final = tf.TensorSpec((), tf.int64)


@dataclass(frozen=True)
class StepKind:
    """A kind of step.

    Args:
        fits: Whether it can stand after elements of a state.
        arguments: What it may be told there.
        apply: Makes the dataset with the step.
        after: The state behind it.
    """

    fits: Callable[[State], bool]
    arguments: Callable[[State], Mapping[str, st.SearchStrategy[Any]]]
    apply: Callable[[Any, Arguments, Places], Any]
    after: Callable[[State, Arguments], State]


def _parallel(told: Arguments) -> dict[str, Any]:
    calls = (
        {} if told["calls"] is None else {"num_parallel_calls": told["calls"], "deterministic": told["deterministic"]}
    )
    return calls | {"name": told["name"]}


_PARALLEL: Final = {"calls": _CALLS, "deterministic": _DETERMINISTIC, "name": _NAMES}


def _in_order(state: State, told: Arguments) -> State:
    """The state behind a parallel step, which may let elements come as they are ready."""
    unordered = told["calls"] is not None and told["deterministic"] is False
    return state.at_most(Equality.MULTISET) if unordered else state


def _always(state: State) -> bool:
    return True


# ---- maps ----------------------------------------------------------------------------------------------------------


def _map(dataset: Any, told: Arguments, places: Places) -> Any:
    return dataset.map(on_dense(CHANGES[told["change"]].make()), **_parallel(told))


def _returned(spec: Any) -> Any:
    """The spec of elements that a function gives back: rows of a ragged tensor are tensors then."""

    def given(part: Any) -> Any:
        row = isinstance(part, tf.RaggedTensorSpec) and part.ragged_rank == 0
        return tf.TensorSpec(part.shape, part.dtype) if row else part

    return tf.nest.map_structure(given, spec)


def _mapped(state: State, told: Arguments) -> State:
    kind = CHANGES[told["change"]]
    depends = kind.stateful and (not state.is_ordered or told["calls"] is not None or (kind.carries and state.inner))
    found = state.at_most(Equality.SHAPES) if kind.random or depends else state
    return _in_order(found, told).but(
        spec=_returned(state.spec),
        carries=state.carries or kind.carries or (kind.stateful and state.inner),
        python=state.python or kind.python,
        changes=state.changes or kind.changes,
    )


class Pair(NamedTuple):
    """An element with names for its parts."""

    left: Any
    right: Any


def _dense_part(element: Any) -> Any:
    return next(part for part in tf.nest.flatten(element) if isinstance(part, tf.Tensor | tf.TensorSpec))


def _tokens(element: Any) -> Any:
    return tf.range(first_number(element) % 4 + 1)


_TOKENS: Final = tf.TensorSpec([None], tf.int64)
_RESHAPED: Final[dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]]] = {
    "to_tuple": (lambda e: (e, first_number(e)), lambda s: (s, _SCALAR)),
    "to_dict": (lambda e: {"x": e, "n": first_number(e)}, lambda s: {"x": s, "n": _SCALAR}),
    "to_pair": (lambda e: Pair(first_number(e), e), lambda s: Pair(_SCALAR, s)),
    "to_none": (lambda e: (first_number(e), None, e), lambda s: (_SCALAR, tf.type_spec_from_value(None), s)),
    "first_part": (_dense_part, _dense_part),
    "to_number": (first_number, lambda s: _SCALAR),
    "to_text": (lambda e: tf.strings.as_string(first_number(e)), lambda s: tf.TensorSpec((), tf.string)),
    "to_vector": (
        lambda e: tf.stack([first_number(e), 7, 1]) * tf.constant([1, 2, 3], tf.int64),
        lambda s: tf.TensorSpec([3], tf.int64),
    ),
    "to_tokens": (_tokens, lambda s: _TOKENS),
    "with_tokens": (lambda e: {"tokens": _tokens(e), "rest": e}, lambda s: {"tokens": _TOKENS, "rest": s}),
    "with_ragged": (
        lambda e: (tf.ragged.range(tf.stack([first_number(e) % 3, 2])), e),
        lambda s: (tf.RaggedTensorSpec([2, None], tf.int64, 1, tf.int64), s),
    ),
    "with_sparse": (
        lambda e: {"s": tf.sparse.from_dense(tf.stack([first_number(e) % 2, 0, 5])), "rest": e},
        lambda s: {"s": tf.SparseTensorSpec([3], tf.int64), "rest": s},
    ),
}
"""Maps to another structure of elements: the function, and what it makes of the spec."""


def _has_dense(state: State) -> bool:
    return any(isinstance(part, tf.TensorSpec) for part in state.parts)


# ---- one element to many -------------------------------------------------------------------------------------------


def _some(element: Any) -> Any:
    return tf.data.Dataset.from_tensors(element).repeat(first_number(element) % 3)


def _twice(element: Any) -> Any:
    return tf.data.Dataset.from_tensors(element).repeat(2)


def _numbers(element: Any) -> Any:
    start = first_number(element)
    return tf.data.Dataset.range(start % 4).map(lambda i: i + start)


def _pipeline(element: Any) -> Any:
    """Stages that need nothing of the element behind one that does."""
    scale = tf.constant([2, 3], tf.int64)
    numbers = tf.data.Dataset.range(first_number(element) % 5 + 2).map(lambda i: {"i": i, "j": scale * i})
    return numbers.filter(lambda e: e["i"] % 3 != 1).shuffle(3, seed=5).batch(2).prefetch(1)


_MANY: Final[dict[str, tuple[Callable[[Any], Any], Callable[[State], State]]]] = {
    "some": (_some, lambda s: s.but(size=s.size * 2, spec=_returned(s.spec))),
    "twice": (_twice, lambda s: s.but(size=s.size * 2, spec=_returned(s.spec))),
    "numbers": (_numbers, lambda s: s.but(size=s.size * 3, spec=_SCALAR, depth=0)),
    "pipeline": (
        _pipeline,
        lambda s: s.regrouped(
            size=s.size * 2,
            spec={"i": tf.TensorSpec([None], tf.int64), "j": tf.TensorSpec([None, 2], tf.int64)},
            depth=1,
        ),
    ),
}
"""Functions from an element to a dataset, and what the elements of all of them are."""


def _multiplies(state: State) -> bool:
    return state.size * 3 <= MOST and state.counts and state.depth == 0 and not state.has_none


# ---- batches -------------------------------------------------------------------------------------------------------


def _stacked(spec: Any, size: int | None) -> Any:
    return tf.nest.map_structure(lambda part: part._batch(size), spec)


def _rows(spec: Any) -> Any:
    return tf.nest.map_structure(lambda part: part._unbatch(), spec)


def _known_size(told: Arguments) -> int | None:
    return told["size"] if told["drop"] else None


def _batched(state: State, told: Arguments) -> State:
    return state.regrouped(spec=_stacked(state.spec, _known_size(told)), depth=state.depth + 1)


def _can_pad(state: State) -> bool:
    return state.is_dense and state.depth == 0


def _padded_spec(spec: Any, size: int | None, fixed: bool) -> Any:
    sizes = [size, *(100 if fixed and length is None else length for length in spec.shape)]
    return tf.TensorSpec(sizes, spec.dtype)


def _padding(spec: Any) -> Any:
    return tf.constant({tf.string: "?", tf.bool: True}.get(spec.dtype, 9), spec.dtype)


def _pad(dataset: Any, told: Arguments, places: Places) -> Any:
    spec = dataset.element_spec
    shapes = values = None
    if told["explicit"]:
        shapes = tf.nest.map_structure(lambda s: [100 if n is None else n for n in s.shape], spec)
        values = tf.nest.map_structure(_padding, spec)
    return dataset.padded_batch(told["size"], shapes, values, told["drop"], name=told["name"])


def _padded(state: State, told: Arguments) -> State:
    spec = tf.nest.map_structure(lambda s: _padded_spec(s, _known_size(told), told["explicit"]), state.spec)
    return state.regrouped(spec=spec, depth=1)


def _ragged_spec(spec: Any, size: int | None) -> Any:
    if spec.shape.is_fully_defined():
        return spec._batch(size)
    return tf.RaggedTensorSpec([size, *spec.shape], spec.dtype, len(spec.shape), tf.int64)


def _ragged(state: State, told: Arguments) -> State:
    spec = tf.nest.map_structure(lambda s: _ragged_spec(s, _known_size(told)), state.spec)
    return state.regrouped(spec=spec, depth=1)


def _bucket(dataset: Any, told: Arguments, places: Places) -> Any:
    return dataset.bucket_by_sequence_length(
        on_element(lambda e: tf.cast(first_number(e) % 7, tf.int32)), [2, 4], [2, 1, 3], drop_remainder=told["drop"]
    )


def _bucketed(state: State, told: Arguments) -> State:
    return state.regrouped(spec=tf.nest.map_structure(lambda s: _padded_spec(s, None, False), state.spec), depth=1)


def _group(dataset: Any, told: Arguments, places: Places) -> Any:
    size = told["size"]
    return dataset.group_by_window(
        on_element(lambda e: first_number(e) % 2), lambda key, window: window.batch(size), window_size=size
    )


def _unbatched(state: State, told: Arguments) -> State:
    return state.but(spec=_rows(state.spec), depth=state.depth - 1, size=state.size * 4)


def _rebatched(state: State, told: Arguments) -> State:
    spec = _stacked(_rows(state.spec), _known_size(told))
    return state.regrouped(spec=spec, depth=1, size=min(state.size * 4, MOST))


def _window(dataset: Any, told: Arguments, places: Places) -> Any:
    windows = dataset.window(told["size"], told["shift"], told["stride"], told["drop"])
    if told["open"]:
        return windows
    return windows.flat_map(on_element(lambda parts: tf.data.Dataset.zip(parts).batch(told["size"])))


def _windowed(state: State, told: Arguments) -> State:
    if told["open"]:
        return state.regrouped(ended=True)
    return state.regrouped(spec=_stacked(state.spec, None), depth=state.depth + 1)


# ---- the rest ------------------------------------------------------------------------------------------------------


def _filter(dataset: Any, told: Arguments, places: Places) -> Any:
    if told["random"]:
        return dataset.filter(lambda *e: tf.random.uniform((), seed=3) < 0.7, name=told["name"])
    remainder = tf.Variable(2, dtype=tf.int64) if told["variable"] else 2
    return dataset.filter(on_element(lambda e: first_number(e) % 3 != remainder), name=told["name"])


def _shuffle(dataset: Any, told: Arguments, places: Places) -> Any:
    again = {} if told["again"] is None else {"reshuffle_each_iteration": told["again"]}
    return dataset.shuffle(told["buffer"], told["seed"], **again, name=told["name"])


def _shuffled(state: State, told: Arguments) -> State:
    return state if told["seed"] is not None else state.at_most(Equality.MULTISET)


def _picked(state: State, told: Arguments) -> State:
    return state.at_most(Equality.SHAPES) if state.carries else state.regrouped()


def _scan(dataset: Any, told: Arguments, places: Places) -> Any:
    def add(total: Any, *parts: Any) -> Any:
        element = parts if len(parts) > 1 else parts[0]
        return total + first_number(element), (element, total)

    return dataset.scan(tf.constant(0, tf.int64), add)


def _options(dataset: Any, told: Arguments, places: Places) -> Any:
    options = tf.data.Options()
    if told["pool"]:
        options.threading.private_threadpool_size = 2
    if told["plain"]:
        options.experimental_optimization.apply_default_optimizations = False
    if told["autotune"] is not None:
        options.autotune.enabled = told["autotune"]
    if told["shard"]:
        options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return dataset.with_options(options)


def _may_hold_files(state: State) -> bool:
    return not state.inner and not state.ended


_FLAGS: Final = st.booleans()
_RARELY: Final = st.sampled_from([False, False, False, True])

STEPS: Final[dict[str, StepKind]] = {
    "map": StepKind(_always, lambda s: {"change": st.sampled_from(sorted(CHANGES)), **_PARALLEL}, _map, _mapped),
    "reshape": StepKind(
        _has_dense,
        lambda s: {"to": st.sampled_from(sorted(_RESHAPED)), **_PARALLEL},
        lambda d, a, p: d.map(on_element(_RESHAPED[a["to"]][0]), **_parallel(a)),
        lambda s, a: _in_order(s, a).but(spec=_RESHAPED[a["to"]][1](_returned(s.spec)), depth=0),
    ),
    "filter": StepKind(
        lambda s: s.counts and s.picks,
        lambda s: {"random": _RARELY if s.is_ordered else st.just(False), "variable": _RARELY, "name": _NAMES},
        _filter,
        # What a part draws goes on from where a prefetch had come that was given up as another part ended.
        lambda s, a: s.but(changes=s.changes or a["variable"], carries=s.carries or (a["random"] and s.inner)),
    ),
    "flat_map": StepKind(
        _multiplies,
        lambda s: {"to": st.sampled_from(sorted(_MANY)), "name": _NAMES},
        lambda d, a, p: d.flat_map(on_element(_MANY[a["to"]][0]), name=a["name"]),
        lambda s, a: _MANY[a["to"]][1](s),
    ),
    "interleave": StepKind(
        _multiplies,
        lambda s: {
            "to": st.sampled_from(sorted(_MANY)),
            "cycle": st.integers(2, 4),
            "block": st.integers(1, 3),
            **_PARALLEL,
        },
        lambda d, a, p: d.interleave(on_element(_MANY[a["to"]][0]), a["cycle"], a["block"], **_parallel(a)),
        lambda s, a: _in_order(_MANY[a["to"]][1](s), a),
    ),
    "cache": StepKind(_always, lambda s: {"name": _NAMES}, lambda d, a, p: d.cache(name=a["name"]), lambda s, a: s),
    "cache_file": StepKind(
        _may_hold_files, lambda s: {}, lambda d, a, p: d.cache(p.fresh()), lambda s, a: s.but(whole=True)
    ),
    "snapshot": StepKind(
        lambda s: _may_hold_files(s) and not s.has_none,
        lambda s: {"compression": st.sampled_from(["AUTO", None, "GZIP"])},
        lambda d, a, p: d.snapshot(p.fresh(), a["compression"]),
        lambda s, a: s.at_most(Equality.MULTISET).but(whole=True),
    ),
    "shuffle": StepKind(
        _always,
        lambda s: {
            "buffer": st.integers(1, 20),
            "seed": st.sampled_from([None, 0, 3, 2**40]),
            "again": st.sampled_from([None, True, False]),
            "name": _NAMES,
        },
        _shuffle,
        _shuffled,
    ),
    "repeat": StepKind(
        lambda s: s.size * 3 <= MOST,
        lambda s: {"count": st.sampled_from([1, 2, 2, 3])},
        lambda d, a, p: d.repeat(a["count"]),
        lambda s, a: s.but(size=s.size * a["count"]),
    ),
    "repeat_and_take": StepKind(
        lambda s: s.picks and s.size <= MOST and not s.carries,
        lambda s: {"count": st.integers(0, 20)},
        lambda d, a, p: d.repeat().take(a["count"]),
        lambda s, a: s.regrouped(size=a["count"]),
    ),
    "batch": StepKind(
        lambda s: s.stacks and s.depth < 3,
        lambda s: {"size": _BATCH, "drop": _FLAGS, **_PARALLEL},
        lambda d, a, p: d.batch(a["size"], a["drop"], **_parallel(a)),
        lambda s, a: _in_order(_batched(s, a), a),
    ),
    "padded_batch": StepKind(
        _can_pad, lambda s: {"size": _BATCH, "drop": _FLAGS, "explicit": _FLAGS, "name": _NAMES}, _pad, _padded
    ),
    "ragged_batch": StepKind(
        _can_pad,
        lambda s: {"size": _BATCH, "drop": _FLAGS},
        lambda d, a, p: d.ragged_batch(a["size"], a["drop"]),
        _ragged,
    ),
    "bucket": StepKind(lambda s: _can_pad(s) and s.counts, lambda s: {"drop": _RARELY}, _bucket, _bucketed),
    "group_by_window": StepKind(
        lambda s: s.stacks and s.counts and s.depth == 0,
        lambda s: {"size": _BATCH},
        _group,
        lambda s, a: s.regrouped(spec=_stacked(s.spec, None), depth=1),
    ),
    "unbatch": StepKind(
        lambda s: s.depth > 0 and s.size * 4 <= MOST and not s.has_none,
        lambda s: {},
        lambda d, a, p: d.unbatch(),
        _unbatched,
    ),
    "rebatch": StepKind(
        lambda s: s.depth > 0 and not s.has_none and State(_rows(s.spec), 0).stacks,
        lambda s: {"size": _BATCH, "drop": _FLAGS},
        lambda d, a, p: d.rebatch(a["size"], a["drop"]),
        _rebatched,
    ),
    "take": StepKind(
        lambda s: s.picks, lambda s: {"count": st.integers(-1, 12)}, lambda d, a, p: d.take(a["count"]), _picked
    ),
    "skip": StepKind(
        lambda s: s.picks, lambda s: {"count": st.integers(0, 4)}, lambda d, a, p: d.skip(a["count"]), _picked
    ),
    "shard": StepKind(
        lambda s: s.picks,
        lambda s: {"count": st.integers(1, 3), "index": st.just(0)},
        lambda d, a, p: d.shard(a["count"], a["index"]),
        _picked,
    ),
    "prefetch": StepKind(
        _always,
        lambda s: {"size": st.sampled_from([AUTO, 0, 1, 3]), "name": _NAMES},
        lambda d, a, p: d.prefetch(a["size"], name=a["name"]),
        lambda s, a: s,
    ),
    "window": StepKind(
        lambda s: s.stacks and s.depth < 3 and (s.is_ordered or s.depth == 0) and not s.has_none,
        lambda s: {
            "size": st.integers(1, 3),
            "shift": st.sampled_from([None, 1, 2]),
            "stride": st.integers(1, 2),
            "drop": _FLAGS,
            "open": _RARELY,
        },
        _window,
        _windowed,
    ),
    "scan": StepKind(
        _always, lambda s: {}, _scan, lambda s, a: s.regrouped(spec=(_returned(s.spec), _SCALAR), depth=0)
    ),
    "take_while": StepKind(
        lambda s: s.is_ordered and s.picks and not s.carries,
        lambda s: {},
        lambda d, a, p: d.take_while(on_element(lambda e: first_number(e) < 9)),
        lambda s, a: s,
    ),
    "unique": StepKind(
        lambda s: s.counts and s.is_dense and len(s.parts) == 1 and s.parts[0].dtype in (tf.int64, tf.int32, tf.string),
        lambda s: {},
        lambda d, a, p: d.unique(),
        lambda s, a: s,
    ),
    "enumerate": StepKind(
        _always,
        lambda s: {"start": st.integers(0, 3)},
        lambda d, a, p: d.enumerate(a["start"]),
        lambda s, a: s.regrouped(spec=(_SCALAR, s.spec), depth=0),
    ),
    # Whether a batch can be made of elements of several shapes may depend on which of them meet.
    "ignore_errors": StepKind(
        lambda s: s.is_ordered or s.depth == 0, lambda s: {}, lambda d, a, p: d.ignore_errors(), lambda s, a: s
    ),
    "options": StepKind(
        _always,
        lambda s: {
            "pool": _FLAGS,
            "plain": _RARELY,
            "autotune": st.sampled_from([None, True, False]),
            "shard": _RARELY,
        },
        _options,
        lambda s, a: s,
    ),
}
"""The steps by their names in a recipe."""
