"""The benchmark suite: its workloads give the same rows in every variant, and its arithmetic is right."""

from __future__ import annotations

import io
import json
import math
import sys
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from rich.console import Console

import pipeline_opt as po

sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))

import compare
import run as suite_run
from suite import cache_too_large, draining, oracle, ours, ratios, rounds, ssd, table, variants
from suite.catalogue import MODULES, WORKLOADS
from suite.draining import Epoch, NoElements, Trial
from suite.names import VARIANTS
from suite.ours import Tuned
from suite.variants import Terms, contest, setting_of
from suite.workload import AUTO, AUTOTUNE, NAIVE, WRITTEN, Knobs, Setting, Workload, heuristic, settings

pytestmark = pytest.mark.tf

TINY = 0.001
"""A scale at which each workload takes its least data."""
WEIGHTS = np.random.default_rng(0).standard_normal(1 << 20)
BY_NAME = {workload.name: workload for workload in WORKLOADS}


@pytest.fixture(scope="module")
def folder_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Workload], Path]:
    """The data of a workload, made when it is first asked for."""
    base = tmp_path_factory.mktemp("suite")

    def made(workload: Workload) -> Path:
        folder = base / (workload.data or workload.name)
        if not folder.exists():
            folder.mkdir()
            workload.make(folder, TINY)
        return folder

    return made


def rows(dataset: Any) -> Iterator[list[Any]]:
    """The components of every row of every batch."""
    import tensorflow as tf

    for batch in dataset.as_numpy_iterator():
        yield from (list(row) for row in zip(*tf.nest.flatten(batch), strict=True))


def signature(row: list[Any]) -> float:
    """A number that depends on every value of a row, but not on zeros that it was padded with."""
    total = 0.0
    for index, component in enumerate(row, 1):
        flat = np.ravel(component)
        if flat.dtype.kind in "OS":
            flat = np.array([zlib.crc32(text) / 2**32 for text in flat])
        total += index * float(flat.astype(np.float64) @ WEIGHTS[: flat.size])
    return total


def signatures(dataset: Any) -> Any:
    return np.sort([signature(row) for row in rows(dataset)])


def shapes(dataset: Any) -> list[Any]:
    """Type and rank of a row's components, their sides where they are fixed, and how many rows there are."""
    import tensorflow as tf

    specs = [(spec.dtype, spec.shape.as_list()[1:]) for spec in tf.nest.flatten(dataset.element_spec)]
    return [*specs, sum(1 for _ in rows(dataset))]


def forms(workload: Workload) -> list[Setting]:
    """Every form once, as it is measured; and the variants."""
    others = [Setting(form, AUTOTUNE) for form in workload.forms]
    return [Setting(WRITTEN, knobs) for knobs in (AUTOTUNE, heuristic(2), workload.given)] + others


# Workloads


@pytest.mark.parametrize("name", BY_NAME)
def test_every_variant_gives_the_same_rows(name: str, folder_of: Callable[[Workload], Path]) -> None:
    workload = BY_NAME[name]
    with workload.place(folder_of(workload)) as place:
        if workload.rows == "shape":
            expected: Any = shapes(workload.build(place, Setting(WRITTEN, NAIVE)))
            assert expected[-1] > 0
            for setting in dict.fromkeys(forms(workload)):
                assert shapes(workload.build(place, setting)) == expected, setting
            return
        expected = signatures(workload.build(place, Setting(WRITTEN, NAIVE)))
        assert len(np.unique(expected)) > 10
        for setting in dict.fromkeys(forms(workload)):
            found = signatures(workload.build(place, setting))
            np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-3, err_msg=str(setting))


def test_data_is_the_same_each_time(tmp_path: Path) -> None:
    for name in ("csv_rows", "text_buckets", "lm_packing", "python_function"):
        made = []
        for number in range(2):
            folder = tmp_path / f"{name}-{number}"
            folder.mkdir()
            BY_NAME[name].make(folder, TINY)
            made.append({path.name: path.read_bytes() for path in folder.iterdir()})
        assert made[0] == made[1]


def test_workloads_declare_what_holds_of_them() -> None:
    assert len(WORKLOADS) >= 14
    for module, workload in zip(MODULES, WORKLOADS, strict=True):
        assert module.__name__ == f"suite.{workload.name}"
        assert 4 <= len(set(workload.grid)) == len(workload.grid) <= 60
        tuned_knobs = [each.knobs for each in workload.grid if each.form == WRITTEN and each.knobs.calls == AUTO]
        assert any(knobs.prefetch == AUTO for knobs in tuned_knobs), "the oracle can do what AUTOTUNE does"
        # Only a user can put a whole batch into one call of their Python function.
        assert workload.by_hand is None or workload.by_hand in workload.grid or workload.name == "python_function"


def test_an_unknown_form_is_refused() -> None:
    with pytest.raises(ValueError, match="no form is called fused; there are"):
        replace(BY_NAME["csv_rows"], by_hand=Setting("fused", AUTOTUNE))


def test_the_cache_that_must_not_be_is_too_large(folder_of: Callable[[Workload], Path]) -> None:
    workload = cache_too_large.WORKLOAD
    image, _ = workload.dataset(str(folder_of(workload)), NAIVE).element_spec
    assert workload.memory_bytes is not None
    assert 800 * np.prod(image.shape[1:]) * image.dtype.size > 2 * workload.memory_bytes


def test_the_detector_wants_one_photograph_of_six(folder_of: Callable[[Workload], Path]) -> None:
    records = ssd.records(str(folder_of(ssd.WORKLOAD)), NAIVE).map(ssd.parse)
    images, wanted = (sum(1 for _ in dataset) for dataset in (records, records.filter(ssd.is_wanted)))
    assert 0.1 < wanted / images < 0.25


def test_knobs_are_tf_datas() -> None:
    assert NAIVE.interleave == {"cycle_length": 1}
    assert AUTOTUNE.interleave == {"cycle_length": None, "num_parallel_calls": AUTO}
    assert heuristic(4).interleave == {"cycle_length": 4, "num_parallel_calls": 4}
    assert str(Knobs(AUTO, 2, cache="decoded")) == "calls auto, cycle 2, prefetch -, cache decoded"
    assert str(NAIVE) == "calls -, cycle -, prefetch -, rewrites off"
    assert len(settings(forms=("a", "b"), calls=(1, 2), cycle=(None,), cache=("", "x"))) == 8


# Draining and its arithmetic


class Batches:
    """A dataset by the sizes of its batches and the seconds that each takes."""

    def __init__(self, *batches: tuple[int, float]) -> None:
        self.now = 0.0
        self._batches = batches

    def __iter__(self) -> Iterator[Any]:
        for size, seconds in self._batches:
            self.now += seconds
            yield np.zeros((size, 2))
        # What comes after the last batch is no part of the epoch.
        self.now += 100.0

    def clock(self) -> float:
        return self.now


def test_an_epoch_is_timed_to_its_last_batch() -> None:
    data = Batches((4, 1.0), (4, 0.5), (2, 0.5))
    epoch = draining.drain(data, 60.0, data.clock)
    assert epoch.marks == ((4, 1.0), (8, 1.5), (10, 2.0))
    assert (epoch.elements, epoch.seconds, epoch.first_s, epoch.rate(), epoch.cut) == (10, 2.0, 1.0, 5.0, False)


def test_an_epoch_is_cut_and_compared_over_what_all_have_had() -> None:
    slow, fast = Batches(*[(4, 1.0)] * 5), Batches(*[(6, 0.5)] * 5)
    trials = [Trial((draining.drain(data, 1.5, data.clock),)) for data in (slow, fast)]
    assert [trial.epochs[0].elements for trial in trials] == [8, 24]
    assert draining.common_elements(trials) == 8
    # Six after half a second, and two more in a third of the next.
    assert [trial.rates(8)["first"] for trial in trials] == [pytest.approx(4.0), pytest.approx(8 / (0.5 + 0.5 / 3))]
    assert draining.common_elements([Trial((Epoch(((3, 1.0),)),))]) is None


def test_a_rate_of_more_than_there_was_is_refused() -> None:
    with pytest.raises(ValueError, match="valid: up to 3"):
        Epoch(((3, 1.0),)).rate(4)


def test_an_epoch_of_nothing_has_no_rate() -> None:
    data = Batches()
    with pytest.raises(NoElements):
        draining.drain(data, 60.0, data.clock)


def test_a_job_of_several_epochs_tells_the_first_from_the_others() -> None:
    trial = Trial(tuple(Epoch(((12, seconds),)) for seconds in (6.0, 2.0, 3.0, 1.0)))
    assert trial.rates() == {"first": 2.0, "steady": 6.0, "job": 4.0}


def test_a_job_of_several_epochs_is_built_once_and_never_cut() -> None:
    built = []

    def build() -> Batches:
        built.append(Batches((4, 1.0), (4, 1.0)))
        return built[-1]

    trial = draining.run(build, 3, limit_s=0.5, clock=lambda: built[-1].now)
    assert len(built) == 1
    assert [epoch.elements for epoch in trial.epochs] == [8, 8, 8]
    assert not trial.cut


def test_a_trial_that_takes_the_last_memory_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = draining.Memory()
    monkeypatch.setattr(memory, "_most", -1)
    with pytest.raises(draining.OutOfMemory, match="left"):
        memory.look(1.0)


# Rounds


@pytest.fixture
def nothing_to_collect(monkeypatch: pytest.MonkeyPatch) -> None:
    """Collecting garbage before each trial takes a third of a second where TensorFlow is loaded."""
    monkeypatch.setattr(draining, "gc", SimpleNamespace(collect=lambda: None))


def trials(*seconds: float) -> Any:
    """A run of trials of ten examples that take so long, one after another."""
    left = list(seconds)
    return lambda: Batches((10, left.pop(0)))


def measured_of(**builds: Any) -> rounds.Measured:
    """Measured with the clock of whatever was built last."""
    current = [Batches()]

    def noted(build: Any) -> Any:
        def made() -> Any:
            current[0] = build()
            return current[0]

        return made

    made = {name: noted(build) for name, build in builds.items()}
    return rounds.measure(made, 2, 1, clock=lambda: current[0].now)


@pytest.mark.usefixtures("nothing_to_collect")
def test_ratios_are_of_the_same_round() -> None:
    measured = measured_of(autotune=trials(1.0, 2.0), ours=trials(0.5, 0.5))
    told = measured.as_json("ours")
    assert told["examples_per_s"] == {"first": [20.0, 20.0]}
    # 2 in one round and 4 in the other.
    assert told["ratios"]["autotune"]["first"]["middle"] == pytest.approx(8**0.5)
    # Nothing was given that is not AUTOTUNE's.
    assert told["ratios"]["given"] == told["ratios"]["autotune"]
    assert measured.examples == 10


@pytest.mark.usefixtures("nothing_to_collect")
def test_what_is_given_is_a_base_of_its_own() -> None:
    measured = measured_of(autotune=trials(1.0, 1.0), given=trials(4.0, 4.0), ours=trials(0.5, 0.5))
    told = {base: phases["first"]["middle"] for base, phases in measured.as_json("ours")["ratios"].items()}
    assert told == pytest.approx({"autotune": 2.0, "given": 8.0})


@pytest.mark.usefixtures("nothing_to_collect")
def test_variants_take_turns_in_an_order_that_changes() -> None:
    order: list[str] = []
    data = {name: (lambda name=name: order.append(name) or Batches((1, 1.0))) for name in "abc"}
    clock = iter(range(10_000))
    rounds.measure({"autotune": data["a"], "b": data["b"], "c": data["c"]}, 3, 1, clock=lambda: float(next(clock)))
    turns = [order[start : start + 3] for start in range(0, 9, 3)]
    assert all(sorted(turn) == ["a", "b", "c"] for turn in turns)
    assert len({tuple(turn) for turn in turns}) > 1


@pytest.mark.usefixtures("nothing_to_collect")
def test_who_fails_takes_no_further_part_and_a_base_ends_it() -> None:
    def fails() -> Any:
        raise ValueError("no such knob")

    measured = measured_of(autotune=trials(1.0, 1.0), ours=fails)
    assert measured.failed == {"ours": "ValueError: no such knob"}
    assert list(measured.trials) == ["autotune"]
    with pytest.raises(ValueError, match="no such knob"):
        measured_of(autotune=fails)


def test_means_and_changes() -> None:
    assert ratios.geometric_mean([[2.0, 2.0], [8.0, 8.0]]) == pytest.approx((4.0, 4.0, 4.0))
    found = ratios.change([4.0, 4 * math.e, 4 / math.e], [2.0, 2.0, 2.0])
    # Only one varies: Student's t of two degrees of freedom, 4.303, times the standard error of its logarithms, 1 / sqrt(3).
    width = math.exp(4.303 / 3**0.5)
    assert found == pytest.approx((2.0, 2 / width, 2 * width), rel=1e-3)
    assert ratios.change([4.0], [2.0, 2.0]) == (2.0, 0.0, math.inf)
    assert ratios.ratio([6.0], [2.0]) == pytest.approx((3.0, 0.0, math.inf))


def test_an_interval_of_few_rounds_holds_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    drawn = np.exp(rng.normal(0.0, 0.1, (2, 300, 3)))
    pairs = list(zip(*drawn, strict=True))
    means = [ratios.geometric_mean([one, other**3]) for one, other in pairs]
    for found in (means, [ratios.change(*pair) for pair in pairs], [ratios.ratio(*pair) for pair in pairs]):
        # A bootstrap over three rounds held it in 73 of a hundred cases.
        assert np.mean([each.low <= 1 <= each.high for each in found]) > 0.93


# Variants, ours and the oracle


def test_ours_is_built_anew_for_every_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def optimize(dataset: Any, **arguments: Any) -> Any:
        asked.append(arguments)
        made = SimpleNamespace(build=lambda: [dataset])
        return SimpleNamespace(pipeline=made, explain=lambda: "batched", changed=len(asked) == 1)

    monkeypatch.setattr(po, "optimize", optimize, raising=False)
    found = ours.tuned("given", 5, 60.0, 1 << 20)
    assert asked == [{"epochs": 5, "budget_s": 60.0, "memory_bytes": 1 << 20}]
    assert found.build() == ["given"]
    assert found.build() is not found.build()
    assert not found.unchanged
    assert ours.tuned("given", 5, 60.0, 1 << 20).unchanged


def test_what_is_returned_unchanged_is_what_was_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(variants, "tuned", lambda *_: Tuned(lambda: None, 1.0, "given is returned unchanged", True))
    found = contest(
        replace(BY_NAME["audio"], dataset=lambda place, knobs: (place, knobs)), "here", Terms(asked=("ours",))
    )
    assert list(found.builds) == ["autotune"]
    assert found.settings["ours"] == "given is returned unchanged"


def test_a_contest_names_its_settings_and_gaps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(oracle, "FOLDER", tmp_path)
    workload = replace(BY_NAME["audio"], dataset=lambda place, knobs: (place, knobs))
    found = contest(workload, "here", Terms(asked=("naive", "by_hand", "heuristic"), cores=3))
    assert list(found.builds) == ["naive", "autotune", "heuristic"]
    assert found.builds["heuristic"]() == ("here", Knobs(3, 3, 3))
    assert found.absent == {"by_hand": "nothing is known to be better than knobs"}
    forgotten = contest(replace(workload, given=Knobs()), "here", Terms(asked=("autotune",)))
    assert forgotten.settings["given"] == "written: calls -, cycle -, prefetch -"


def test_the_oracle_ranks_finalists_by_their_later_rounds() -> None:
    grid = settings(calls=(1, 2, 3, 4, 5, 6, 7), cycle=(None,))
    seen: dict[Setting, int] = {}

    def trial(setting: Setting) -> Trial:
        seen[setting] = seen.get(setting, 0) + 1
        calls = setting.knobs.calls or 0
        # 7 was lucky once; 6 takes too much memory.
        rate = 100.0 if calls == 7 and seen[setting] == 1 else 1.0 if calls == 7 else float(calls)
        return Trial((Epoch(((100, 100 / rate),)),), growth_bytes=1000 if calls == 6 else 10)

    found = oracle.search(grid, trial, memory_bytes=100)
    assert [setting.knobs.calls for setting, _ in found] == [5, 4, 3, 2, 7, 1]
    assert [len(rates) for _, rates in found] == [4, 4, 4, 4, 4, 1]


def test_the_oracle_leaves_out_a_finalist_that_takes_too_much_memory_later() -> None:
    seen: list[int] = []

    def trial(setting: Setting) -> Trial:
        calls = setting.knobs.calls or 0
        seen.append(calls)
        if calls == 2 and seen.count(2) > 1:
            raise draining.OutOfMemory("stopped")
        return Trial((Epoch(((100, 1.0),)),), growth_bytes=1000 if calls == 3 and seen.count(3) > 2 else 10)

    found = oracle.search(settings(calls=(1, 2, 3), cycle=(None,)), trial, memory_bytes=100)
    assert [setting.knobs.calls for setting, _ in found] == [1]
    assert (seen.count(2), seen.count(3)) == (2, 3)


def test_where_memory_is_limited_a_setting_runs_in_a_process_of_its_own(folder_of: Callable[[Workload], Path]) -> None:
    workload = BY_NAME["cache_too_large"]
    trial = oracle.run_setting(workload, str(folder_of(workload)), Setting(WRITTEN, Knobs(cache="decoded")), 2)
    assert len(trial.epochs) == 2
    # 32 images of 2.4 MB are kept: a process that had kept others before would not have grown.
    assert trial.growth_bytes > 60e6


def test_an_oracle_holds_for_its_machine(tmp_path: Path, folder_of: Callable[[Workload], Path]) -> None:
    workload = replace(BY_NAME["csv_rows"], grid=settings(forms=("batched",), calls=(None, 2), cycle=(None,)))
    terms = Terms(epochs=1, scale=TINY)
    with pytest.raises(oracle.Unavailable, match="not computed for 1 epoch"):
        oracle.stored(workload, terms.epochs, terms.scale, tmp_path)
    path = oracle.recompute(workload, str(folder_of(workload)), terms.epochs, terms.scale, tmp_path)
    told = json.loads(path.read_text())
    assert len(told["settings"]) == 2
    assert told["environment"]["tensorflow"]
    assert oracle.stored(workload, terms.epochs, terms.scale, tmp_path) in workload.grid
    told["environment"]["cpu"] = "abacus"
    path.write_text(json.dumps(told))
    with pytest.raises(oracle.Unavailable, match=r"another machine \(cpu abacus\)"):
        oracle.stored(workload, terms.epochs, terms.scale, tmp_path)


def test_settings_of_variants() -> None:
    workload = BY_NAME["tabular"]
    assert setting_of("naive", workload, Terms()).knobs == NAIVE
    assert setting_of("by_hand", workload, Terms()).form == "batched"


# Results


def result(**rates: list[float]) -> dict[str, Any]:
    """A result of one workload, with these rates."""
    variants = {}
    for name, values in rates.items():
        pairs = {"first": ratios.ratio(values, rates["autotune"])._asdict()}
        variants[name] = {
            "examples_per_s": {"first": values},
            "ratios": {"autotune": pairs, "given": pairs},
            "growth_bytes": [300 << 20],
        }
    told = {"name": "tabular", "examples": 1000, "memory_bytes": None, "cut_at": [None], "variants": variants}
    environment = {"cpu": "abacus", "cores": 2.0, "tensorflow": "2.21.0"}
    return {
        "environment": environment,
        "arguments": {"quick": False},
        "broken": {},
        "workloads": [{**told, "absent": {"oracle": "not computed"}, "failed": {}}],
    }


def test_a_comparison_marks_what_lies_outside_the_interval() -> None:
    before = result(autotune=[100.0, 101.0, 99.0], ours=[200.0, 202.0, 198.0], naive=[50.0, 90.0, 20.0])
    after = result(autotune=[50.0, 51.0, 49.0], ours=[300.0, 306.0, 294.0], naive=[25.0, 40.0, 12.0])
    found = {each.variant: each for each in compare.changes(before, after)}
    assert {name: each.mark for name, each in found.items()} == {"naive": "", "autotune": "worse", "ours": "better"}
    # AUTOTUNE by its rate, others by their ratio to it: 2 before and 6 after.
    assert (found["autotune"].before, found["autotune"].after) == pytest.approx((100.0, 50.0), rel=1e-3)
    assert found["ours"].change.middle == pytest.approx(3.0)


def test_a_comparison_says_what_it_cannot_compare() -> None:
    before, after = result(autotune=[1.0], naive=[1.0]), result(autotune=[1.0], ours=[1.0])
    after["environment"] = {**after["environment"], "cpu": "slide rule"}
    assert list(compare.gaps(before, after)) == [
        "cpu: abacus before, slide rule after",
        "only before: tabular naive",
        "only after: tabular ours",
    ]


def printed(of: Any) -> str:
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(of)
    return console.export_text()


def test_the_table_says_everything_that_was_asked_for() -> None:
    told = result(autotune=[100.0, 100.0], ours=[250.0, 250.0])
    workload = told["workloads"][0]
    workload["failed"] = {"naive": "ValueError: no such knob"}
    workload["memory_bytes"] = 100 << 20
    workload["cut_at"] = [None, 640]
    told["broken"] = {"remote_shards": "SourceError: gone"}
    text = printed(table.report(told))
    for words in (
        "= autotune",
        "2.50 [2.50, 2.50]",
        "failed",
        "oracle: not computed (all)",
        "no such knob",
        "first 640",
    ):
        assert words in text
    assert "remote_shards was not measured: SourceError: gone" in text
    assert "tabular, ours: took 315 MB of memory, the budget is 105 MB" in text


def test_a_run_writes_what_it_prints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "found.json"
    words = [
        "run.py",
        "--quick",
        "--only",
        "csv_rows",
        "--variants",
        "naive,by_hand",
        "--rounds",
        "2",
        "--out",
        str(out),
    ]
    monkeypatch.setattr(sys, "argv", words)
    monkeypatch.setattr(suite_run, "QUICK", 0.02)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert suite_run.main() == 0
    told = json.loads(out.read_text())
    (workload,) = told["workloads"]
    assert set(workload["variants"]) == {"naive", "autotune", "by_hand"} <= set(VARIANTS)
    assert workload["examples"] == 1200
    assert all(len(each["examples_per_s"]["first"]) == 2 for each in workload["variants"].values())
    assert told["environment"]["tensorflow"]


def test_a_workload_that_breaks_does_not_end_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(place: str, knobs: Knobs) -> Any:
        raise ValueError("no such file")

    broken = replace(BY_NAME["csv_rows"], name="broken", dataset=breaks)
    monkeypatch.setattr(suite_run, "WORKLOADS", (broken, BY_NAME["csv_rows"]))
    out = tmp_path / "found.json"
    words = ["run.py", "--quick", "--variants", "autotune", "--rounds", "1", "--out", str(out)]
    monkeypatch.setattr(sys, "argv", words)
    monkeypatch.setattr(suite_run, "QUICK", 0.02)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert suite_run.main() == 1
    told = json.loads(out.read_text())
    assert list(told["broken"]) == ["broken"]
    assert [workload["name"] for workload in told["workloads"]] == ["csv_rows"]


def test_unknown_names_are_refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["run.py", "--only", "jpeg"])
    with pytest.raises(SystemExit):
        suite_run.main()
    assert "unknown: jpeg; valid: jpeg_train" in capsys.readouterr().err
    monkeypatch.setattr(sys, "argv", ["compare.py", "before.json", "after.json", "--variants", "our"])
    with pytest.raises(SystemExit):
        compare.main()
    assert "unknown: our; valid: naive" in capsys.readouterr().err


def test_a_quick_run_has_as_much_less_memory_as_data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    asked: list[int | None] = []

    def tuned(dataset: Any, epochs: int, budget_s: float, memory_bytes: int | None) -> ours.Tuned:
        asked.append(memory_bytes)
        return ours.Tuned(lambda: dataset, 0.0, "as given")

    monkeypatch.setattr(variants, "tuned", tuned)
    workload = replace(BY_NAME["csv_rows"], memory_bytes=1000)
    told = suite_run.run_workload(workload, Terms(asked=("ours",), scale=0.02), 1, 30.0)
    assert (asked, told["memory_bytes"]) == ([20], 20)
