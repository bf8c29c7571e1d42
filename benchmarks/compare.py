"""Two results of `run.py` side by side.

    python benchmarks/compare.py BEFORE.json AFTER.json [--variants NAME,...]

Each variant by its ratio to AUTOTUNE in its own run, which other work on the machine changes little; AUTOTUNE itself by its
rate. Each is the geometric mean over rounds, the change the ratio of the two, with a 95 % interval (Welch's, over the rounds of
each). A change whose interval leaves out 1 is marked.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import geometric_mean
from typing import Any, Final, NamedTuple

from intervals import Estimate
from rich import box
from rich.console import Console
from rich.table import Table
from suite.names import VARIANTS, known_names
from suite.ratios import change
from suite.table import estimate, ratios_of

Result = Mapping[str, Any]

TOLD: Final = ("cpu", "cores", "tensorflow")
"""What of the environment should be the same in both."""


class Change(NamedTuple):
    """A variant of a workload in one phase of its job, before and after."""

    workload: str
    variant: str
    phase: str
    before: float
    after: float
    change: Estimate

    @property
    def mark(self) -> str:
        """Whether it is better or worse, beyond the interval."""
        return "better" if self.change.low > 1 else "worse" if self.change.high < 1 else ""


def changes(before: Result, after: Result, variants: Sequence[str] = VARIANTS) -> Iterator[Change]:
    """Every variant that both have, in the order of the second."""
    earlier = {each["name"]: each for each in before["workloads"]}
    for each in after["workloads"]:
        other = earlier.get(each["name"])
        if other is not None:
            yield from _of_workload(other, each, variants)


def _of_workload(before: Mapping[str, Any], after: Mapping[str, Any], variants: Sequence[str]) -> Iterator[Change]:
    for name in variants:
        if name in before["variants"] and name in after["variants"]:
            phases = after["variants"][name]["examples_per_s"]
            for phase in (phase for phase in phases if phase in before["variants"][name]["examples_per_s"]):
                values = [_values(each, name, phase) for each in (before, after)]
                found = change(values[1], values[0])
                yield Change(after["name"], name, phase, *map(geometric_mean, values), found)


def _values(workload: Mapping[str, Any], name: str, phase: str) -> list[float]:
    if name == "autotune":
        return list(workload["variants"][name]["examples_per_s"][phase])
    return ratios_of(workload, name, "autotune", phase)


def gaps(before: Result, after: Result) -> Iterator[str]:
    """What only one of the two has, and how their machines and data differ."""
    for name in TOLD:
        values = [each["environment"][name] for each in (before, after)]
        if values[0] != values[1]:
            yield f"{name}: {values[0]} before, {values[1]} after"
    if before["arguments"]["quick"] != after["arguments"]["quick"]:
        yield "one of the two is a quick run: other data, other ratios"
    both = [
        {(each["name"], name) for each in result["workloads"] for name in each["variants"]}
        for result in (before, after)
    ]
    for when, only in (("before", both[0] - both[1]), ("after", both[1] - both[0])):
        if only:
            yield f"only {when}: {', '.join(' '.join(pair) for pair in sorted(only))}"


def table(found: Sequence[Change]) -> Table:
    """One line a change."""
    lines = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("workload", "variant", "phase"):
        lines.add_column(name, no_wrap=True)
    for name in ("before", "after", "change"):
        lines.add_column(name, justify="right", no_wrap=True)
    lines.add_column("")
    for each in found:
        unit = ",.0f" if each.variant == "autotune" else ".3f"
        cells = (f"{each.before:{unit}}", f"{each.after:{unit}}", estimate(each.change), each.mark)
        lines.add_row(each.workload, each.variant, each.phase, *cells)
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("--variants", type=known_names(VARIANTS), default=VARIANTS, metavar="NAME,...")
    given = parser.parse_args()
    before, after = (json.loads(path.read_text()) for path in (given.before, given.after))
    console = Console(width=None if sys.stdout.isatty() else 140)
    console.print(table(list(changes(before, after, given.variants))))
    for gap in gaps(before, after):
        console.print(f"- {gap}")


if __name__ == "__main__":
    main()
