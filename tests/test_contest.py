"""What a benchmark runs on which storage: entries by store, plans by variant, runs in a process of their own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from command_line import Shell
from fakes import naive, record, simulate
from test_reports_storage import FAR

import pipeline_opt as po
from pipeline_opt import runfile
from pipeline_opt.access import DEFAULT
from pipeline_opt.cli import contest
from pipeline_opt.cli.apart import needs_process, run_apart
from pipeline_opt.cli.contest import Contest, Entry, entries, stored_bytes_per_s, with_beside
from pipeline_opt.cli.measuring import Measuring, accelerator_of
from pipeline_opt.cli.options import Trace
from pipeline_opt.profiler.loop import Limits
from pipeline_opt.reports.info_storage import profiles_of
from pipeline_opt.storage import gcs


@pytest.mark.parametrize(
    ("targets", "variants", "expected"),
    [
        ((), None, {"": ((), ("naive", "autotune", "pipelined"))}),
        (("a", "file:///b"), None, {"": (("a", "file:///b"), ("naive", "autotune", "pipelined"))}),
        (("gs://b/x", "gs://b/y"), None, {"": (("gs://b/x", "gs://b/y"), contest.VARIANTS)}),
        (("gs://b",), "pipelined", {"": (("gs://b",), ("pipelined",))}),
        (
            ("gs://b", "data"),
            None,
            {"gs": (("gs://b",), ("pipelined", "advised")), "file": (("data",), ("pipelined",))},
        ),
        (
            ("data", "hdfs://n"),
            "advised,naive",
            {"file": (("data",), ("naive", "advised")), "hdfs": (("hdfs://n",), ("naive", "advised"))},
        ),
        (("gs://a", "gs://b"), "naive", {"gs-a": (("gs://a",), ("naive",)), "gs-b": (("gs://b",), ("naive",))}),
    ],
)
def test_targets_are_grouped_by_store(targets: Any, variants: str | None, expected: dict[str, Any]) -> None:
    assert {entry.label: (entry.targets, entry.variants) for entry in entries(targets, variants)} == expected


def test_no_password_gets_into_the_name_of_a_run() -> None:
    assert [entry.label for entry in entries(["ftp://me:secret@near/d", "ftp://far/d"], None)] == [
        "ftp-near",
        "ftp-far",
    ]


def test_a_run_is_called_after_its_store_where_there_are_several() -> None:
    assert Entry("gs", ("gs://b",), ("pipelined", "advised")).names == ("gs-pipelined", "gs-advised")
    assert Entry("", ("gs://b",), ("pipelined",)).names == ("pipelined",)


@pytest.mark.parametrize("text", ["", "fast", "naive,fast", ","])
def test_variants_that_do_not_exist_are_refused(text: str) -> None:
    with pytest.raises(po.UsageError, match="valid: naive, autotune, pipelined, advised"):
        entries(["data"], text)


def plans_of(
    variants: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
    demand: float | None = None,
    access: po.Access = DEFAULT,
) -> dict[str, Any]:
    monkeypatch.setattr(contest, "probe_apart", lambda *_args, **_more: FAR)
    source = po.Pipeline.from_tfrecords("gs://bucket/data", access=access)
    pipe = source.interleave().shuffle(100).batch(8).prefetch()
    told = Contest(Entry("gs", ("gs://bucket/data",), variants), pipe).plans(
        lambda _label: lambda _share, _what: None, demand
    )
    return {name: (plan, beside) for name, plan, beside in told}


def test_every_run_has_the_profile_beside_it_and_the_advised_one_the_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    plans = plans_of(("naive", "pipelined", "advised"), monkeypatch)
    assert list(plans) == ["gs-naive", "gs-pipelined", "gs-advised"]
    assert all(beside["storage"] == FAR.to_json() for _, beside in plans.values())
    assert [name for name, (_, beside) in plans.items() if "advice" in beside] == ["gs-advised"]
    plan, beside = plans["gs-advised"]
    assert plan.reader.cycle_length > 1
    assert any(sentence.startswith(f"cycle_length={plan.reader.cycle_length}") for sentence in beside["advice"])
    assert plan.source.access.block_bytes == 2 << 20


def test_advice_leaves_what_the_user_has_said(monkeypatch: pytest.MonkeyPatch) -> None:
    said = po.Access(block_bytes=1 << 20, read_ahead=3)
    plan, _ = plans_of(("advised",), monkeypatch, access=said)["gs-advised"]
    assert plan.source.access == said


def test_advice_meets_the_demand_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    little, much = (plans_of(("advised",), monkeypatch, demand)["gs-advised"][0] for demand in (1e6, 1e8))
    assert little.reader.cycle_length < much.reader.cycle_length


def test_a_store_is_probed_only_where_that_is_of_use(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("probe", "probe_apart"):
        monkeypatch.setattr(contest, name, lambda *_args, **_more: pytest.fail("probed"))
    pipe = po.Pipeline.from_tfrecords("data").batch(8).prefetch()
    told = Contest(Entry("", ("data",), ("naive", "pipelined")), pipe).plans(lambda _label: lambda _s, _w: None, None)
    assert [beside for _, _, beside in told] == [{}, {}]


def test_stored_bytes_are_those_that_the_reader_gave() -> None:
    run = simulate(steps=10, batch=4)
    names = replace(run.stages[0], name="tfrecords", elements=4, bytes_out=200)
    stages = (names, replace(run.stages[0], elements=40, bytes_out=40_000), *run.stages[1:])
    rate = stored_bytes_per_s(replace(run, stages=stages))
    assert rate == pytest.approx(1000 * 4 / (4 * 0.012 + 0.038), rel=0.01)
    assert stored_bytes_per_s(record()) is None


def test_what_stands_beside_a_run_is_saved_with_it(tmp_path: Path) -> None:
    runfile.save(with_beside(naive(), {"storage": FAR.to_json()}), tmp_path / "a.run")
    (profile,) = profiles_of({"a": runfile.load(tmp_path / "a.run")}).values()
    assert profile == FAR


def test_only_settings_of_the_gcs_client_ask_for_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gcs, "differences", lambda access: {"X": "1"} if access.block_bytes else {})
    pipe = po.Pipeline.from_tfrecords("gs://bucket/data", access=po.Access(block_bytes=1 << 20)).batch(8)
    assert needs_process(pipe)
    assert not needs_process(po.Pipeline.from_tfrecords("gs://bucket/data").batch(8))
    assert not needs_process(po.Pipeline.from_tfrecords("hdfs://n/d", access=po.Access(block_bytes=1 << 20)).batch(8))
    assert not needs_process(
        replace(pipe, source=replace(pipe.source, access=po.Access(via="fsspec", block_bytes=1 << 20)))
    )
    assert not needs_process(pipe.map(lambda x: x)), "a lambda cannot be told to another process"


@pytest.mark.tf
def test_a_run_apart_is_the_run_of_its_plan(records: Path) -> None:
    pipe = po.Pipeline.from_tfrecords(str(records)).batch(10).prefetch()
    measuring = Measuring(accelerator_of("1ms", 2), Limits(epochs=1), Trace.OFF, "1ms")
    run = run_apart(pipe, measuring)
    assert (len(run.steps), run.consumer.in_flight, run.trace_mode) == (10, 2, "off")


@pytest.mark.tf
def test_a_run_apart_that_fails_says_why(tmp_path: Path) -> None:
    pipe = po.Pipeline.from_tfrecords(str(tmp_path / "none")).batch(10).prefetch()
    with pytest.raises(po.StageError, match="no such path"):
        run_apart(pipe, Measuring(None, Limits(epochs=1), Trace.OFF))


@pytest.mark.tf
@pytest.mark.filterwarnings("default::pipeline_opt.errors.PlanWarning")
def test_two_stores_are_run_and_reported_together(
    records: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command line on a local folder and on the same folder as a bucket."""
    monkeypatch.setattr(contest, "PROBE_S", 2.0)
    shell = Shell(tmp_path, monkeypatch)
    with po.emulate(records, "gs://far", ttfb="20ms"):
        said = shell(
            "benchmark", f"file://{records}", "gs://far", "--epochs", "1", "--batch-size", "10", "--out", "out"
        )
    assert said.exit_code == 0, said.stdout
    out = tmp_path / "out"
    runs = {path.stem: runfile.load(path) for path in out.glob("*.run")}
    assert set(runs) == {"file-pipelined", "gs-pipelined", "gs-advised"}
    assert {sum(run.steps.elements) for run in runs.values()} == {100}
    assert {run.extra["storage"]["route"] for run in runs.values()} == {"local", "tf"}
    assert runs["gs-advised"].extra["advice"]
    page = (out / "report.html").read_text()
    assert 'id="storage"' in page
    assert "gs://far" in page
    assert "gs-advised: gs://far: predicted" in " ".join(said.stdout.split())
