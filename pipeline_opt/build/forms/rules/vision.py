"""Ops on images of one size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pipeline_opt.build.forms.calls import Call, Rule
from pipeline_opt.build.forms.values import Dense, Unliftable, Value, stacked
from pipeline_opt.lazy import lazy_module

tf = lazy_module("tensorflow")


def of_images(call: Call) -> Sequence[Value]:
    """An op on a stack of images: those of all rows are stacked further."""
    value, tensors = call.inputs[0], call.parameters(1)
    if value.shape.rank != 4 or not value.shape.is_fully_defined():
        raise Unliftable("the size of its images is not known")
    given = stacked(value, call.rows)
    found = []
    for made in call.again(tf.reshape(given, [-1, *value.shape[1:]]), *tensors):
        found.append(Dense(tf.reshape(made, tf.concat([[-1, value.shape[0]], tf.shape(made)[1:]], 0))))
    return found


def of_pixels(call: Call) -> Sequence[Value]:
    """An op on images, or on pixels, along any axes before them."""
    value, tensors = call.inputs[0], call.parameters(1)
    return [Dense(made) for made in call.again(stacked(value, call.rows), *tensors)]


_RESIZES: Final = ("ResizeBilinear", "ResizeNearestNeighbor", "ResizeBicubic", "ResizeArea", "ScaleAndTranslate")
_FILTERS: Final = ("Conv2D", "DepthwiseConv2dNative", "AvgPool")
_COLOURS: Final = ("AdjustContrastv2", "AdjustHue", "AdjustSaturation", "RGBToHSV", "HSVToRGB")

RULES: Final = {
    **{kind: Rule(of_images) for kind in (*_RESIZES, "MaxPool", "ExtractImagePatches", "SpaceToDepth", "DepthToSpace")},
    **{kind: Rule(of_images, rounds=True) for kind in _FILTERS},
    **{kind: Rule(of_pixels, rounds=True) for kind in _COLOURS},
}
