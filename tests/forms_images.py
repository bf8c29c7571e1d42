"""JPEGs of all kinds that Pillow writes, and functions traced on them."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image

KINDS = ("444", "422", "420", "gray", "cmyk", "420 progressive", "444 progressive")


def jpeg(rng: np.random.Generator, kind: str, height: int, width: int) -> bytes:
    """A JPEG of noise, some of it smooth; the kind is its chroma subsampling or its mode."""
    channels = {"gray": 1, "cmyk": 4}.get(kind, 3)
    step = int(rng.choice([1, 1, 4]))
    small = rng.integers(0, 256, (-(-height // step), -(-width // step), channels), dtype=np.uint8)
    pixels = small.repeat(step, 0).repeat(step, 1)[:height, :width]
    mode = {"gray": "L", "cmyk": "CMYK"}.get(kind, "RGB")
    image = Image.fromarray(pixels[..., 0] if channels == 1 else pixels, mode)
    sampling = {"subsampling": ("444", "422", "420").index(kind[:3])} if channels == 3 else {}
    out = io.BytesIO()
    image.save(out, "JPEG", quality=int(rng.integers(20, 96)), progressive="progressive" in kind, **sampling)
    return out.getvalue()


def png(height: int, width: int) -> bytes:
    out = io.BytesIO()
    pixels = np.arange(height * width * 3, dtype=np.uint8).reshape(height, width, 3)
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def jpegs(seed: int, count: int, least: int = 30, most: int = 80) -> list[bytes]:
    """JPEGs of all kinds, of sizes between the two."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(least, most, (count, 2))
    return [jpeg(rng, KINDS[n % len(KINDS)], int(h), int(w)) for n, (h, w) in enumerate(sizes)]


def kinds_of_ops(function: Any) -> list[str]:
    """The ops of a traced function's graph, without constants and what only hands on."""
    skipped = ("Const", "Placeholder", "Identity", "NoOp", "Pack")
    return [node.op for node in function.graph_def.node if node.op not in skipped]


def all_ops(function: Any) -> set[str]:
    """The ops of a traced function's graph and of the functions that it calls."""
    definition = function.graph_def
    return {n.op for nodes in (definition.node, *(f.node_def for f in definition.library.function)) for n in nodes}


def windows(rng: np.random.Generator, height: int, width: int, count: int) -> Iterator[tuple[int, int, int, int]]:
    """Top, left, height and width of windows; many at an edge, or one pixel wide."""
    for _ in range(count):
        top, left = (int(rng.choice([0, rng.integers(side)])) for side in (height, width))
        rows, columns = (int(rng.choice([1, most, rng.integers(1, most + 1)])) for most in (height - top, width - left))
        yield top, left, rows, columns
