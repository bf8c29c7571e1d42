"""How a storage is to behave when it is emulated: its latency, its rates, and what fails."""

from __future__ import annotations

import math
import random
import re
from dataclasses import dataclass
from typing import Final, Self

from pipeline_opt.errors import UsageError
from pipeline_opt.storage.measured import StorageProfile

FAULTS: Final = ("401", "403", "404", "408", "429", "500", "502", "503", "504", "reset", "truncate", "stall")
"""An answer with that status; a connection reset before or within the answer; an answer that ends early with a whole
header; an answer that never comes."""

_TIME: Final = re.compile(r"([0-9.]+)\s*(us|ms|s)?")
_SECONDS: Final = {"us": 1e-6, "ms": 1e-3, "s": 1.0}
_RATE: Final = re.compile(r"([0-9.]+)\s*(B|kB|KB|MB|GB)/s")
_BYTES: Final = {"B": 1.0, "kB": 1e3, "KB": 1e3, "MB": 1e6, "GB": 1e9}


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong with a share (0 to 1) of the requests."""

    kind: str
    share: float


@dataclass(frozen=True)
class Shape:
    """What a client of the emulated storage meets.

    Attributes:
        ttfb_s: Seconds from a request, or from the connection that is made for it, to the first byte of the answer, as the
            client sees it.
        spread_s: Times are drawn evenly from `ttfb_s - spread_s` to `ttfb_s + spread_s`.
        samples: Measured times to draw from instead, where they are known.
        stream_bytes_per_s: What one answer moves; None: as fast as it goes.
        total_bytes_per_s: What all answers together move.
        faults: What fails; shares add up to 1 at the most.
    """

    ttfb_s: float = 0.0
    spread_s: float = 0.0
    samples: tuple[float, ...] = ()
    stream_bytes_per_s: float | None = None
    total_bytes_per_s: float | None = None
    faults: tuple[Fault, ...] = ()

    def __post_init__(self) -> None:
        if not (0 <= self.spread_s <= self.ttfb_s or self.spread_s == 0) or not 0 <= self.ttfb_s <= 3600:
            raise UsageError(
                f"ttfb={self.ttfb_s!r} with a spread of {self.spread_s!r}: valid: 0 <= spread <= ttfb <= 3600"
            )
        for name in ("stream_bytes_per_s", "total_bytes_per_s"):
            rate = getattr(self, name)
            if rate is not None and not (math.isfinite(rate) and rate >= 1):
                raise UsageError(f"{name}={rate!r} is out of range; valid: from 1 on, or None")
        for fault in self.faults:
            if fault.kind not in FAULTS or not 0 <= fault.share <= 1:
                raise UsageError(
                    f"errors: {fault.kind}:{fault.share:g} is not valid; valid: {', '.join(FAULTS)}, 0 to 1"
                )
        if sum(fault.share for fault in self.faults) > 1:
            raise UsageError("errors: the shares add up to more than 100 %")

    @classmethod
    def parse(
        cls,
        ttfb: str | None = None,
        stream_rate: str | None = None,
        total_rate: str | None = None,
        errors: str | None = None,
    ) -> Self:
        """A shape from its text forms: `60ms±20` (or `60ms+-20ms`), `25MB/s`, `400MB/s`, `503:1%,reset:0.5%`.

        Raises:
            UsageError: A text is not valid; says what would be.
        """
        first, spread = (0.0, 0.0) if ttfb is None else _time_of(ttfb)
        return cls(
            ttfb_s=first,
            spread_s=spread,
            stream_bytes_per_s=None if stream_rate is None else _rate_of("stream rate", stream_rate),
            total_bytes_per_s=None if total_rate is None else _rate_of("total rate", total_rate),
            faults=() if errors is None else tuple(_fault_of(part) for part in errors.split(",") if part.strip()),
        )

    @classmethod
    def of(cls, profile: StorageProfile) -> Self:
        """The shape of a storage that was probed: its times to first byte as they were drawn, its rates."""
        return cls(
            samples=profile.ttfb.samples,
            stream_bytes_per_s=profile.stream_bytes_per_s,
            total_bytes_per_s=profile.total_bytes_per_s if profile.knee is not None else None,
        )

    def draw_ttfb_s(self, source: random.Random) -> float:
        """One time to first byte."""
        if self.samples:
            return source.choice(self.samples)
        return self.ttfb_s + source.uniform(-self.spread_s, self.spread_s) if self.spread_s else self.ttfb_s

    def draw_fault(self, source: random.Random) -> str | None:
        """What fails with one request; None, mostly."""
        drawn = source.random() if self.faults else 1.0
        for fault in self.faults:
            if drawn < fault.share:
                return fault.kind
            drawn -= fault.share
        return None


def _time_of(text: str) -> tuple[float, float]:
    first, _, spread = text.replace("+-", "±").replace("+/-", "±").partition("±")
    found, apart = _TIME.fullmatch(first.strip()), _TIME.fullmatch(spread.strip()) if spread else None
    if not found or not found[2] or (spread and not apart):
        raise UsageError(f"ttfb={text!r} is not valid; valid: 60ms, 60ms±20, 0.2s")
    unit = _SECONDS[found[2]]
    return _value(found[1], text) * unit, _value(apart[1], text) * (
        _SECONDS[apart[2]] if apart[2] else unit
    ) if apart else 0.0


def _rate_of(what: str, text: str) -> float:
    found = _RATE.fullmatch(text.strip())
    if not found:
        raise UsageError(f"{what}={text!r} is not valid; valid: a number with B/s, kB/s, MB/s or GB/s, such as 25MB/s")
    return _value(found[1], text) * _BYTES[found[2]]


def _fault_of(text: str) -> Fault:
    kind, colon, share = text.strip().partition(":")
    number = share.strip().removesuffix("%")
    if not colon or not number.strip():
        raise UsageError(f"errors={text!r} is not valid; valid: KIND:SHARE, such as 503:1%")
    value = _value(number, text)
    return Fault(kind.strip(), value / 100 if share.strip().endswith("%") else value)


def _value(text: str, whole: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise UsageError(f"{whole!r}: {text!r} is not a number") from None
