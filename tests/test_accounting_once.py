from __future__ import annotations

import gc
import weakref

from fakes import naive

from pipeline_opt.accounting.once import once
from pipeline_opt.record import Record


def test_a_record_is_computed_once_and_each_by_itself() -> None:
    seen: list[Record] = []
    count = once(lambda record: seen.append(record) or len(seen))  # type: ignore[func-returns-value]
    first, second = naive(), naive()
    assert [count(first), count(second), count(first), count(second)] == [1, 2, 1, 2]


def test_results_go_with_their_record() -> None:
    steps = once(lambda record: record.steps.wait_end + 1)
    record = naive()
    result = weakref.ref(steps(record))
    assert result() is not None
    del record
    gc.collect()
    assert result() is None
