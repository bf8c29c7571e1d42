"""A plan as a tf.data.Dataset."""

from __future__ import annotations

import warnings
from typing import Any

from pipeline_opt.build.purities import purities_of, random_of
from pipeline_opt.build.reading import Resolve, file_sources
from pipeline_opt.build.steps import build_steps
from pipeline_opt.errors import PlanWarning
from pipeline_opt.order import harms, rests_on_purity
from pipeline_opt.plan import Plan, unfolded
from pipeline_opt.storage import gcs, resolve
from pipeline_opt.storage.uris import scheme_of


def build(plan: Plan, *, resolve: Resolve = resolve, on_host: bool = False) -> Any:
    """Make the `tf.data.Dataset` that a plan describes. Stages are named in it as in the plan.

    Args:
        plan: What to build.
        resolve: Lists the files of a source.
        on_host: Leave out the copy to a device, for which something else stands.

    Raises:
        OrderError: The stages cannot stand in this order.
        SourceError: The data cannot be found or is not of the plan's format.
        FunctionError: A function cannot be imported or traced; names the stage.

    Warns:
        PlanWarning: The order is legal and does harm; or there is no accelerator to copy to; or TensorFlow's GCS client
            was made with other settings than the plan's.
    """
    plan = unfolded(plan)
    steps = build_steps(plan, resolve, on_host=on_host)
    found = purities_of(steps) if rests_on_purity(plan) else {}
    for harm in harms(plan, random_of(found)):
        warnings.warn(f"{harm.stage}: {harm.message}", PlanWarning, stacklevel=2)
    for name, source in file_sources(plan):
        if source.access.via != "fsspec" and any(scheme_of(path) == "gs" for path in source.paths):
            gcs.warn_of_differences(source.access, name)
    return steps[-1].after
