"""Every rule, in the order in which they are tried."""

from typing import Final

from pipeline_opt.optimizer.rewrite import Rule
from pipeline_opt.optimizer.rules import (
    any_order,
    batch_in_files,
    batch_tail,
    cache,
    chunks,
    early_filter,
    forms,
    freeze,
    fuse_maps,
    interleave_files,
    lone_ops,
    more_calls,
    moving,
    parallel_map,
    prefetch,
    reading,
    rebatch,
    redundant,
    sequential_map,
    split,
    threads,
    vectorise,
    zip_maps,
)

RULES: Final[tuple[Rule, ...]] = (
    redundant.RULE,
    rebatch.RULE,
    parallel_map.RULE,
    sequential_map.RULE,
    reading.PARALLEL,
    reading.SEQUENTIAL,
    interleave_files.RULE,
    early_filter.RULE,
    forms.RULE,
    moving.LATE,
    moving.EARLY,
    vectorise.RULE,
    batch_tail.RULE,
    chunks.RULE,
    zip_maps.RULE,
    fuse_maps.RULE,
    split.RULE,
    cache.RULE,
    batch_in_files.RULE,
    threads.RULE,
    any_order.RULE,
    prefetch.RULE,
    more_calls.RULE,
    lone_ops.RULE,
    freeze.RULE,
)
"""Those that look at a pipeline as a whole come last."""
