"""The two parts of a split as forms: a plan names them, and puts something between them."""

from __future__ import annotations

from pipeline_opt.build.forms.batch_split import split_rows
from pipeline_opt.build.forms.form import Refused
from pipeline_opt.build.forms.splits import split_random, split_tail
from pipeline_opt.build.traced import Traced


def pure_part(function: Traced) -> Traced | Refused:
    """What a function does before anything random: the same in every epoch."""
    split = split_random(function)
    return split if isinstance(split, Refused) else split.head


def random_part(function: Traced) -> Traced | Refused:
    """What a function makes of its `pure_part`."""
    split = split_random(function)
    return split if isinstance(split, Refused) else split.tail


def small_part(function: Traced) -> Traced | Refused:
    """What a function does before it only makes its results larger."""
    split = split_tail(function)
    return split if isinstance(split, Refused) else split.head


def large_part(function: Traced) -> Traced | Refused:
    """What a function makes of its `small_part`."""
    split = split_tail(function)
    return split if isinstance(split, Refused) else split.tail


def row_part(function: Traced) -> Traced | Refused:
    """What a function does for one element at a time, and what comes before that."""
    split = split_rows(function)
    return split if isinstance(split, Refused) else split.head


def batch_part(function: Traced) -> Traced | Refused:
    """What a function makes of its `row_part`, which may have a form for whole batches."""
    split = split_rows(function)
    return split if isinstance(split, Refused) else split.tail
