"""A record as plain values and arrays, and back, by the types of its fields."""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pipeline_opt.record import Floats, Ints, Record
from pipeline_opt.record_checks import problem

Array = NDArray[Any]

_ARRAYS: Final = ((Floats, np.dtype("<f8")), (Ints, np.dtype("<i8")))


def encode_record(record: Record) -> tuple[dict[str, Any], dict[str, Array]]:
    """The fields of a record as plain values, and its arrays by the names that stand for them there.

    Fields that a subclass adds are left out.
    """
    arrays: dict[str, Array] = {}
    return _encode_fields(record, Record, "", arrays), arrays


def decode_record(fields: Mapping[str, Any], read_array: Callable[[str], Array]) -> Record:
    """The record whose fields `encode_record` gave.

    Raises:
        ValueError: a value is of the wrong type, shape or range, or a field without a default is missing; says which.
    """
    record: Record = _decode_fields(fields, Record, "record", read_array)
    return record


def _encode_fields(value: Any, cls: type, place: str, arrays: dict[str, Array]) -> dict[str, Any]:
    hints = _hints(cls)
    return {
        field.name: _encode(getattr(value, field.name), hints[field.name], f"{place}{field.name}", arrays)
        for field in dataclasses.fields(cls)
    }


def _encode(value: Any, hint: Any, place: str, arrays: dict[str, Array]) -> Any:
    for kind, dtype in _ARRAYS:
        if hint == kind:
            arrays[f"{place}.npy"] = np.ascontiguousarray(value, dtype)
            return f"{place}.npy"
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return _encode_fields(value, hint, f"{place}/", arrays)
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin is tuple:
        return [_encode(part, parts[0], f"{place}/{i}", arrays) for i, part in enumerate(value)]
    if origin is dict:
        return {key: _encode(part, parts[1], f"{place}/{key}", arrays) for key, part in value.items()}
    return value.item() if isinstance(value, np.generic) and hint is not Any else value


def _decode_fields(fields: Any, cls: type, place: str, read_array: Callable[[str], Array]) -> Any:
    if not isinstance(fields, dict):
        raise ValueError(f"{place} is not a set of fields: {fields!r:.80}")
    hints = _hints(cls)
    arguments = {
        field.name: _decode(fields[field.name], hints[field.name], f"{place}.{field.name}", read_array)
        for field in dataclasses.fields(cls)
        if field.name in fields
    }
    lengths = {len(array) for array in arguments.values() if isinstance(array, np.ndarray)}
    if len(lengths) > 1:
        raise ValueError(f"the arrays of {place} have different lengths: {sorted(lengths)}")
    try:
        decoded = cls(**arguments)
    except TypeError as error:
        raise ValueError(f"{place} lacks a field: {error}") from error
    wrong = problem(decoded, place)
    if wrong is not None:
        raise ValueError(wrong)
    return decoded


def _decode(value: Any, hint: Any, place: str, read_array: Callable[[str], Array]) -> Any:
    for kind, dtype in _ARRAYS:
        if hint == kind:
            return _decode_array(value, dtype, place, read_array)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return _decode_fields(value, hint, place, read_array)
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin is tuple and isinstance(value, list):
        return tuple(_decode(part, parts[0], f"{place}[{i}]", read_array) for i, part in enumerate(value))
    if origin is dict and isinstance(value, dict):
        return {key: _decode(part, parts[1], f"{place}[{key!r}]", read_array) for key, part in value.items()}
    if hint is Any or _is_one_of(value, parts if origin is types.UnionType else (hint,)):
        return float(value) if hint is float else value
    raise ValueError(f"{place}={value!r:.80} is of the wrong type")


def _decode_array(value: Any, dtype: np.dtype[Any], place: str, read_array: Callable[[str], Array]) -> Array:
    if not isinstance(value, str):
        raise ValueError(f"{place} names no array: {value!r:.80}")
    array = read_array(value)
    if array.dtype != dtype:
        raise ValueError(f"the array {place} is of type {array.dtype}; valid: {dtype}")
    return array.astype(dtype.newbyteorder("="), copy=False)


def _is_one_of(value: Any, kinds: tuple[Any, ...]) -> bool:
    if value is None:
        return type(None) in kinds
    if isinstance(value, bool):
        return bool in kinds
    return type(value) in kinds or (isinstance(value, int) and float in kinds)


@functools.cache
def _hints(cls: type) -> dict[str, Any]:
    return typing.get_type_hints(cls)
