"""What the comparison figure shows: throughput, utilization, and where the time of an element goes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from pipeline_opt.accounting import account
from pipeline_opt.errors import UsageError
from pipeline_opt.record import Record
from pipeline_opt.reports.compare import Estimate, throughput, utilization


class Variant(NamedTuple):
    """One variant, over one run or several.

    `speedup` is its throughput over the first variant's. `seconds_per_element` splits the wall time of an element:
    `train`, and the stalls by cause.
    """

    name: str
    runs: int
    throughput: Estimate | None
    utilization: Estimate | None
    speedup: float | None
    seconds_per_element: dict[str, float]


class CompareInfo(NamedTuple):
    """Variants in the order given; the first one is what the others are compared with."""

    variants: tuple[Variant, ...]


def compare_info(records: Mapping[str, Sequence[Record]]) -> CompareInfo:
    """Compare variants, each with the runs that were made of it.

    Raises:
        UsageError: there is no variant, or one without a run.
    """
    if not records or not all(records.values()):
        raise UsageError("compare: no runs given; valid: one or more for each variant")
    rates = {name: throughput(runs) for name, runs in records.items()}
    first = next(iter(rates.values()))
    return CompareInfo(
        tuple(
            Variant(
                name=name,
                runs=len(runs),
                throughput=rate,
                utilization=utilization(runs),
                speedup=rate.value / first.value if rate and first else None,
                seconds_per_element=_time_split(runs),
            )
            for (name, runs), rate in zip(records.items(), rates.values(), strict=True)
        )
    )


def _time_split(runs: Sequence[Record]) -> dict[str, float]:
    accounts = [account(run) for run in runs]
    elements = sum(each.elements for each in accounts)
    if not elements:
        return {}
    split = {"train": sum(each.phases["train"].busy_s or 0.0 for each in accounts) / elements}
    for each in accounts:
        for cause, seconds in each.stalls.items():
            split[cause] = split.get(cause, 0.0) + seconds / elements
    return {cause: seconds for cause, seconds in split.items() if seconds > 0}
