"""Emulated accelerators: their figures, their text form, their time line, and the bytes that they copy."""

from __future__ import annotations

import math
import re
import time
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from fake_clock import FakeClock

from pipeline_opt.clock import SystemClock
from pipeline_opt.errors import UsageError
from pipeline_opt.profiler.accelerator import Accelerator, Device, numeric_arrays
from pipeline_opt.profiler.consumers import Consumer, as_consumer
from pipeline_opt.profiler.presets import PRESETS
from pipeline_opt.record import ConsumerInfo

# train.computation_time and reader.batch_size in mlcommons/storage, configs/dlio/workload.
PUBLISHED = {
    "a100-resnet50": (0.435, 400),
    "h100-resnet50": (0.224, 400),
    "a100-unet3d": (0.636, 7),
    "h100-unet3d": (0.323, 7),
    "a100-cosmoflow": (0.00551, 1),
    "h100-cosmoflow": (0.00350, 1),
}


def test_presets_hold_the_published_figures() -> None:
    assert {p.name: (p.step_s, p.batch_size) for p in PRESETS} == PUBLISHED


@pytest.mark.parametrize("name", PUBLISHED)
def test_preset_link_is_that_of_its_generation_and_the_source_is_named(name: str) -> None:
    it = Accelerator.preset(name)
    assert it.link_bytes_per_s == pytest.approx(31.5e9 if name.startswith("a100") else 63.0e9, rel=1e-2)
    device, model = name.split("-")
    assert it.label == f"{model} on {device}"
    assert it.origin == f"{name} (mlcommons/storage: configs/dlio/workload/{model}_{device}.yaml)"


def test_step_time_is_in_proportion_to_the_batch_where_its_size_is_known() -> None:
    published = Accelerator.preset("h100-resnet50")
    assert published.seconds_for(400) == 0.224
    assert published.seconds_for(100) == pytest.approx(0.056)
    assert published.seconds_for(0) == 0
    assert Accelerator.preset("h100-resnet50", batch_size=None).seconds_for(100) == 0.224
    assert Accelerator(0.02).seconds_for(1) == Accelerator(0.02).seconds_for(1000) == 0.02


@pytest.mark.parametrize(
    ("text", "step_s", "link"),
    [
        ("20ms", 0.02, None),
        ("0.5s", 0.5, None),
        ("200us", 2e-4, None),
        (" 20 ms ", 0.02, None),
        ("0ms", 0.0, None),
        ("1e-3s", 1e-3, None),
        ("20ms@25GB/s", 0.02, 25e9),
        ("20ms @ 800 MB/s", 0.02, 8e8),
        ("1s@1.5gb/s", 1.0, 1.5e9),
        ("h100-resnet50@12GB/s", 0.224, 12e9),
        ("A100-UNet3D", 0.636, Accelerator.preset("a100-unet3d").link_bytes_per_s),
    ],
)
def test_text_form(text: str, step_s: float, link: float | None) -> None:
    it = Accelerator.parse(text)
    assert it.step_s == pytest.approx(step_s)
    assert it.link_bytes_per_s == pytest.approx(link)


@pytest.mark.parametrize(
    "text",
    ["", "20", "20 minutes", "ms", "-5ms", "nan", "1.2.3ms", "20ms@", "20ms@fast", "20ms@25", "h100", "h100-resnet5"],
)
def test_text_that_is_no_accelerator_is_refused_with_the_valid_forms(text: str) -> None:
    with pytest.raises(UsageError, match=r"valid: a step time such as '20ms'.*h100-resnet50.*20ms@25GB/s"):
        Accelerator.parse(text)


def test_a_misspelt_preset_gets_a_hint() -> None:
    with pytest.raises(UsageError, match=r"no accelerator is called 'h100-resnet51'.*did you mean 'h100-resnet50'\?"):
        Accelerator.preset("h100-resnet51")


@pytest.mark.parametrize(
    "arguments",
    [
        {"step_s": -0.1},
        {"step_s": math.nan},
        {"step_s": math.inf},
        {"step_s": 1e300},
        {"step_s": 1e-33},
        {"step_s": "20ms"},
        {"step_s": True},
        {"step_s": 0.1, "link_bytes_per_s": 0},
        {"step_s": 0.1, "link_bytes_per_s": -1},
        {"step_s": 0.1, "link_bytes_per_s": math.nan},
        {"step_s": 0.1, "link_bytes_per_s": 1e-300},
        {"step_s": 0.1, "in_flight": -1},
        {"step_s": 0.1, "in_flight": 1.5},
        {"step_s": 0.1, "batch_size": 0},
    ],
)
def test_arguments_out_of_range_are_refused(arguments: dict[str, Any]) -> None:
    name, value = list(arguments.items())[-1]
    with pytest.raises(UsageError, match=rf"accelerator: {name}={re.escape(repr(value))} is out of range; valid: "):
        Accelerator(**arguments)


@pytest.mark.parametrize(
    ("step_s", "label"),
    [(0.02, "20 ms a step"), (2e-4, "200 us a step"), (1.5, "1.5 s a step"), (0.0, "0 ms a step")],
)
def test_label(step_s: float, label: str) -> None:
    assert Accelerator(step_s).label == label
    assert Accelerator(step_s).origin is None


def test_a_synchronous_step_holds_the_host_until_it_ends() -> None:
    clock = FakeClock(10.0)
    device = Device(Accelerator(0.5), clock)
    assert device.step(1) == (10.0, 10.5)
    assert clock.now() == 10.5


def test_with_steps_in_flight_the_device_takes_them_one_after_another() -> None:
    # GIVEN a device that lets the host be two steps ahead
    clock = FakeClock()
    device = Device(Accelerator(1.0, in_flight=2), clock)
    # WHEN three steps are dispatched at once
    spans = [device.step(1) for _ in range(3)]
    # THEN they follow each other, and the host went on once only two were unfinished
    assert spans == [(0.0, 1.0), (1.0, 2.0), (2.0, 3.0)]
    assert clock.now() == 1.0
    # WHEN the next one comes late THEN the device was idle before it
    clock.sleep_until(5.0)
    assert device.step(1) == (5.0, 6.0)
    device.finish()
    assert clock.now() == 6.0


def test_a_load_lasts_as_long_as_the_bytes_take() -> None:
    clock = FakeClock()
    device = Device(Accelerator(1.0, link_bytes_per_s=1000.0), clock)
    device.load(np.zeros(250, np.uint8))
    assert clock.now() == 0.25
    Device(Accelerator(1.0), clock).load(np.zeros(250, np.uint8))
    assert clock.now() == 0.25


def test_strings_stay_on_the_host_and_take_no_time_on_the_link() -> None:
    clock = FakeClock()
    device = Device(Accelerator(1.0, link_bytes_per_s=1000.0), clock)
    device.load({"text": np.array([b"x" * 5000], object), "label": np.zeros(50, np.uint8)})
    assert clock.now() == 0.05


def test_a_load_copies_every_array_of_the_batch() -> None:
    device = Device(Accelerator(1.0, link_bytes_per_s=1e9), FakeClock(), buffers=2)
    image = np.arange(60, dtype=np.float32).reshape(3, 4, 5)
    label = np.array(7, np.int64)
    batch = {
        "image": image.transpose(2, 0, 1),
        "more": [label, (np.array(["text"]), b"text")],
        "flag": np.array([True]),
    }
    device.load(batch)
    memory = device._buffers[0]._memory
    assert memory[:240].view(np.float32).reshape(5, 3, 4).tolist() == image.transpose(2, 0, 1).tolist()
    assert memory[256:264].view(np.int64).tolist() == [7]
    assert memory[320:321].view(bool).tolist() == [True]


def test_loads_take_the_buffers_in_turn_and_keep_their_memory() -> None:
    device = Device(Accelerator(1.0, link_bytes_per_s=1e9), FakeClock(), buffers=2)
    for value in (1, 2, 3):
        device.load(np.full(8, value, np.uint8))
    first, second = (buffer._memory for buffer in device._buffers)
    assert (first[0], second[0]) == (3, 2)
    device.load(np.zeros(4, np.uint8))
    device.load(np.zeros(4, np.uint8))
    assert device._buffers[1]._memory is second


def test_ragged_and_sparse_tensors_are_taken_apart_and_strings_left_out() -> None:
    ragged = SimpleNamespace(flat_values=np.arange(3), nested_row_splits=(np.array([0, 1, 3]),))
    sparse = SimpleNamespace(indices=np.zeros((2, 2), int), values=np.ones(2), dense_shape=(3, 3))
    shapes = [a.shape for a in numeric_arrays((ragged, {"s": sparse}, "text", np.array([b"x"], object)))]
    assert shapes == [(3,), (3,), (2, 2), (2,)]


class Model:
    name = "net"

    def __init__(self, compiled: bool = True) -> None:
        self.compiled = compiled
        self.seen: list[tuple[Any, ...]] = []

    def train_on_batch(self, *args: Any) -> float:
        self.seen.append(args)
        return 0.5

    def __call__(self, batch: Any) -> None:
        raise AssertionError("a model is trained, not called")


def test_what_can_be_a_consumer() -> None:
    def step(batch: Any) -> str:
        return f"never looked at {batch}"

    assert as_consumer(None).info == ConsumerInfo()
    assert as_consumer(step).info == ConsumerInfo("callable", "step")
    assert as_consumer(Model()).info == ConsumerInfo("keras", "net")
    assert as_consumer("20ms@25GB/s").info == ConsumerInfo("accelerator", "20 ms a step", 0.02, 25e9)
    preset = as_consumer(Accelerator.preset("a100-unet3d", in_flight=2)).info
    assert (preset.label, preset.in_flight) == ("unet3d on a100", 2)
    assert "unet3d_a100.yaml" in str(preset.preset)
    given = Consumer()
    assert as_consumer(given) is given


@pytest.mark.parametrize("value", [5, 0.02, Accelerator, Model, object()])
def test_what_cannot_be_a_consumer(value: object) -> None:
    with pytest.raises(UsageError, match=r"not a consumer: .*; valid: None, a function"):
        as_consumer(value)


def test_a_keras_model_trains_on_pairs_and_triples() -> None:
    model = Model()
    consumer = as_consumer(model)
    consumer.train((1, 2), 1)
    consumer.train((1, 2, 3), 1)
    assert model.seen == [(1, 2), (1, 2, 3)]


@pytest.mark.parametrize("batch", [{"x": 1}, (1,), (1, 2, 3, 4), [1, 2]])
def test_a_keras_model_does_not_train_on_other_batches(batch: Any) -> None:
    with pytest.raises(UsageError, match=r"the model 'net' cannot train on a .*valid: batches \(x, y\)"):
        as_consumer(Model()).train(batch, 1)


@pytest.mark.parametrize(
    "model", [Model(compiled=False), SimpleNamespace(name="net", train_on_batch=print, optimizer=None)]
)
def test_a_model_that_is_not_compiled_is_refused(model: Any) -> None:
    with pytest.raises(UsageError, match="the model 'net' is not compiled"):
        as_consumer(model)


def test_the_system_clock_learns_how_late_it_wakes(monkeypatch: pytest.MonkeyPatch) -> None:
    # GIVEN sleeps that wake 1/8192 s late, and a look at the time that takes 1/65536 s
    late, look = 2.0**-13, 2.0**-16
    fake = FakeClock()
    yields: list[float] = []

    def now() -> float:
        fake.sleep(look)
        return fake.now()

    def sleep(seconds: float) -> None:
        if seconds == 0:
            yields.append(fake.now())
        else:
            fake.sleep(seconds + late)

    class Clock(SystemClock):
        pass

    monkeypatch.setattr(Clock, "now", staticmethod(now))
    monkeypatch.setattr(time, "sleep", sleep)
    clock = Clock()
    # WHEN it sleeps again and again THEN it never wakes early, and at last hardly late
    errors = []
    for _ in range(60):
        moment = fake.now() + 0.5
        clock.sleep_until(moment)
        errors.append(fake.now() - moment)
    assert min(errors) >= 0
    assert errors[0] > late
    assert errors[-1] < late / 4
    clock.sleep_until(fake.now() - 1)


def test_the_system_clock_only_goes_forward() -> None:
    clock = SystemClock()
    assert clock.now() <= clock.now()
    condition = clock.condition()
    with condition:
        assert condition.wait_for(lambda: True)
