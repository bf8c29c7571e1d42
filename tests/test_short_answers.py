"""A store that sends less than an object holds and says so in the header: what TensorFlow's client makes of that."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from loopback import reply, server, tls_proxy
from tensorflow_child import TensorFlowChild

from pipeline_opt.access import Access
from pipeline_opt.storage import gcs

pytestmark = pytest.mark.tf

RECORDS, SENT = 100, 50

READ = """
import pipeline_opt as po
from pipeline_opt.access import Access
pipe = po.Pipeline.from_tfrecords("gs://bucket/object").batch(1).prefetch(1)
try:
    result = len(po.profile(pipe, epochs=1).steps)
except po.PipelineOptError as error:
    result = f"{type(error).__name__}: {error}"
"""
PLAIN = "result = sum(1 for _ in tf.data.TFRecordDataset('gs://bucket/object'))"


@pytest.fixture
def variables(tmp_path: Path, tf: Any) -> Iterator[dict[str, str]]:
    """What leads a client to the store."""
    with tf.io.TFRecordWriter(str(tmp_path / "object")) as writer:
        for _ in range(RECORDS):
            writer.write(b"x" * 84)
    data = (tmp_path / "object").read_bytes()
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    about = {"name": "object", "size": str(len(data)), "generation": "1", "updated": "2026-01-01T00:00:00.000Z"}

    def answer(request: bytes) -> bytes:
        path = request.split()[1].decode()
        if path.startswith("/storage/v1/b/bucket/o/object?"):
            return reply(200, json.dumps(about))
        if path.startswith("/storage/v1/b/bucket/o?"):
            return reply(200, "{}" if "object%2F" in path else json.dumps({"items": [about]}))
        return reply(206, data[: len(data) * SENT // RECORDS])

    with server(tls_proxy(authority, answer)) as port:
        yield {
            "https_proxy": f"http://127.0.0.1:{port}",
            "no_proxy": "",
            "CURL_CA_BUNDLE": str(tmp_path / "ca.pem"),
            "GOOGLE_AUTH_TOKEN_FOR_TESTING": "x",
        }


def told(variables: dict[str, str], code: str, settings: dict[str, str]) -> Any:
    child = TensorFlowChild(**settings)
    try:
        return child(code, variables)
    finally:
        child.close()


def test_the_client_takes_a_short_answer_for_the_end(variables: dict[str, str]) -> None:
    """Half of the records are lost without a word; where this fails, the client has learnt better."""
    assert told(variables, PLAIN, {}) == SENT


@pytest.mark.parametrize(
    "settings",
    [
        {name: str(value) for name, value in gcs.WATCHFUL.items()},
        {**gcs.environment(Access(cache_bytes=64 << 20, block_bytes=1 << 20)), "GCS_STAT_CACHE_MAX_AGE": "5"},
    ],
    ids=["as the command line sets it", "with a cache"],
)
def test_a_short_answer_is_an_error(variables: dict[str, str], settings: dict[str, str]) -> None:
    said = told(variables, READ, settings)
    assert "gs://bucket/object, from byte 0: fewer bytes came than the object has" in str(said)
