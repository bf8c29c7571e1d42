"""Hand-made records: a small simulation of a pipeline on a clock of its own, so that every number can be known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any

import numpy as np

from pipeline_opt.record import (
    ConsumerInfo,
    Environment,
    Intervals,
    KnobSeries,
    OpCost,
    Record,
    SourceInfo,
    StageRecord,
    Steps,
    Window,
)

BYTES_PER_ELEMENT = 150_528
ENVIRONMENT = Environment("2.21.0", "3.11.9", 4.0, 16 << 30, {"cpu": "8 x fake"})
PLAN_TEXT = """\
tfrecords  data/train-*.tfrecord
interleave  cycle_length=AUTO, num_parallel_calls=AUTO
decode  map, function=decode, num_parallel_calls=AUTO, pure
batch  batch_size={batch}
prefetch  buffer_size=AUTO"""


@dataclass
class _Work:
    """Intervals as they are made: rows of start, end, phase, stage, thread."""

    rows: list[tuple[float, float, int, int, int]] = field(default_factory=list)

    def add(self, start: float, seconds: float, phase: int, stage: int, thread: int) -> float:
        if seconds > 0:
            self.rows.append((start, start + seconds, phase, stage, thread))
        return start + seconds

    def intervals(self, windows: Sequence[Window]) -> Intervals:
        if not self.rows:
            return Intervals.empty()
        cut = [
            (max(s, w.start_s), min(e, w.end_s), p, stage, thread)
            for w in windows
            for s, e, p, stage, thread in self.rows
            if s < w.end_s and e > w.start_s
        ]
        return intervals(cut)


def intervals(rows: Sequence[tuple[float, float, int, int, int]]) -> Intervals:
    """Intervals from rows of start, end, phase, stage, thread."""
    if not rows:
        return Intervals.empty()
    start, end, phase, stage, thread = zip(*sorted(rows), strict=True)
    return Intervals(
        np.array(start, np.float64),
        np.array(end, np.float64),
        np.array(phase, np.int64),
        np.array(stage, np.int64),
        np.array(thread, np.int64),
    )


def steps_of(rows: Sequence[tuple[float, float, float, float]], batch: int = 4) -> Steps:
    """Steps from rows of wait start, wait end, load end, train end; load and train follow at once."""
    a, b, c, d = (np.array(column, np.float64) for column in zip(*rows, strict=True))
    count = np.full(len(rows), batch, np.int64)
    return Steps(a, b, b, c, c, d, count, count * BYTES_PER_ELEMENT)


def record(**changes: Any) -> Record:
    """The least record there can be, with `changes`."""
    least: dict[str, Any] = {
        "created": "2025-01-01T00:00:00Z",
        "version": "0.1.0",
        "pipeline_text": PLAN_TEXT.format(batch=4),
        "fingerprint": "0123456789abcdef",
        "source": SourceInfo("data/train-*.tfrecord", "file", 16, 200_000_000),
        "environment": ENVIRONMENT,
    }
    return Record(**{**least, **changes})


def simulate(
    *,
    steps: int = 8,
    batch: int = 4,
    extract_s: float = 0.003,
    transform_s: float = 0.009,
    load_s: float = 0.008,
    train_s: float = 0.030,
    overlap: bool = False,
    threads: int = 1,
    depth: int = 2,
    consumer: bool = True,
    jitter: float = 0.0,
    windows: Sequence[tuple[float, float]] | None = None,
    seed: int = 0,
) -> Record:
    """Run a pipeline of read, decode, batch: element costs in seconds, `load_s` and `train_s` for a batch.

    Without `overlap` every step waits for the one before it. With it, one thread reads, `threads` decode, and up to
    `depth` finished batches wait for the consumer.
    """
    rng = np.random.default_rng(seed)
    work = _Work()
    reader_free = 0.0
    decoder_free = [0.0] * threads
    now = 0.0
    taken: list[float] = []
    rows: list[tuple[float, float, float, float]] = []
    fill: list[tuple[float, float]] = []
    ready: list[float] = []

    def cost(mean: float) -> float:
        return mean * float(rng.uniform(1 - jitter, 1 + jitter)) if jitter else mean

    def make(at: float) -> float:
        """Read and decode one batch that may begin at `at`; when it is ready."""
        nonlocal reader_free
        done = at
        for _ in range(batch):
            start = max(at, reader_free) if overlap else done
            reader_free = work.add(start, cost(extract_s), 0, 0, 0)
            thread = int(np.argmin(decoder_free)) if overlap else 0
            begin = max(reader_free, decoder_free[thread]) if overlap else reader_free
            decoder_free[thread] = work.add(begin, cost(transform_s), 1, 1, 1 + thread if overlap else 0)
            done = max(done, decoder_free[thread])
        return done

    for k in range(steps):
        if not overlap:
            ready.append(make(now))
        else:
            while len(ready) < min(steps + depth, k + 1 + depth):
                ahead = len(ready) - depth - 1
                ready.append(make(taken[ahead] if ahead >= 0 else 0.0))
        wait_end = max(now, ready[k])
        taken.append(wait_end)
        fill.append((wait_end, float(sum(r <= wait_end for r in ready[k + 1 :]))))
        load_end = wait_end + (load_s if consumer else 0.0)
        train_end = load_end + (cost(train_s) if consumer else 0.0)
        rows.append((now, wait_end, load_end, train_end))
        now = train_end
    work.rows = [row for row in work.rows if row[0] < now]
    spans = windows if windows is not None else [(0.0, now)]
    opened = tuple(Window(a, min(b, now)) for a, b in spans)
    return record(
        pipeline_text=PLAN_TEXT.format(batch=batch),
        consumer=_consumer(train_s) if consumer else ConsumerInfo(),
        steps=steps_of(rows, batch),
        epoch_starts=(0,),
        wall_s=now,
        first_batch_s=rows[0][1] + 0.002,
        teardown_s=0.001,
        warmup=1,
        windows=opened,
        intervals=work.intervals(opened),
        stages=_stages(work.rows, batch, steps, overlap, threads),
        knobs=_knobs(rows, fill, overlap, threads),
        trace_mode="full" if windows is None else "auto",
        notes=() if windows is None else ("Work outside the trace windows is scaled from what was seen inside.",),
    )


def _consumer(train_s: float) -> ConsumerInfo:
    return ConsumerInfo("accelerator", f"{train_s * 1e3:g} ms a step", train_s, 25e9)


def _stages(
    rows: Sequence[tuple[float, float, int, int, int]], batch: int, steps: int, overlap: bool, threads: int
) -> tuple[StageRecord, ...]:
    made = [sum(1 for row in rows if row[3] == stage) for stage in (0, 1)]
    work = [sum(end - start for start, end, _, s, _ in rows if s == stage) for stage in (0, 1)]
    ops = tuple(
        OpCost(op, work[1] * share, made[1])
        for op, share in (("DecodeJpeg", 0.71), ("ResizeBilinear", 0.18), ("Mul", 0.04))
    )
    auto = "auto" if overlap else None
    read = StageRecord(
        name="interleave",
        kind="interleave",
        phase="extract",
        elements=made[0],
        bytes_out=made[0] * 95_000,
        work_s=work[0],
        cpu_s=work[0] * 0.2,
        us_per_element=_each(work[0], made[0]),
        parallelism=auto,
        parallelism_chosen=1 if overlap else None,
        phase_work_s={"extract": work[0]},
        absent={"bytes_in": "the reader does not tell"},
    )
    decode = StageRecord(
        name="decode",
        kind="map",
        phase="transform",
        elements=made[1],
        bytes_in=made[0] * 95_000,
        bytes_out=made[1] * BYTES_PER_ELEMENT,
        work_s=work[1],
        cpu_s=work[1] * 0.97,
        us_per_element=_each(work[1], made[1]),
        parallelism=auto,
        parallelism_chosen=threads if overlap else None,
        phase_work_s={"transform": work[1]},
        ops=ops,
    )
    stack = StageRecord(
        name="batch",
        kind="batch",
        phase="transform",
        elements=steps,
        bytes_out=steps * batch * BYTES_PER_ELEMENT,
        work_s=1e-4 * steps,
        cpu_s=1e-4 * steps,
        us_per_element=100.0,
    )
    stages: tuple[StageRecord, ...] = (read, decode, stack)
    if overlap:
        last = StageRecord(
            name="prefetch",
            kind="prefetch",
            phase="transform",
            elements=steps,
            work_s=0.0,
            cpu_s=0.0,
            us_per_element=0.0,
            buffer_fill=1.4,
        )
        stages += (last,)
    return stages


def _each(work_s: float, elements: int) -> float | None:
    return work_s / elements * 1e6 if elements else None


def _knobs(
    rows: Sequence[tuple[float, float, float, float]], fill: Sequence[tuple[float, float]], overlap: bool, threads: int
) -> tuple[KnobSeries, ...]:
    if not overlap:
        return ()
    end = rows[-1][3]
    times = np.linspace(0, end, 9)
    rising = np.minimum(np.arange(1, 10), threads).astype(np.float64)
    at, filled = (np.array(column, np.float64) for column in zip(*fill, strict=True))
    return (
        KnobSeries("decode", "parallelism", times, rising, True),
        KnobSeries("interleave", "parallelism", times, np.ones(9), True),
        KnobSeries("prefetch", "buffer_size", times, np.minimum(rising, 2.0), True),
        KnobSeries("prefetch", "buffered_elements", at, filled),
    )


def naive(**changes: Any) -> Record:
    """Everything one after another: a step is 4 x (3 + 9) + 8 + 30 = 86 ms, of which the accelerator computes 30."""
    return simulate(**changes)


def pipelined(**changes: Any) -> Record:
    """The same work, two decoding threads and a prefetch of two batches."""
    return simulate(**{"overlap": True, "threads": 2, **changes})


def partial() -> Record:
    """Interrupted after five steps."""
    return replace(naive(steps=5), partial=True, partial_reason="interrupted by the user")


def one_step() -> Record:
    """A single step."""
    return naive(steps=1)


def no_steps() -> Record:
    """Cut short before the first batch came."""
    return record(partial=True, partial_reason="the pipeline raised before its first batch", wall_s=0.2)


def long_run(**changes: Any) -> Record:
    """1000 steps, traced whole."""
    return pipelined(**{"steps": 1000, "jitter": 0.3, **changes})


def windowed(**changes: Any) -> Record:
    """1000 steps of which four trace windows cover a tenth."""
    wall = long_run(**changes).wall_s
    spans = [(wall * share, wall * (share + 0.025)) for share in (0.02, 0.3, 0.6, 0.9)]
    return long_run(**{"windows": spans, **changes})


def without_consumer(**changes: Any) -> Record:
    """Drained as fast as it can, by nobody in particular."""
    return pipelined(**{"consumer": False, **changes})


def untraced(**changes: Any) -> Record:
    """No trace window at all."""
    return replace(naive(windows=(), **changes), trace_mode="off")


def same(a: Any, b: Any) -> bool:
    """Equality that looks into arrays and keeps types."""
    if isinstance(a, np.ndarray):
        return isinstance(b, np.ndarray) and a.dtype == b.dtype and a.tobytes() == b.tobytes()
    if is_dataclass(a):
        return type(a) is type(b) and all(same(getattr(a, f.name), getattr(b, f.name)) for f in fields(a))
    if isinstance(a, tuple):
        return isinstance(b, tuple) and len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return isinstance(b, dict) and list(a) == list(b) and all(map(same, a.values(), b.values()))
    return type(a) is type(b) and (a == b or a != a)
