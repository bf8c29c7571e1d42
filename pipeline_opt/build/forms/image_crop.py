"""The form `crop_window`: where only a window of a decoded JPEG is kept, decode only that window.

What is decoded is larger than the window by a margin on each side, and cut down after. Where chroma is stored at half
the resolution, libjpeg looks at the neighbours of each chroma sample, and at what it takes for an image's edge it makes
them up. With a margin of one pixel, windows that are only the first column of an image still came out otherwise.

Data of which this is not known to be exact are decoded whole, as before: what is no JPEG (`DecodeJpeg` also takes PNG
and GIF), a JPEG whose end is missing or that has something after it, and a progressive one: where some of its scans are
missing libjpeg smooths, over more neighbours, and its size alone would cost as much as its pixels.

A JPEG that is damaged below the window, so that `DecodeJpeg` fails, is not found out: its window is given.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final, NamedTuple

import numpy as np

from pipeline_opt.build.forms.form import Refused
from pipeline_opt.build.forms.graph_edit import PASSING, Draft, data_inputs, node_name
from pipeline_opt.build.forms.image_order import CROPS, MEASURES, crop_first
from pipeline_opt.build.traced import Traced
from pipeline_opt.lazy import lazy_module

tf = lazy_module("tensorflow")

_DECODERS: Final = ("DecodeJpeg", "DecodeImage")
_MARGIN: Final = 2
_START: Final = b"\xff\xd8\xff"
_END: Final = b"\xff\xd9"
_PROGRESSIVE: Final = b"\xff\xc2"
_HEADER_BYTES: Final = 16384
"""How far into the data the mark of a progressive JPEG is looked for."""


class _Uses(NamedTuple):
    """What takes a decoded image: what measures it, and what crops it; each with the number of axes put in front."""

    crops: list[tuple[Any, int]]
    measures: list[tuple[Any, int]]
    passing: list[Any]


class _Look(NamedTuple):
    """What is known of an image before it is decoded; the tensors' names.

    Args:
        contents: The data.
        plain: Whether a window may be decoded alone.
        shape: The image's shape, int32.
        whole: The decoded image where it is not plain.
    """

    contents: str
    plain: str
    shape: str
    whole: str


def crop_window(function: Traced) -> Traced | Refused:
    """Decode only the window that a function keeps of a JPEG: a crop that is fixed, drawn, or computed from the image's shape.

    Work on single pixels that stands between is put after the crop (`crop_first`). Random ops stay as they are.

    Preserves: exact, but for a JPEG that is damaged below the window: the function fails for it, and here its window is given.

    Args:
        function: A function of one element.
    """
    early = crop_first(function)
    draft = Draft(function if isinstance(early, Refused) else early)
    decoders = [node for node in draft.nodes.values() if node.op in _DECODERS]
    if not decoders:
        return Refused(_without_decoder(draft))
    reasons = [reason for node in decoders if (reason := _narrow(draft, node))]
    return Refused("; ".join(dict.fromkeys(reasons))) if len(reasons) == len(decoders) else draft.finished()


def _without_decoder(draft: Draft) -> str:
    inner = [f.signature.name for f in draft.library if any(n.op in _DECODERS for n in f.node_def)]
    return f"a JPEG is decoded only in a function that it calls ({inner[0]})" if inner else "it decodes no JPEG"


def _narrow(draft: Draft, decoder: Any) -> str:
    """Let one image be decoded only where it is looked at; gives the reason where that cannot be."""
    uses = _Uses([], [], [])
    reason = _odd_settings(decoder) or _follow(draft, f"{decoder.name}:0", 0, uses)
    if reason:
        return f"{decoder.name}: {reason}"
    if len(uses.crops) != 1:
        return f"{decoder.name}: {'nothing crops it' if not uses.crops else f'it is cropped {len(uses.crops)} times'}"
    crop, front = uses.crops[0]
    if reason := _unknown_window(draft, crop, front):
        return f"{decoder.name}: {reason}"
    contents = data_inputs(decoder)[0]
    look = _Look(contents, *draft.insert("look", _looked(decoder), [contents]))
    for node, axes in uses.measures:
        measured = draft.insert("measure", _measured(node, axes), [look.shape])
        draft.redirect(f"{node.name}:0", measured[0])
        draft.release(node.name, node_name(measured[0]))
    window = _window(decoder, crop, front, _bounds(draft, crop, front))
    image, *places = draft.insert("window", window, [*look, *data_inputs(crop)[1:3]])
    for number, tensor in enumerate((image, *places)):
        crop.input[number] = tensor
    for node in (*uses.passing, decoder):
        draft.release(node.name, crop.name)
    return ""


def _follow(draft: Draft, tensor: str, front: int, uses: _Uses) -> str:
    """Find what takes an image, past ops that give what they take; gives a reason where it is taken as a whole."""
    if tensor in draft.results:
        return "the whole image is given, too"
    for node, place in draft.takers(tensor):
        reason = ""
        if node.op in MEASURES:
            uses.measures.append((node, front))
        elif node.op in CROPS and place == 0:
            uses.crops.append((node, front))
        elif node.op in PASSING or (node.op == "ExpandDims" and place == 0 and _axis(draft, node) == 0 and not front):
            uses.passing.append(node)
            reason = _follow(draft, f"{node.name}:0", front + (node.op == "ExpandDims"), uses)
        else:
            reason = f"{node.op} ({node.name}) takes the whole image"
        if reason:
            return reason
    return ""


def _axis(draft: Draft, node: Any) -> int | None:
    value = draft.constant(data_inputs(node)[1])
    return None if value is None else int(value)


def _odd_settings(decoder: Any) -> str:
    """Why an image is decoded in a way that no window can be, or where a window was not shown to be the same."""
    given = _settings(decoder)
    if given["channels"] not in (0, 1, 3):
        return f"no JPEG has {given['channels']} channels"
    if decoder.op == "DecodeImage":
        return "" if given["dtype"] == tf.uint8.as_datatype_enum else "it gives no uint8"
    if given["try_recover_truncated"] or given["acceptable_fraction"] != 1:
        return "it also decodes what is truncated"
    return ""


def _unknown_window(draft: Draft, crop: Any, front: int) -> str:
    """Why a crop's window cannot be decoded alone, or need not be."""
    begin, extent = (draft.constant(tensor) for tensor in data_inputs(crop)[1:3])
    if crop.op == "Slice":
        fixed = begin is not None and extent is not None
        whole = fixed and not any(begin[front : front + 2]) and all(extent[front : front + 2] == -1)
        return f"{crop.name} keeps all rows and columns" if whole else ""
    strides, length = draft.constant(data_inputs(crop)[3]), draft.traced(data_inputs(crop)[1]).shape[0]
    masks = {name: crop.attr[f"{name}_mask"].i for name in ("begin", "end", "ellipsis", "new_axis", "shrink_axis")}
    cut = [axis for axis in range(min(length or 2, 2)) if not masks["begin"] & masks["end"] & 1 << axis]
    if masks["ellipsis"] & 3 or not cut:
        return f"{crop.name} keeps all rows and columns"
    if front or length is None or strides is None or masks["new_axis"] or masks["shrink_axis"] & 3:
        return f"what {crop.name} keeps is no window"
    return f"{crop.name} skips or turns rows or columns" if any(strides[:2] != 1) else ""


def _settings(decoder: Any) -> dict[str, Any]:
    """The attributes of a node, as arguments of its op."""
    values = {name: value for name, value in decoder.attr.items() if not name.startswith("_")}
    return {name: getattr(value, value.WhichOneof("value")) for name, value in values.items()}


def _looked(decoder: Any) -> Callable[[Any], Any]:
    """Data to: whether a window may be decoded alone, the image's shape, and the image itself where it may not."""
    decode, settings = getattr(tf.raw_ops, decoder.op), _settings(decoder)
    ratio, channels = settings.get("ratio", 1), settings["channels"]

    def unread(contents: Any) -> Any:
        shape = tf.image.extract_jpeg_shape(contents)
        shape = shape if ratio == 1 else -(-shape // [ratio, ratio, 1])
        least, most = [0, 0, channels], [tf.int32.max, tf.int32.max, channels or 3]
        return tf.minimum(tf.maximum(shape, least) if channels else shape, most), tf.zeros([0, 0, 0], tf.uint8)

    def read(contents: Any) -> Any:
        image = decode(contents=contents, **settings)
        return tf.shape(image), image

    def look(contents: Any) -> Any:
        plain = _is_plain(contents)
        return plain, *tf.cond(plain, lambda: unread(contents), lambda: read(contents))

    return look


def _is_plain(contents: Any) -> Any:
    """Whether data are a JPEG from its first to its last byte, and it is not progressive."""
    start, end = (tf.strings.substr(contents, *part) for part in ((0, len(_START)), (-len(_END), len(_END))))
    header = tf.strings.substr(contents, 0, _HEADER_BYTES)
    parts = tf.raw_ops.StringSplitV2(input=[header], sep=_PROGRESSIVE, maxsplit=1).values
    return (start == _START) & (end == _END) & (tf.size(parts) == 1)


def _measured(node: Any, front: int) -> Callable[[Any], Any]:
    """An image's shape to what a node says of the image with some axes put in front."""

    def measure(shape: Any) -> Any:
        whole = tf.concat([tf.ones([front], tf.int32), shape], 0)
        if node.op == "Shape":
            return tf.cast(whole, node.attr["out_type"].type or tf.int32)
        return (
            tf.size(whole)
            if node.op == "Rank"
            else tf.cast(tf.reduce_prod(whole), node.attr["out_type"].type or tf.int32)
        )

    return lambda shape: tf.identity(measure(shape))


def _window(decoder: Any, crop: Any, front: int, bounds: Callable[..., tuple[Any, Any]]) -> Callable[..., Any]:
    """What an image is decoded from, and a crop's place, to: the window with its margin, and the crop's place in it."""
    settings = {"dct_method": "INTEGER_FAST"} if decoder.op == "DecodeImage" else _settings(decoder)
    settings["channels"] = decoder.attr["channels"].i

    def window(contents: Any, plain: Any, shape: Any, whole: Any, begin: Any, extent: Any) -> Any:
        sides = shape[:2]
        first, last = bounds(sides, tf.cast(begin, tf.int32), tf.cast(extent, tf.int32))
        low, high = tf.maximum(first - _MARGIN, 0), tf.minimum(last + _MARGIN, sides)
        place = tf.concat([low, high - low], 0)

        def part() -> Any:
            return tf.raw_ops.DecodeAndCropJpeg(contents=contents, crop_window=place, **settings)

        def part_of_whole() -> Any:
            top, left, height, width = tf.unstack(place)
            return whole[top : top + height, left : left + width]

        image = tf.cond(plain, part, part_of_whole)
        if crop.op == "Slice":
            return image[tf.newaxis] if front else image, _placed(begin, first - low, front)
        return image, _placed(begin, first - low, 0), _placed(extent, last - low, 0)

    return window


def _placed(place: Any, inner: Any, front: int) -> Any:
    """A crop's place with other numbers for rows and columns, as far as it names them."""
    parts = [place[:front], tf.cast(inner, place.dtype), place[front + 2 :]]
    if place.shape.rank == 1 and place.shape[0] is not None:
        named = max(0, min(2, place.shape[0] - front))
        parts = [*([parts[0]] if front else []), parts[1][:named] if named < 2 else parts[1], *parts[2:]]
    return tf.concat(parts, 0)


def _bounds(draft: Draft, crop: Any, front: int) -> Callable[..., tuple[Any, Any]]:
    """The function of an image's height and width, and of a crop's two operands, that gives what is kept: from and to."""
    if crop.op == "StridedSlice":
        return partial(_bounds_of_strided_slice, (crop.attr["begin_mask"].i, crop.attr["end_mask"].i))
    size = draft.constant(data_inputs(crop)[2])
    return partial(_bounds_of_slice, front, size is None or any(size < 0))


def _bounds_of_slice(front: int, to_the_end: bool, sides: Any, begin: Any, size: Any) -> tuple[Any, Any]:
    first, count = begin[front : front + 2], size[front : front + 2]
    return first, tf.where(count < 0, sides, first + count) if to_the_end else first + count


def _bounds_of_strided_slice(masks: tuple[int, int], sides: Any, begin: Any, end: Any) -> tuple[Any, Any]:
    """The first row and column that are kept, and those after the last; numbers below 0 count from the image's end."""
    untold = begin.shape[0] < 2
    open_axes = [np.array([mask >> axis & 1 or (axis and untold) for axis in range(2)], bool) for mask in masks]

    def resolved(places: Any, is_open: Any, otherwise: Any) -> Any:
        pair = tf.concat([places, [0]], 0) if untold else places[:2]
        counted = tf.clip_by_value(tf.where(pair < 0, pair + sides, pair), 0, sides)
        return tf.where(is_open, otherwise, counted) if any(is_open) else counted

    first = resolved(begin, open_axes[0], 0)
    return first, tf.maximum(resolved(end, open_axes[1], sides), first)
