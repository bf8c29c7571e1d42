from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from fakes import long_run, naive, no_steps, one_step, partial, pipelined, record, untraced, windowed, without_consumer

from pipeline_opt.errors import UsageError
from pipeline_opt.record import Record, StageRecord
from pipeline_opt.reports.info_variants import headline, variant_rows
from pipeline_opt.reports.page import page

RUNS = (naive, pipelined, partial, one_step, no_steps, long_run, windowed, untraced, without_consumer)
VOID = {"meta", "link", "img", "br", "path", "use", "rect", "image", "input"}


class Page(HTMLParser):
    """Checks that elements are nested, and collects text, ids and everything that could reach the network."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.tags: set[str] = set()
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            elif name in ("src", "href", "xlink:href"):
                self.links.append(value or "")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] != "style":
            self.text.append(data)

    @property
    def words(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.text))


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.__name__)
def test_every_kind_of_run_has_a_page_of_its_own_that_needs_nothing_else(run: Callable[[], Record]) -> None:
    html = page({"run": run()}, "A run")
    found = Page(html)

    assert all(link.startswith(("#", "data:image/")) for link in found.links)
    assert not re.search(r"@import|url\((?!#)", html)
    assert len(found.ids) == len(set(found.ids))
    assert "script" not in found.tags
    assert len(html) < 2_000_000
    assert "NaN" not in found.words
    assert "None" not in found.words


def test_a_colleague_finds_what_there_is_to_know() -> None:
    words = Page(page({"run": naive()}, "Profile of decode")).words

    for text in (
        "Profile of decode",
        "The accelerator waits 65 % of the time, for decode (transform).",
        "num_parallel_calls=AUTO spreads it over 4 cores",
        "accelerator utilization 35 %",
        "waiting for the copy to the accelerator, of a batch that was made in time",
        "together 448 ms 65 %",
        "How to read it",
        "interleave cycle_length=AUTO",
        "data/train-*.tfrecord, 16 files, 200 MB",
        "16 GiB",
        "2.21.0",
        "Accelerator utilization as in MLPerf Storage",
        "interleave: bytes_in is not known, the reader does not tell",
        "No knob was sampled",
    ):
        assert text in words, text


def test_several_variants_are_compared_first() -> None:
    html = page({"naive": naive(steps=40), "pipelined": pipelined(steps=40)}, "Benchmark")
    words = Page(html).words

    assert "pipelined gives 2.26x the throughput of naive: the accelerator waits 21 % of the time, not 65 %." in words
    assert words.index("Comparison") < words.index("Who worked when") < words.index("What the stages cost")
    assert words.count("Who worked when") == 1
    assert words.count("What AUTOTUNE did") == 2
    assert {"run1", "run2", "comparison", "words"} <= set(Page(html).ids)


def test_variants_without_steps_are_said_to_be_incomparable() -> None:
    words = Page(page({"naive": naive(), "broken": no_steps()}, "Benchmark")).words
    assert "cannot be compared with naive" in words
    assert "naive is the fastest, with 46.5 elements/s." in words


def test_headlines() -> None:
    fast, slow, nothing = without_consumer(threads=3), without_consumer(), no_steps()
    assert headline(variant_rows({"a": slow, "b": fast})).startswith(
        "b gives 1.50x the throughput of a: 333 elements/s."
    )
    assert headline(variant_rows({"a": nothing})) == "The variants cannot be compared: no steady state was reached."


def test_what_users_wrote_is_escaped_everywhere() -> None:
    evil = "<script>alert('x')</script>"
    stage = StageRecord(
        evil, evil, evil, elements=8, work_s=1.0, us_per_element=5.0, absent={evil: evil, "bytes_in": evil}
    )
    run = replace(
        naive(),
        stages=(stage, *naive().stages),
        pipeline_text=evil,
        toml=evil,
        notes=(evil,),
        partial=True,
        partial_reason=evil,
        source=replace(naive().source, uri=evil),
        environment=replace(naive().environment, details={evil: evil}),
        consumer=replace(naive().consumer, label=evil, preset=evil),
        created=evil,
    )

    found = page({evil: run, "b": replace(run, steps=no_steps().steps)}, evil)

    assert "<script" not in found.lower()
    assert found.count("&lt;script&gt;") > 20
    assert "script" not in Page(found).tags


def test_the_same_runs_give_the_same_page() -> None:
    assert page({"run": naive()}, "A") == page({"run": naive()}, "A")


def test_no_runs_are_refused() -> None:
    with pytest.raises(UsageError, match="page: no runs given"):
        page({}, "Nothing")


def test_toml_is_shown_where_the_plan_has_one() -> None:
    assert "The same plan as TOML" not in page({"a": record()}, "A")
    assert "kind = &#34;map&#34;" in page({"a": record(toml='kind = "map"')}, "A")
