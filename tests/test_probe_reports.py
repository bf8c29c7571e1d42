"""Table and figure of probed storages: by value, by label."""

from __future__ import annotations

import dataclasses
import itertools
import json
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

import pytest
from fake_clock import FakeClock
from fake_storage import FakeStorage
from rich.console import Console

import pipeline_opt as po
from pipeline_opt.errors import OutputExistsError, UsageError
from pipeline_opt.probes import Probe, by_name
from pipeline_opt.reports.info_probe import ProbeInfo, probe_info, probe_rows
from pipeline_opt.reports.plots import plot_probe, to_png
from pipeline_opt.reports.terminal_probe import probe_renderable
from pipeline_opt.storage.measured import Latency, RequestRate, StorageProfile, StreamRate

DISK = StorageProfile(
    "data",
    "local",
    "files",
    "now",
    cold=Latency((0.0001, 0.0002, 0.0003)),
    warm=Latency((0.00001,)),
    stat=Latency((2e-6,)),
    listing_s=0.002,
    files=4,
    bytes=4_000_000,
    stream_bytes_per_s=2e9,
    streams=(StreamRate(1, 1e9, 1.0, 1), StreamRate(2, 1.9e9, 1.0, 1), StreamRate(4, 2e9, 1.0, 1)),
    requests=(RequestRate(65536, 5e8, 1e-4), RequestRate(1 << 20, 1e9, 1e-3)),
    knee=2,
    total_bytes_per_s=2e9,
)
BUCKET = StorageProfile(
    "gs://bucket/data",
    "tf",
    "TensorFlow",
    "now",
    cold=Latency((0.05, 0.06, 0.2)),
    warm=Latency((), "a connection for every request"),
    stat=Latency((), "remembered"),
    files=4,
    bytes=4_000_000,
    stream_bytes_per_s=20e6,
    streams=(StreamRate(1, 10e6, 1.0, 1, 2), StreamRate(2, 20e6, 1.0, 1), StreamRate(4, 12e6, 1.0, 1)),
    requests=(RequestRate(65536, 1e6, 0.06),),
    knee=2,
    total_bytes_per_s=20e6,
)
NOTHING = StorageProfile("gs://bare", "tf", "TensorFlow", "now", notes=("every request failed",))
BOTH = {"data": DISK, "gs://bucket/data": BUCKET}


def texts(figure: Any) -> list[str]:
    """Everything that a reader sees, after drawing it."""
    figure.savefig(BytesIO(), format="png")
    found = [text.get_text() for text in figure.texts]
    for axes in figure.axes:
        found += [text.get_text() for text in axes.texts]
        found += [label.get_text() for axis in (axes.xaxis, axes.yaxis) for label in axis.get_ticklabels()]
        found += [axes.xaxis.label.get_text()]
    return found + [text.get_text() for legend in figure.legends for text in legend.get_texts()]


def test_a_knee_that_was_not_tried_is_not_drawn() -> None:
    said = texts(plot_probe(probe_info({"data": dataclasses.replace(DISK, knee=7)})))
    assert not any(text.startswith("knee") for text in said)


def test_the_legend_names_what_is_drawn() -> None:
    assert "warm: a kept one" in texts(plot_probe(probe_info(BOTH)))
    alone = texts(plot_probe(probe_info({"gs://bucket/data": BUCKET})))
    assert "cold: a new connection" in alone
    assert "warm: a kept one" not in alone


@pytest.mark.parametrize("knee", [1, 2, 4, 8])
def test_the_label_of_a_knee_stays_in_its_panel(knee: int) -> None:
    # GIVEN more streams that are slower from the one after the knee on
    streams = tuple(StreamRate(count, 1e9 if count <= knee else 5e8, 1.0, 10**9) for count in (1, 2, 4, 8, 16))
    figure = plot_probe(probe_info({"data": dataclasses.replace(DISK, streams=streams, knee=knee)}))
    figure.savefig(BytesIO(), format="png")
    panel = figure.axes[0]
    label = next(text for text in panel.texts if text.get_text().startswith(f"knee {knee}, slower"))
    assert panel.bbox.x0 <= label.get_window_extent().x0
    assert label.get_window_extent().x1 <= panel.bbox.x1


def test_series_hold_what_was_measured() -> None:
    disk, bucket = probe_info(BOTH).series
    assert (disk.streams, disk.rates, disk.ideal) == ((1, 2, 4), (1e9, 1.9e9, 2e9), (1e9, 2e9, 4e9))
    assert (disk.knee, disk.slower) == (2, None)
    assert [line.kind for line in disk.latencies] == ["cold", "warm"]
    assert disk.latencies[0].share == pytest.approx((1 / 3, 2 / 3, 1))
    assert (bucket.knee, bucket.slower, bucket.errors) == (2, 4, 2)
    assert [(line.median_s, line.p99_s) for line in bucket.latencies] == [(0.06, 0.2)]
    assert disk.color != bucket.color


def test_the_figure_says_what_it_shows() -> None:
    said = texts(plot_probe(probe_info(BOTH)))
    for text in (
        "data",
        "gs://bucket/data",
        "knee 2",
        "knee 2, slower from 4 on",
        "streams at a time",
        "1 GB/s",
        "64 KiB",
    ):
        assert text in said, text
    alone = texts(plot_probe(probe_info({"gs://bucket/data": BUCKET})))
    assert "median 60 ms" in alone
    assert "p99 200 ms" in alone


def test_lines_are_where_the_figures_are() -> None:
    streams, latency, requests = plot_probe(probe_info({"data": DISK})).axes
    drawn = [tuple(line.get_ydata()) for line in streams.lines]
    assert (1e9, 1.9e9, 2e9) in drawn
    assert (1e9, 2e9, 4e9) in drawn
    assert tuple(latency.lines[0].get_xdata()) == DISK.cold.samples
    assert tuple(requests.lines[0].get_ydata()) == (5e8, 1e9)
    assert streams.get_ylim()[0] < 1e9
    assert streams.get_ylim()[1] > 2e9


def test_times_that_are_near_each_other_have_labels_that_are_not() -> None:
    medians = {"hdfs": 0.0227, "gs": 0.0691, "s3": 0.07}
    profiles = {name: dataclasses.replace(BUCKET, cold=Latency((median,) * 3)) for name, median in medians.items()}
    figure = plot_probe(probe_info({"data": DISK, **profiles}))
    figure.canvas.draw()
    labels = figure.axes[1].texts
    assert {"22.7 ms", "69.1 ms", "70 ms"} <= {label.get_text() for label in labels}
    boxes = [label.get_window_extent() for label in labels]
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))


@pytest.mark.parametrize("profiles", [{"a": NOTHING}, {"a": NOTHING, "b": DISK}, {"a": BUCKET}, BOTH], ids=str)
def test_every_kind_of_profile_can_be_drawn(profiles: dict[str, StorageProfile]) -> None:
    assert to_png(plot_probe(probe_info(profiles))).startswith(b"\x89PNG")


def test_what_was_not_measured_is_said() -> None:
    assert probe_info({"a": NOTHING}).reason == "nothing was measured: every request failed"
    some = StorageProfile("u", "tf", "c", "now", cold=Latency((0.1,)))
    assert texts(plot_probe(probe_info({"u": some}))).count("not measured") == 2
    assert isinstance(plot_probe(ProbeInfo((), "why")), object)
    with pytest.raises(UsageError, match="no profiles"):
        probe_info({})


def test_rows_and_the_terminal() -> None:
    rows = probe_rows(BOTH)
    assert [(row.source, row.knee, row.errors) for row in rows] == [("data", 2, 0), ("gs://bucket/data", 2, 2)]
    out = StringIO()
    Console(file=out, width=100).print(probe_renderable({**BOTH, "gs://bare": NOTHING}))
    text = out.getvalue()
    for said in (
        "200 µs",
        "60 ms",
        "2 GB/s",
        "20 MB/s",
        "2 streams",
        "no warm times: a connection",
        "no stat times: remembered",
        "every request failed",
    ):
        assert said in text, said


def test_a_probe_is_held_like_a_run(tmp_path: Path) -> None:
    clock = FakeClock()
    found = Probe.of(po.api.probe_profile("fake://data", client=FakeStorage(clock), clock=clock, streams=8))
    frame = found.table(DISK)
    assert list(frame["source"]) == ["fake://data", "data"]
    assert frame["knee"].dtype == "Int64"
    assert found.plot(DISK).axes
    assert found.advice(demand_bytes_per_s=10e6).limit == "demand"
    saved = found.save(tmp_path / "p.json")
    assert StorageProfile.load(saved) == StorageProfile.from_json(json.loads(saved.read_text())) == _plain(found)
    with pytest.raises(OutputExistsError):
        found.save(saved)
    assert "fake://data" in str(found)


def _plain(profile: StorageProfile) -> StorageProfile:
    return StorageProfile.from_json(profile.to_json())


def test_the_same_uri_twice_has_two_names() -> None:
    assert list(by_name((DISK, BUCKET, DISK))) == ["data", "gs://bucket/data", "data (2)"]
