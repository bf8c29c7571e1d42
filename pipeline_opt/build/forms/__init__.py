"""Other ways to compute a function: a form is a function `Traced -> Traced | Refused`, named in a plan by a string."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from pipeline_opt.build.forms.batched import batched, padded
from pipeline_opt.build.forms.form import Derived as Derived
from pipeline_opt.build.forms.form import Refused as Refused
from pipeline_opt.build.forms.image_crop import crop_window
from pipeline_opt.build.forms.image_order import cast_late, crop_first
from pipeline_opt.build.forms.image_resize import float_resize
from pipeline_opt.build.forms.parts import large_part, pure_part, random_part, small_part
from pipeline_opt.build.traced import Traced

Form = Callable[..., Traced | Refused]
"""A traced function, and parameters by name, to one that computes the same in another way."""

FORMS: Final[Mapping[str, Form]] = MappingProxyType(
    {
        "batched": batched,
        "padded": padded,
        "crop_window": crop_window,
        "crop_first": crop_first,
        "cast_late": cast_late,
        "float_resize": float_resize,
        "pure_part": pure_part,
        "random_part": random_part,
        "small_part": small_part,
        "large_part": large_part,
    }
)
"""The forms by the names that they have in plans."""


OF_BATCHES: Final = frozenset({"batched", "padded"})
"""Forms that take whole batches where the function takes an element."""

IN_PLACE: Final = ("crop_window", "crop_first", "cast_late", "float_resize")
"""Forms that take and give what the function does, the one that gains most first."""

PARTS: Final = (("pure_part", "random_part"), ("small_part", "large_part"))
"""Forms of which one goes on where the other ends."""


def derive(function: Traced, forms: Sequence[str], **parameters: Any) -> Traced | Refused:
    """Bring a function into one form after the other.

    Args:
        function: The function.
        forms: Names of `FORMS`.
        **parameters: What the forms need beside the function; each is given to the forms that have a parameter of its name.

    Returns:
        The function in the last form, or the first reason why there is none.

    Raises:
        ValueError: There is no form of a name, or none of the forms has a parameter of a name.
    """
    for name in forms:
        if name not in FORMS:
            raise ValueError(f"no form is called {name!r}; forms: {', '.join(FORMS)}")
    takes = {name: set(inspect.signature(FORMS[name]).parameters) for name in forms}
    for parameter in parameters:
        if not any(parameter in names for names in takes.values()):
            raise ValueError(f"none of the forms {', '.join(forms)} has a parameter {parameter!r}")
    derived: Traced | Refused = function
    for name in forms:
        if isinstance(derived, Refused):
            break
        derived = FORMS[name](derived, **{key: value for key, value in parameters.items() if key in takes[name]})
    return derived
