"""Every rule, in the order in which they are tried."""

from typing import Final

from pipeline_opt.optimizer.rewrite import Rule
from pipeline_opt.optimizer.rules import (
    cache,
    early_filter,
    early_map,
    forms,
    freeze,
    interleave_files,
    late_map,
    parallel_map,
    prefetch,
    reading,
    redundant,
    split,
    vectorise,
)

RULES: Final[tuple[Rule, ...]] = (
    redundant.RULE,
    parallel_map.RULE,
    reading.PARALLEL,
    reading.SEQUENTIAL,
    interleave_files.RULE,
    early_filter.RULE,
    forms.RULE,
    late_map.RULE,
    early_map.RULE,
    vectorise.RULE,
    split.RULE,
    cache.RULE,
    prefetch.RULE,
    freeze.RULE,
)
