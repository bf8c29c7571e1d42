"""Refuse the orders that cannot be built, with the reason and the nearest order that can."""

from __future__ import annotations

from pipeline_opt.errors import OrderError
from pipeline_opt.order.nearest import nearest_order
from pipeline_opt.order.position import after, refusal, start
from pipeline_opt.plan import Combination, Plan


def check_order(plan: Plan) -> None:
    """Refuse a plan, or a plan inside it, whose stages cannot stand in their order.

    Raises:
        OrderError: says which stage stands wrong and why, and ends with the nearest legal order, written as
            `--order` takes it.
    """
    source = plan.source
    if isinstance(source, Combination):
        for number, part in enumerate(source.plans):
            _check_part(part, f"{source.kind}[{number}]")
    reason = first_refusal(plan)
    if reason is not None:
        raise OrderError(f"{reason}; {_way_out(plan)}")


def first_refusal(plan: Plan) -> str | None:
    """Why the first wrongly placed stage cannot stand where it does; None if all can."""
    at = start(plan)
    for stage in plan.stages:
        if stage.name == "source":
            return "a stage is called 'source', which is the name of the source itself"
        reason = refusal(at, stage, plan.source)
        if reason is not None:
            return reason
        at = after(at, stage)
    return None


def _check_part(part: Plan, where: str) -> None:
    try:
        check_order(part)
    except OrderError as error:
        raise OrderError(f"in {where}: {error}") from error


def _way_out(plan: Plan) -> str:
    if any(stage.name == "source" for stage in plan.stages):
        return "give it another name"
    order = nearest_order(plan)
    if order is None:
        return "no order of these stages is legal"
    return f"nearest legal order: {','.join(order)}"
