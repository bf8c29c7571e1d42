"""The numbers of a run as a dictionary: what `--json` writes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from pipeline_opt.accounting import Account, account
from pipeline_opt.record import PHASES, Record, StageRecord

SCHEMA: Final = 1
"""Version of the form; keys may be added under one version, none is renamed or removed."""

BASELINE: Final = "naive"
"""The variant that speedups are relative to."""


def summary(record: Record) -> dict[str, Any]:
    """The numbers of one run, in plain values that JSON can hold; what could not be measured is None.

    Returns:
        `schema`: 1. `pipeline`: `text`, `fingerprint`. `source`: `uri`, `scheme`, `files`, `bytes`. `environment`:
        `tensorflow`, `python`, `cores`, `ram_bytes`. `partial`, `partial_reason`. `steps`, `elements`, `bytes`: totals.
        `wall_s`, `first_batch_s`, `teardown_s`: seconds. `throughput`: `elements_per_s`, `bytes_per_s`, in steady
        state. `phases`: for `extract`, `transform`, `load`, `train`: `work_s`, `busy_s`, `idle_s`; no work in load and
        train without a consumer. `accelerator`: `utilization_percent`, `idle_s`; None without a consumer. `overlap`:
        `sequential_s`, `pipelined_bound_s`, `efficiency`. `stalls`: seconds by cause. `stages`: a list of `name`,
        `kind`, `phase`, `elements`, `work_s`, `us_per_element`, `parallelism`, in the plan's order. `consumer`: `kind`,
        `label`, `in_flight`, `double_buffered`. `traced_share`: the share of the wall that trace windows cover.
        `created`, `version`: when, and with which pipeline_opt. `notes`: sentences. `storage`: what a probe measured of the
        storage that was read, as `pipeline-opt probe --save` writes it, and `advice`: what followed from it; None where it
        was not probed, or nothing was changed.
    """
    return {"schema": SCHEMA, **_facts(record)}


def benchmark_summary(variants: Mapping[str, Record]) -> dict[str, Any]:
    """The numbers of several runs of the same work, in the order given.

    Returns:
        `schema`: 1. `variants`: by name, what `summary` gives, without `schema`. `speedup`: by name, elements a second
        relative to those of the variant `naive`: in steady state, or over the whole of both runs where one is too
        short for that; None where there is no `naive` or a run without elements.
    """
    base = variants.get(BASELINE)
    return {
        "schema": SCHEMA,
        "variants": {name: _facts(record) for name, record in variants.items()},
        "speedup": {name: speedup(record, base) if base is not None else None for name, record in variants.items()},
    }


def speedup(record: Record, base: Record) -> float | None:
    """Elements a second relative to those of another run; None where one of them has none."""
    mine, other = account(record), account(base)
    if mine.elements_per_s is None or other.elements_per_s is None:
        rates = [a.elements / a.wall_s if a.wall_s > 0 else 0.0 for a in (mine, other)]
    else:
        rates = [mine.elements_per_s, other.elements_per_s]
    return rates[0] / rates[1] if min(rates) > 0 else None


def _facts(record: Record) -> dict[str, Any]:
    it = account(record)
    source, environment, consumer = record.source, record.environment, record.consumer
    facts = {
        "pipeline": {"text": record.pipeline_text, "fingerprint": record.fingerprint},
        "source": {"uri": source.uri, "scheme": source.scheme, "files": source.files, "bytes": source.bytes},
        "environment": {
            "tensorflow": environment.tensorflow,
            "python": environment.python,
            "cores": environment.cores,
            "ram_bytes": environment.ram_bytes,
        },
        "partial": record.partial,
        "partial_reason": record.partial_reason,
        "steps": it.steps,
        "elements": it.elements,
        "bytes": it.bytes,
        "wall_s": it.wall_s,
        "first_batch_s": it.first_batch_s,
        "teardown_s": record.teardown_s,
        **_shares(it, consumed=record.has_consumer),
        "stages": [_stage(stage) for stage in record.stages],
        "consumer": {
            "kind": consumer.kind,
            "label": consumer.label,
            "in_flight": consumer.in_flight,
            "double_buffered": consumer.double_buffered,
        },
        "traced_share": it.traced_share,
        "created": record.created,
        "version": record.version,
        "notes": [*record.notes, *it.notes],
        "storage": record.extra.get("storage"),
        "advice": record.extra.get("advice"),
    }
    return {key: _plain(value) for key, value in facts.items()}


def _shares(it: Account, *, consumed: bool) -> dict[str, Any]:
    accelerator = {"utilization_percent": it.utilization_percent, "idle_s": it.accelerator_idle_s}
    return {
        "throughput": {"elements_per_s": it.elements_per_s, "bytes_per_s": it.bytes_per_s},
        "phases": {
            phase: {"work_s": found.work_s, "busy_s": found.busy_s, "idle_s": found.idle_s}
            for phase, found in ((phase, it.phases[phase]) for phase in PHASES)
        },
        "accelerator": accelerator if consumed else None,
        "overlap": {
            "sequential_s": it.sequential_s,
            "pipelined_bound_s": it.pipelined_bound_s,
            "efficiency": it.overlap_efficiency,
        },
        "stalls": dict(it.stalls),
    }


def _stage(stage: StageRecord) -> dict[str, Any]:
    return {
        "name": stage.name,
        "kind": stage.kind,
        "phase": stage.phase,
        "elements": stage.elements,
        "work_s": stage.work_s,
        "us_per_element": stage.us_per_element,
        "parallelism": stage.parallelism_chosen if stage.parallelism_chosen is not None else stage.parallelism,
    }


def _plain(value: Any) -> Any:
    """The same in plain values; a number that JSON cannot hold becomes None."""
    if isinstance(value, dict):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return value
