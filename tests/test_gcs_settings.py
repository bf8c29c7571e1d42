"""Settings of TensorFlow's GCS client: from `Access` to variables, whose word counts, and that the client obeys."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline_opt.access import Access
from pipeline_opt.build.dataset import build
from pipeline_opt.errors import PlanWarning
from pipeline_opt.plan import Plan
from pipeline_opt.sources import TFRecords
from pipeline_opt.stages import Batch, Prefetch
from pipeline_opt.storage import gcs, resolve

DEAD_PROXY = "http://127.0.0.1:9"
"""Nobody listens on the discard port."""


def test_access_becomes_variables() -> None:
    access = Access(block_bytes=4 << 20, cache_bytes=(1 << 20) + 1, retries=2, timeout_s=0.5)
    assert gcs.environment(access) == {
        gcs.BLOCK_MB: "4",
        gcs.CACHE_MB: "2",
        gcs.RETRIES: "2",
        gcs.CONNECT_S: "1",
        gcs.IDLE_S: "1",
    }
    assert gcs.environment(Access()) == {}
    assert gcs.environment(Access(block_bytes=5000)) == {gcs.BLOCK_BYTES: "5000"}


@given(block=st.integers(4096, 2**31 - 1))
def test_a_block_is_told_to_the_byte(block: int) -> None:
    (variable, value), *rest = gcs.environment(Access(block_bytes=block)).items()
    assert not rest
    assert int(value) * (1 << 20 if variable == gcs.BLOCK_MB else 1) == block


@pytest.mark.usefixtures("unloaded")
def test_apply_leaves_the_users_variables_alone() -> None:
    environ = {gcs.RETRIES: "7", gcs.BLOCK_BYTES: "8192"}
    gcs.apply(Access(retries=1, block_bytes=1 << 20), environ)
    assert environ[gcs.RETRIES] == "7"
    assert gcs.BLOCK_MB not in environ, "the variable in MiB would override the user's in bytes"
    assert environ[gcs.CONNECT_S] == str(gcs.PATIENCE[gcs.CONNECT_S])


@pytest.fixture
def unloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gcs, "_is_loaded", lambda: False)


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for variable in (gcs.BLOCK_MB, *gcs.STOCK):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(gcs, "_is_loaded", lambda: True)
    gcs.in_force.cache_clear()
    yield
    gcs.in_force.cache_clear()


@pytest.mark.usefixtures("loaded")
def test_a_loaded_client_is_not_told_anything() -> None:
    environ: dict[str, str] = {}
    gcs.apply(Access(retries=1), environ)
    assert environ == {}
    with pytest.warns(PlanWarning, match=r"^tfrecords: .*GCS_RETRY_CONFIG_MAX_RETRIES=1 in the environment before"):
        gcs.warn_of_differences(Access(retries=1), "tfrecords")


@pytest.mark.usefixtures("loaded")
def test_no_warning_of_what_is_in_force(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(gcs.BLOCK_BYTES, str(4 << 20))
    gcs.in_force.cache_clear()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        gcs.warn_of_differences(Access(block_bytes=4 << 20, retries=10), "tfrecords")
        gcs.warn_of_differences(Access(), "tfrecords")


def test_patience_ends_within_half_a_minute() -> None:
    assert gcs.longest_wait_s(gcs.settings()) <= 30 < 600 < gcs.longest_wait_s({})
    assert gcs.longest_wait_s({gcs.FIRST_DELAY: "0", gcs.RETRIES: "4", gcs.CONNECT_S: "2"}) == 10


def test_the_client_obeys_what_is_set_before_it_is_loaded() -> None:
    assert ask_a_dead_proxy("gcs.apply(Access(retries=1))\nimport tensorflow as tf") == (
        "AbortedError All 1 retry attempts failed."
    )


def test_the_client_does_not_obey_what_is_set_later() -> None:
    done = "os.environ.update(GCS_RETRY_CONFIG_MAX_RETRIES='1', GCS_RETRY_CONFIG_INIT_DELAY_TIME_US='0')"
    late = "os.environ.update(GCS_RETRY_CONFIG_MAX_RETRIES='2')"
    said = ask_a_dead_proxy(f"{done}\nimport tensorflow as tf\n{late}")
    assert said == "AbortedError All 1 retry attempts failed."


def ask_a_dead_proxy(prepare: str) -> str:
    """What a fresh process's client says of an endpoint that refuses connections."""
    code = f"""
import os
from pipeline_opt.access import Access
from pipeline_opt.storage import gcs
{prepare}
try:
    tf.io.gfile.exists("gs://bucket/object")
except tf.errors.OpError as error:
    print(type(error).__name__, error.message.split(".")[0] + ".")
"""
    kept: dict[str, Any] = {name: value for name, value in os.environ.items() if not name.startswith("GCS_")}
    environment = {**kept, "https_proxy": DEAD_PROXY, "no_proxy": "", "GOOGLE_AUTH_TOKEN_FOR_TESTING": "x"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.usefixtures("loaded")
def test_a_plan_whose_settings_are_not_in_force_is_built_with_a_warning(records: Path) -> None:
    resolved = resolve(TFRecords(paths=(str(records),)))
    plan = Plan(
        TFRecords(paths=("gs://bucket/data",), access=Access(block_bytes=1 << 20)), (Batch(batch_size=2), Prefetch())
    )
    with pytest.warns(PlanWarning, match=r"^tfrecords: .*set GCS_READ_CACHE_BLOCK_SIZE_MB=1 in the environment"):
        build(plan, resolve=lambda _: resolved)
    quiet = dataclasses.replace(plan, source=TFRecords(paths=("gs://bucket/data",)))
    with warnings.catch_warnings():
        warnings.simplefilter("error", PlanWarning)
        build(quiet, resolve=lambda _: resolved)
