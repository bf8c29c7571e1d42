"""What runs tell of the storages that they read, in tables and on the page."""

from __future__ import annotations

from dataclasses import replace

from fakes import naive, pipelined

from pipeline_opt.record import Record
from pipeline_opt.reports.info_storage import ADVICE, STORAGE, followed, profiles_of
from pipeline_opt.reports.page import page
from pipeline_opt.storage.measured import Latency, StorageProfile, StreamRate

FAR = StorageProfile(
    uri="gs://bucket/<data>",
    route="tf",
    client="TensorFlow",
    created="2026-01-01T00:00:00+00:00",
    cold=Latency((0.05, 0.06, 0.2)),
    warm=Latency((), "a connection a request"),
    files=64,
    bytes=64_000_000,
    stream_bytes_per_s=1e7,
    streams=(StreamRate(1, 5e6, 1.0, 5_000_000), StreamRate(2, 1e7, 1.0, 10_000_000)),
    total_bytes_per_s=1e7,
)


def beside(record: Record, **extra: object) -> Record:
    return replace(record, extra=extra)


def test_a_storage_is_told_once_however_many_runs_read_it() -> None:
    runs = {
        "gs-pipelined": beside(naive(), storage=FAR.to_json()),
        "gs-advised": beside(pipelined(), storage=FAR.to_json()),
    }
    assert profiles_of(runs) == {FAR.uri: FAR}


def test_runs_without_a_profile_or_with_a_damaged_one_are_shown_without() -> None:
    runs = {"a": naive(), "b": beside(naive(), **{STORAGE: {"kind": "?"}})}
    assert profiles_of(runs) == {}
    assert followed(runs) == ()
    assert 'id="storage"' not in page(runs)


def test_the_page_has_storages_and_the_advice_escaped() -> None:
    advised = beside(pipelined(), **{STORAGE: FAR.to_json(), ADVICE: ["cycle_length=16: why < not"]})
    text = page({"file": naive(), "gs-advised": advised})
    assert "gs://bucket/&lt;data&gt;" in text
    assert "What gs-advised follows" in text
    assert "cycle_length=16: why &lt; not" in text
    assert "60 ms" in text
    assert "10 MB/s" in text
