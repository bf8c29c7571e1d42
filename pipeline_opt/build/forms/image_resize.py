"""The form `float_resize`: resize images of small integers in the type in which TensorFlow is faster at it.

TensorFlow computes bilinear and bicubic resizes in float32 and reads integers as such, so that a cast before changes no
bit. Its loop over float32 is the faster one, but the cast goes over the whole image, and the loop only over what it looks at.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

from pipeline_opt.build.forms.form import Refused
from pipeline_opt.build.forms.graph_edit import PASSING, Draft, data_inputs, node_name
from pipeline_opt.build.forms.image_order import MEASURES, cast_late
from pipeline_opt.build.traced import Traced
from pipeline_opt.lazy import lazy_module

tf = lazy_module("tensorflow")

_RESIZES: Final = ("ResizeBilinear", "ResizeBicubic")
_SMALL: Final = ("uint8", "int8", "uint16", "int16")
"""Types of which float32 holds every number."""
_PIXELS: Final = 4
"""How many pixels an image may have for each that is made of it, so that a cast pays. Measured: it paid with 3.7 and hardly
with 7 (bilinear, three channels, 224 x 224), and cost more than the resize with 30."""


def float_resize(function: Traced) -> Traced | Refused:
    """Resize images of small integers as float32 where they are not much larger than the result, else as they are.

    Where the sizes are known only when the function runs, they are looked at then, unless the function has a cast already.

    Preserves: exact.

    Args:
        function: A function of one element, or of one batch.
    """
    late = cast_late(function)
    draft = Draft(function if isinstance(late, Refused) else late)
    found = {
        node.name: path for node in draft.nodes.values() if node.op in _RESIZES and (path := _integers(draft, node))
    }
    if not found:
        return Refused("no image of small integers is resized (bilinear or bicubic)")
    reasons = [reason for name, path in found.items() if (reason := _change(draft, draft.nodes[name], path))]
    return Refused("; ".join(reasons)) if len(reasons) == len(found) else draft.finished()


def _change(draft: Draft, node: Any, path: list[str]) -> str:
    """Resize in the type that is the faster one; gives the reason where that is no change."""
    few, is_cast = _are_few(draft, node), len(path) > 1
    if is_cast and few is not False:
        return f"{node.name} resizes float32, and what it resizes is not known to be much larger than the result"
    if not is_cast and few is False:
        return f"{node.name} resizes integers, and what it resizes is much larger than the result"
    made = draft.insert("resize", _resized(node, few), [path[-1], data_inputs(node)[1]])[0]
    draft.redirect(f"{node.name}:0", made)
    for passed in (node.name, *map(node_name, path[:-1])):
        draft.release(passed, node_name(made))
    return ""


def _are_few(draft: Draft, node: Any) -> bool | None:
    """Whether there are few pixels to cast for those that are made; None where the shapes do not tell."""
    shape, size = draft.traced(data_inputs(node)[0]).shape, draft.constant(data_inputs(node)[1])
    sides = shape.as_list()[1:3] if shape.rank == 4 else [None]
    return None if size is None or None in sides else math.prod(sides) <= _PIXELS * math.prod(size.tolist())


def _integers(draft: Draft, node: Any) -> list[str]:
    """From the tensor that a node resizes, past a cast, to one of small integers; empty if there is none."""
    path = [data_inputs(node)[0]]
    while draft.traced(path[-1]).dtype.name not in _SMALL:
        tensor, maker = path[-1], draft.maker(path[-1])
        takers = [other for other, _ in draft.takers(tensor) if other.op not in MEASURES]
        wide = draft.traced(tensor).dtype != tf.float32 or maker.op not in ("Cast", *PASSING)
        if wide or len(takers) != 1 or tensor in draft.results:
            return []
        path.append(data_inputs(maker)[0])
    return path


def _resized(node: Any, few: bool | None) -> Callable[[Any, Any], Any]:
    """Images and a size to the resized images, in the type that is the faster one for them."""
    settings = {name: node.attr[name].b for name in ("align_corners", "half_pixel_centers")}
    resize = getattr(tf.raw_ops, node.op)

    def resized(images: Any, size: Any) -> Any:
        looked = tf.reduce_prod(tf.shape(images)[1:3]) <= _PIXELS * tf.reduce_prod(size)
        return tf.cond(looked, lambda: cast(images, size), lambda: plain(images, size))

    def cast(images: Any, size: Any) -> Any:
        return resize(images=tf.cast(images, tf.float32), size=size, **settings)

    def plain(images: Any, size: Any) -> Any:
        return resize(images=images, size=size, **settings)

    return resized if few is None else cast if few else plain
