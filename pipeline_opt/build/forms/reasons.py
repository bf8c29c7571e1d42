"""Why an op without a rule is not computed for a whole batch."""

from __future__ import annotations

from typing import Final

from pipeline_opt.build.purity import PYTHON

_IMAGES: Final = "images are decoded one at a time, and their sizes may differ"
_LOOP: Final = "a loop may take another number of turns for each element"
_PYTHON: Final = "it calls Python, which cannot be looked into"
_UNIQUE: Final = "what it gives has no length that rows could share"

_REASONS: Final = {
    "DecodeJpeg": _IMAGES,
    "DecodePng": _IMAGES,
    "DecodeImage": _IMAGES,
    "DecodeGif": _IMAGES,
    "DecodeBmp": _IMAGES,
    "DecodeWebP": _IMAGES,
    "DecodeAndCropJpeg": _IMAGES,
    "While": _LOOP,
    "StatelessWhile": _LOOP,
    **dict.fromkeys(PYTHON, _PYTHON),
    "Unique": _UNIQUE,
    "UniqueV2": _UNIQUE,
    "UniqueWithCounts": _UNIQUE,
    "ReadFile": "files are read one at a time",
    "ReadVariableOp": "it reads a variable, which may change between one element and the next",
    "If": "which branch is taken may differ between elements",
    "StatelessIf": "which branch is taken may differ between elements",
    "Case": "which branch is taken may differ between elements",
    "StatelessCase": "which branch is taken may differ between elements",
}


def reason(kind: str) -> str:
    """A sentence for people: why there is no rule for an op."""
    if "Stateless" in kind and "Random" in kind:
        return "its numbers depend on a seed that differs between elements"
    if "Dataset" in kind:
        return "it makes a dataset of each element"
    return _REASONS.get(kind, "there is no rule for it")
