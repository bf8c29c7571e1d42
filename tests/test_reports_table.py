from __future__ import annotations

import pytest
from fakes import no_steps, pipelined, record

from pipeline_opt.errors import UsageError
from pipeline_opt.record import StageRecord
from pipeline_opt.reports.info_table import absences, parallelism_text, stage_rows
from pipeline_opt.reports.info_variants import variant_rows
from pipeline_opt.reports.stage_costs import batch_wise, threads_of, work_in
from pipeline_opt.reports.table import stage_table

STAGE_COLUMNS = [
    "stage", "kind", "phase", "per", "elements", "us_per_element", "work_s", "cpu_s", "overhead_s", "ahead_s",
    "work_percent", "parallelism", "chosen", "buffer_fill", "bytes_in", "bytes_out",
]  # fmt: skip


def test_stage_table_has_its_columns_in_order_and_one_row_a_stage() -> None:
    table = stage_table(pipelined())

    assert list(table.columns) == STAGE_COLUMNS
    assert list(table["stage"]) == ["interleave", "decode", "batch", "prefetch"]
    assert list(table["per"]) == ["element", "element", "batch", "batch"]
    assert list(table["parallelism"][:2]) == ["auto", "auto"]
    assert table["work_percent"].sum() == pytest.approx(100)


def test_what_is_not_known_is_missing_and_not_zero() -> None:
    table = stage_table(record(stages=(StageRecord("read", "interleave", "extract"),)))
    assert table.loc[0, "stage":"phase"].tolist() == ["read", "interleave", "extract"]  # type: ignore[misc]
    assert table.loc[0, ["elements", "work_s", "chosen", "work_percent", "parallelism"]].isna().all()
    assert str(table["elements"].dtype) == "Int64"


def test_a_record_without_stages_gives_an_empty_table_with_columns() -> None:
    table = stage_table(no_steps())
    assert (len(table), list(table.columns)) == (0, STAGE_COLUMNS)


def test_comparing_nothing_is_refused() -> None:
    with pytest.raises(UsageError, match="no runs given"):
        variant_rows({})


def test_stages_after_a_batch_count_batches_until_they_are_taken_apart() -> None:
    kinds = ("map", "batch", "map", "unbatch", "shuffle", "padded_batch", "prefetch")
    run = record(stages=tuple(StageRecord(f"{kind}{i}", kind, "transform") for i, kind in enumerate(kinds)))
    assert batch_wise(run) == {"batch1", "map2", "padded_batch5", "prefetch6"}
    assert [row.per for row in stage_rows(run)].count("batch") == 4


def test_work_and_threads_of_a_stage() -> None:
    both = StageRecord("m", "map", "transform", work_s=3.0, phase_work_s={"extract": 1.0, "transform": 2.0})
    assert (work_in(both, "extract"), work_in(both, "load")) == (1.0, 0.0)
    assert work_in(StageRecord("m", "map", "transform", work_s=3.0), "transform") == 3.0
    assert work_in(StageRecord("m", "map", "transform"), "transform") == 0.0
    threads = [
        threads_of(StageRecord("m", "map", "transform", parallelism=given, parallelism_chosen=chosen), 4.0)
        for given, chosen in ((None, None), (3, None), ("auto", None), ("auto", 2))
    ]
    assert threads == [1.0, 3.0, 4.0, 2.0]


def test_parallelism_is_what_the_plan_says_and_what_ran() -> None:
    told = [
        parallelism_text(stage_rows(record(stages=(stage,)))[0])
        for given, chosen in ((None, None), (None, 1), (None, 2), (3, None), (3, 3), ("auto", 2))
        for stage in [StageRecord("m", "map", "transform", parallelism=given, parallelism_chosen=chosen)]
    ]
    assert told == ["–", "–", "2", "3", "3", "auto: 2"]  # noqa: RUF001


def test_stages_that_lack_the_same_for_the_same_reason_share_a_sentence() -> None:
    lacks = {
        "read": {"cpu_s": "it waits", "bytes_in": "it forgets", "elements": "it forgets"},
        "map": {"cpu_s": "no counters"},
        "batch": {"cpu_s": "no counters"},
    }
    run = record(stages=tuple(StageRecord(name, "map", "transform", absent=absent) for name, absent in lacks.items()))
    assert absences(run) == (
        "read: cpu_s is not known, it waits",
        "read: bytes_in, elements are not known, it forgets",
        "map, batch: cpu_s is not known, no counters",
    )
    assert absences(run, ("elements",)) == ("read: elements is not known, it forgets",)
