"""Advice in words: what each knob is for, with the figures that it follows from."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, NamedTuple

from pipeline_opt.storage.measured import StorageProfile
from pipeline_opt.storage.probe.model import Reading

if TYPE_CHECKING:
    from pipeline_opt.storage.probe.advice import Advice

ON_DISK: Final = 0.002
"""A time to first byte below that is no round trip to another machine."""


class Case(NamedTuple):
    """What advice is about: figures of the storage, of the files, and what was decided."""

    profile: StorageProfile
    reading: Reading
    files: int
    cores: float
    goal: float | None
    demand: float | None
    needed: float
    streams: int
    cycle: int
    in_order: int
    limit: str
    slower: int | None
    shard: int | None


def of_streams(case: Case) -> str:
    """Why so many files are read at a time."""
    reading = case.reading
    each = (
        f"a file of {size(reading.file_bytes)} takes {seconds(reading.file_s)} ({size(reading.one_stream)}/s a stream)"
    )
    if case.goal is None:
        return f"{each}; the storage's limit was not reached with {case.needed:.0f} streams, and no demand is given"
    law = f"{each}, so {size(case.goal)}/s need {_three(case.needed)} requests under way (Little's law)"
    ends = {
        "files": f"; there are {case.files:,} files",
        "streams": f"; more than {case.streams} were slower when probed" if case.slower else "",
    }
    if case.streams == 1:
        return law
    law += ends.get(case.limit, f"; {case.streams} with some to spare, as not all are at work at every moment")
    if case.cycle == case.streams:
        return law
    return f"{law}; tf.data opens files ahead, so that {case.cycle} in the cycle have that many under way"


def of_order(case: Case) -> str:
    """Why records may come as they are ready, and what it takes where they may not."""
    return (
        "for a plan that shuffles without a seed; one whose order is to stay the same waits for the slowest of its files, and "
        f"needs cycle_length={case.in_order}"
    )


def of_calls(case: Case) -> str:
    """Why every place of the cycle has a thread."""
    beyond = f", so that more of them than {case.cores:g} cores do no harm" if case.cycle > case.cores else ""
    return (
        f"one for each place of the cycle: they wait for the storage{beyond}; AUTOTUNE begins with few and adds slowly"
    )


def of_block_length(case: Case) -> str:
    """Why records are taken one from each file in turn."""
    return "mixes most; the records of an open file are in memory already, so that longer blocks save nothing here"


def of_prefetch(profile: StorageProfile, batch_bytes: float | None) -> str:
    """Why so many batches are kept."""
    slowest = profile.ttfb.p99_s
    if batch_bytes is None or slowest is None:
        return "tf.data chooses: the bytes of a batch are not known"
    return f"batches for {seconds(slowest)}: one request in a hundred takes that long to its first byte"


def of_block_bytes(case: Case) -> str:
    """Why one request asks for so much."""
    reading = case.reading
    if reading.requests == 1:
        return "a whole file in one request, and no more: the client sets a block aside for every open file"
    return (
        f"{reading.requests} requests a file: the wait is {percent(reading.waiting_share)} of a file's time, and a block is "
        f"kept for each of {case.streams} open files"
    )


def of_read_ahead(case: Case) -> str:
    """Why the bridge fetches blocks before they are asked for, or not."""
    if case.reading.requests == 1:
        return "a file is one request"
    return "the next block of a file comes while this one is read (the bridge only)"


def of_buffer_size() -> str:
    """Why the reader's buffer is as large as a request should be."""
    return "of the source: TensorFlow's client makes a request for every buffer, of 256 KiB unless told"


def prediction(advice: Advice) -> str:
    """What is to be expected, labelled as that."""
    if advice.predicted_bytes_per_s <= advice.now_bytes_per_s:
        return (
            f"{advice.uri}: predicted {size(advice.predicted_bytes_per_s)}/s, which one file after another gives as well "
            f"({size(advice.now_bytes_per_s)}/s)."
        )
    times = advice.predicted_bytes_per_s / advice.now_bytes_per_s
    ends = {
        "demand": "which is what the consumer takes",
        "storage": "which is the most that the storage gives",
        "files": "and there are no more files to read at a time",
        "streams": "by as many streams as were tried"
        if advice.goal_bytes_per_s is None
        else "and more streams are slower",
    }[advice.limit]
    return (
        f"{advice.uri}: predicted {size(advice.predicted_bytes_per_s)}/s with {plural(advice.streams, 'stream')}, "
        f"{_three(times)} times one file after another ({size(advice.now_bytes_per_s)}/s), {ends}."
    )


def warnings_of(case: Case) -> tuple[str, ...]:
    """What a pipeline's settings cannot mend, or what makes it worse."""
    found = []
    reading = case.reading
    if case.shard is not None:
        found.append(
            f"{case.files:,} files of {size(reading.file_bytes)}: {percent(reading.waiting_share)} of the time of each is "
            f"time to first byte; shards of {size(case.shard)} or more would spend a tenth of it so, and need "
            f"{plural(max(1, math.ceil(_streams_with(case, case.shard))), 'stream')} in place of {math.ceil(case.needed)}."
        )
    total = reading.total_bytes_per_s
    if case.demand is not None and total is not None and case.demand > total:
        found.append(
            f"The consumer takes {size(case.demand)}/s and the storage gives {size(total)}/s at the most: no setting "
            "mends that. Cache the data nearby, store less of it, or read from more buckets or nodes."
        )
    reached = reading.rate_of(case.streams)
    if case.limit == "files" and case.goal is not None and reached < 0.95 * case.goal:
        found.append(
            f"{plural(case.files, 'file')} at a time give {size(reached)}/s of {size(case.goal)}/s: split the data into "
            f"{max(case.files + 1, round(case.needed + 0.5))} shards or more."
        )
    if case.slower is not None:
        found.append(
            f"More streams make it slower: with {case.slower} or more the storage gave clearly less than with fewer."
        )
    return tuple(found)


def _streams_with(case: Case, file_bytes: float) -> float:
    """Streams for the same goal with files of another size."""
    goal = case.goal if case.goal is not None else case.reading.rate_of(case.streams)
    return case.reading.with_files(file_bytes).streams_for(goal)


def size(value: float) -> str:
    """Bytes with a decimal prefix, two or three digits."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if value >= 0.9995 * scale:
            return f"{_three(value / scale)} {unit}"
    return f"{value:.0f} B"


def seconds(value: float) -> str:
    """A time in the unit that suits it."""
    for unit, scale in (("s", 1.0), ("ms", 1e3)):
        if value * scale >= 0.9995:
            return f"{_three(value * scale)} {unit}"
    return f"{_three(value * 1e6)} us"


def percent(share: float) -> str:
    """A share (0 to 1) in percent."""
    return f"{100 * share:.0f} %"


def plural(count: int, noun: str) -> str:
    """A count with its noun."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _three(value: float) -> str:
    return f"{value:,.0f}" if value >= 99.95 else f"{value:.3g}"
