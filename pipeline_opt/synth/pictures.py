"""Pictures that weigh about what photographs do: smooth surfaces, edges and grain."""

from __future__ import annotations

import io
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

_SURFACES: Final = ((3, 70.0), (8, 40.0), (24, 22.0), (70, 12.0))
"""Cells across and amplitude of each layer of smooth noise."""
_SHAPES: Final = 24
_GRAIN: Final = (12.0, 24.0)
"""Range of the grain's standard deviation: 500 x 375 pixels take about 100 KB at quality 90."""
_QUALITY: Final = 90
_SCENE_BYTES: Final = 256 << 20
"""Memory that all scenes together may take."""
_MARGIN: Final = 1.5
"""How much larger a scene is than the pictures cut out of it."""


class Pictures:
    """JPEG pictures by number, cut out of different scenes at random places, some mirrored.

    The same seed, size and number give the same picture. A picture's class is its scene.

    Args:
        width: Pixels across.
        height: Pixels down.
        seed: Seed of all pictures.
        classes: How many different scenes at the most; fewer where they would take too much memory.
    """

    def __init__(self, width: int, height: int, seed: int, classes: int = 64) -> None:
        self._size = (width, height)
        self._seed = seed
        self._scenes: dict[int, NDArray[np.uint8]] = {}
        scene_bytes = int(3 * width * height * _MARGIN**2)
        self.classes = max(1, min(classes, _SCENE_BYTES // scene_bytes))

    def label(self, number: int) -> int:
        """The class of a picture, 0 to `classes` - 1."""
        return number % self.classes

    def encode(self, number: int) -> bytes:
        """A picture as a JPEG file."""
        rng = np.random.default_rng((self._seed, 1, number))
        scene = self._scene(self.label(number))
        width, height = self._size
        top = int(rng.integers(scene.shape[0] - height + 1))
        left = int(rng.integers(scene.shape[1] - width + 1))
        cut = scene[top : top + height, left : left + width]
        if rng.random() < 0.5:
            cut = cut[:, ::-1]
        out = io.BytesIO()
        Image.fromarray(np.ascontiguousarray(cut)).save(out, "JPEG", quality=_QUALITY)
        return out.getvalue()

    def _scene(self, number: int) -> NDArray[np.uint8]:
        if number not in self._scenes:
            width, height = (int(pixels * _MARGIN) for pixels in self._size)
            self._scenes[number] = _make_scene(np.random.default_rng((self._seed, 0, number)), width, height)
        return self._scenes[number]


def _make_scene(rng: np.random.Generator, width: int, height: int) -> NDArray[np.uint8]:
    smooth = np.full((height, width, 3), 128.0, np.float32)
    for cells, amplitude in _SURFACES:
        grid = rng.standard_normal((max(2, cells * height // width), cells, 3)).astype(np.float32)
        for channel in range(3):
            layer = Image.fromarray(grid[:, :, channel]).resize((width, height), Image.Resampling.BICUBIC)
            smooth[:, :, channel] += amplitude * np.asarray(layer)
    image = Image.fromarray(_as_bytes(smooth))
    _draw_shapes(image, rng)
    grain = rng.uniform(*_GRAIN) * rng.standard_normal((height, width, 1), np.float32)
    return _as_bytes(np.asarray(image) + grain)


def _draw_shapes(image: Image.Image, rng: np.random.Generator) -> None:
    draw = ImageDraw.Draw(image)
    for _ in range(_SHAPES):
        x, y = (int(v) for v in rng.integers((0, 0), image.size))
        reach = int(rng.integers(image.width // 40, image.width // 6 + 1))
        red, green, blue = (int(v) for v in rng.integers(0, 256, 3))
        if rng.random() < 0.5:
            draw.ellipse((x - reach, y - reach // 2, x + reach, y + reach // 2), fill=(red, green, blue))
        else:
            draw.polygon([(x, y), (x + reach, y + reach // 3), (x + reach // 2, y + reach)], fill=(red, green, blue))


def _as_bytes(pixels: NDArray[np.float32]) -> NDArray[np.uint8]:
    clipped: NDArray[np.uint8] = np.clip(pixels, 0, 255).astype(np.uint8)
    return clipped
