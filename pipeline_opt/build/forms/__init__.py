"""Other ways to compute a function: a form is a function `Traced -> Traced | Refused`, named in a plan by a string."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from pipeline_opt.build.forms.batched import batched, padded, ragged
from pipeline_opt.build.forms.flat import flat
from pipeline_opt.build.forms.form import Derived as Derived
from pipeline_opt.build.forms.form import Refused as Refused
from pipeline_opt.build.forms.image_crop import crop_window
from pipeline_opt.build.forms.image_order import cast_late, crop_first
from pipeline_opt.build.forms.image_resize import float_resize
from pipeline_opt.build.forms.looped import looped
from pipeline_opt.build.forms.parts import batch_part, large_part, pure_part, random_part, row_part, small_part
from pipeline_opt.build.traced import Traced

Form = Callable[..., Traced | Refused]
"""A traced function, and parameters by name, to one that computes the same in another way."""

FORMS: Final[Mapping[str, Form]] = MappingProxyType(
    {
        "batched": batched,
        "padded": padded,
        "ragged": ragged,
        "flat": flat,
        "looped": looped,
        "crop_window": crop_window,
        "crop_first": crop_first,
        "cast_late": cast_late,
        "float_resize": float_resize,
        "pure_part": pure_part,
        "random_part": random_part,
        "small_part": small_part,
        "large_part": large_part,
        "row_part": row_part,
        "batch_part": batch_part,
    }
)
"""The forms by the names that they have in plans."""


OF_BATCHES: Final = frozenset({"batched", "looped", "padded", "ragged"})
"""Forms that take whole batches where the function takes an element."""

IN_PLACE: Final = ("crop_window", "crop_first", "cast_late", "float_resize")
"""Forms that take and give what the function does: those that leave work out, then those that do it otherwise."""

PARTS: Final = (("pure_part", "random_part"), ("small_part", "large_part"))
"""Forms of which one goes on where the other ends."""


def derive(function: Traced, form: str, **told: Any) -> Traced | Refused:
    """Bring a function into a form.

    Args:
        function: The function.
        form: One of `FORMS`.
        **told: What the form needs beside the function.

    Returns:
        The function in that form, or why there is none.

    Raises:
        ValueError: There is no form of that name, or it has no parameter of a name.
    """
    if form not in FORMS:
        raise ValueError(f"no form is called {form!r}; forms: {', '.join(FORMS)}")
    if unknown := told.keys() - inspect.signature(FORMS[form]).parameters.keys():
        raise ValueError(f"the form {form!r} has no parameter {min(unknown)!r}")
    return FORMS[form](function, **told)
