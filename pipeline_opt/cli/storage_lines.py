"""What `doctor` says of storage: schemes, what they need here, and URIs one by one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from pipeline_opt.cli.console import Output
from pipeline_opt.storage import SchemeStatus
from pipeline_opt.storage.checkup import Checked
from pipeline_opt.storage.preflight import Finding

WORDS: Final = {True: "yes", False: "NO", None: "-"}
"""How a finding shows: what is not needed, or cannot be known, is neither."""


WIDTH: Final = 18
"""Of the column of names, at the least."""


def show_schemes(output: Output, opened: Iterable[SchemeStatus]) -> None:
    """A line for each scheme: whether it opens, and by which client or why not."""
    for status in opened:
        name, verdict = f"{status.scheme}://", "opens" if status.opens else "no"
        output.line(f"{name:<{WIDTH}}{verdict:<7}{status.reason}")


def show_findings(output: Output, findings: Iterable[Finding]) -> None:
    """A line for each thing that is there or not, with the remedy below it."""
    shown = tuple(findings)
    width = max((WIDTH, *(len(finding.step) + 2 for finding in shown)))
    for finding in shown:
        output.line(f"{finding.step:<{width}}{WORDS[finding.works]:<7}{finding.detail}")
        if finding.remedy and finding.works is not True:
            output.line(f"{'':<{width + 7}}-> {finding.remedy}")


def show_checked(output: Output, checked: Checked) -> None:
    """A URI with its steps and the verdict."""
    verdict = "opens" if checked.opens else "DOES NOT OPEN"
    output.line(f"{checked.uri}: {verdict} ({checked.seconds:.1f} s)")
    show_findings(output, checked.findings)
    output.line()
