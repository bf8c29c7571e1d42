"""What an element is made of: its tensors as arrays, each with its place in the structure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from pipeline_opt.errors import UsageError

Array = npt.NDArray[Any]
Form = Literal["dense", "ragged", "sparse", "dataset"]

_BUILT_IN_FLOATS: Final = "fc"


@dataclass(frozen=True, eq=False)
class Component:
    """A component of an element.

    Args:
        place: Where it is in the structure, as `[0]['image']`; empty where it is the element.
        form: What kind of tensor it is; `dataset` is an element that is a dataset itself (a window).
        values: Its values: of a ragged one the flat values, of a sparse one those that are there. Strings are an array of `bytes`
            objects.
        parts: Of a ragged one the row splits, the outermost first; of a sparse one the indices and the dense shape; of a dataset
            nothing, as its values are the digests of its elements.
    """

    place: str
    form: Form
    values: Array
    parts: tuple[Array, ...] = ()

    @property
    def is_float(self) -> bool:
        """Whether rounding can change its values; bfloat16 and the like included."""
        kind, name = self.values.dtype.kind, self.values.dtype.name
        return kind in _BUILT_IN_FLOATS or (kind == "V" and "float" in name)

    @property
    def dtype(self) -> str:
        """The name of the type of its values."""
        return "string" if self.values.dtype == object else self.values.dtype.name


def components_of(element: Any) -> tuple[Component, ...]:
    """The components of an element, in the order of `tf.nest.flatten`.

    Raises:
        UsageError: One of them has no values that could be compared, as a resource.
    """
    return tuple(_component(place, part) for place, part in _parts(element, ""))


def places_of(spec: Any) -> tuple[str, ...]:
    """The places of the components of an `element_spec`, in the order of `tf.nest.flatten`."""
    return tuple(place for place, _ in _parts(spec, ""))


def without(components: Sequence[Component], mask: Collection[int]) -> tuple[Component, ...]:
    """The components whose numbers are not in a mask."""
    return tuple(component for number, component in enumerate(components) if number not in mask)


def _parts(value: Any, place: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key in sorted(value):
            yield from _parts(value[key], f"{place}[{key!r}]")
    elif isinstance(value, tuple | list):
        names = getattr(value, "_fields", None)
        for number, part in enumerate(value):
            yield from _parts(part, f"{place}.{names[number]}" if names else f"{place}[{number}]")
    elif value is not None:
        yield place, value


def _component(place: str, part: Any) -> Component:
    if hasattr(part, "nested_row_splits"):
        splits = tuple(np.asarray(split) for split in part.nested_row_splits)
        return Component(place, "ragged", array_of(part.flat_values, place), splits)
    if hasattr(part, "dense_shape"):
        indices, shape = np.asarray(part.indices), np.asarray(part.dense_shape)
        return Component(place, "sparse", array_of(part.values, place), (indices, shape))
    if hasattr(part, "element_spec"):
        return Component(place, "dataset", _elements(part))
    return Component(place, "dense", array_of(part, place))


def array_of(part: Any, place: str = "") -> Array:
    """A tensor's values; strings as an array of `bytes` objects, as numpy's own strings lose zero bytes at their end.

    Raises:
        UsageError: It has none.
    """
    try:
        value = part.numpy() if hasattr(part, "numpy") else part
    except Exception as error:
        raise UsageError(f"component {place or 'the element'} has no values that can be compared: {error}") from error
    if isinstance(value, bytes | str):
        single = np.empty((), object)
        single[()] = value.encode() if isinstance(value, str) else value
        return single
    array = np.asarray(value)
    if array.dtype.kind in "SU":
        encoded = [item if isinstance(item, bytes) else item.encode() for item in array.ravel().tolist()]
        array = np.array([*encoded, None], object)[:-1].reshape(array.shape)
    return array


def _elements(dataset: Any) -> Array:
    """A dataset's elements, each as text that tells its components apart; for comparing, not for reading."""
    texts: list[bytes | None] = []
    for element in dataset:
        parts = components_of(element)
        texts.append(b"|".join(repr((c.dtype, c.values.shape)).encode() + content(c) for c in parts))
    return np.array([*texts, None], object)[:-1]


def content(component: Component) -> bytes:
    """All that a component holds, so that no two of one dtype and shape have the same."""
    arrays = (component.values, *component.parts)
    return b"".join(_sized(array) for array in arrays)


def _sized(array: Array) -> bytes:
    if array.dtype == object:
        lengths = np.fromiter(map(len, array.ravel()), np.int64, array.size)
        data = lengths.tobytes() + b"".join(array.ravel().tolist())
    else:
        data = array.tobytes()
    return np.int64(len(data)).tobytes() + data
