"""Numbers as people read them: three digits that count, and the unit that suits them."""

from __future__ import annotations

import math

ABSENT = "–"  # noqa: RUF001 - an en dash, as tables print for "no value"
_PREFIXES = ("", "k", "M", "G", "T", "P")


def number(value: float | None) -> str:
    """Three significant digits, whole numbers from 100 on in full with thousands commas: `1,240`, `12.4`, `0.012`."""
    if value is None or not math.isfinite(value):
        return ABSENT
    return f"{value:,.0f}" if abs(value) >= 99.95 else f"{value:.3g}"


def seconds(value: float | None) -> str:
    """A duration in the unit that suits it: `830 µs`, `12.4 ms`, `1.24 s`, `2 min 05 s`."""
    if value is None or not math.isfinite(value):
        return ABSENT
    size = abs(value)
    if size >= 119.5:
        minutes, rest = divmod(round(value), 60)
        return f"{minutes:,} min {rest:02d} s"
    for unit, scale in (("s", 1.0), ("ms", 1e3), ("µs", 1e6)):
        if size * scale >= 0.9995:
            return f"{number(value * scale)} {unit}"
    return f"{number(value * 1e9)} ns" if value else "0 s"


def percent(value: float | None) -> str:
    """A share that is given in percent: `62 %`, `6.2 %`, `< 0.1 %`."""
    if value is None or not math.isfinite(value):
        return ABSENT
    if 0 < value < 0.05:
        return "< 0.1 %"
    return f"{value:.0f} %" if value >= 9.95 or round(value, 1) == round(value) else f"{value:.1f} %"


def size(value: float | None) -> str:
    """Bytes with a decimal prefix: `150 kB`, `1.2 GB`."""
    if value is None or not math.isfinite(value):
        return ABSENT
    step = 0
    while abs(value) >= 999.5 and step < len(_PREFIXES) - 1:
        value, step = value / 1000, step + 1
    return f"{number(value)} {_PREFIXES[step]}B"


def speed(value: float | None) -> str:
    """Bytes a second: `1.2 GB/s`."""
    return ABSENT if value is None or not math.isfinite(value) else f"{size(value)}/s"


def rate(value: float | None, what: str = "elements") -> str:
    """A rate: `1,240 elements/s`."""
    return ABSENT if value is None or not math.isfinite(value) else f"{number(value)} {what}/s"


def ratio(value: float | None) -> str:
    """How many times as much: `1.42x`."""
    if value is None or not math.isfinite(value):
        return ABSENT
    return f"{value:.2f}x" if value < 9.995 else f"{value:.1f}x"


def axis_unit(longest_s: float) -> tuple[float, str]:
    """What to multiply seconds by on an axis that reaches so far, and the unit that they are then in."""
    if longest_s >= 2:
        return 1.0, "seconds"
    return (1e3, "milliseconds") if longest_s >= 2e-3 else (1e6, "microseconds")


def plural(count: int, noun: str) -> str:
    """A count and its noun: `1 step`, `1,000 steps`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
