"""Messages of TensorFlow's clients for GCS and Hadoop, as they were seen, and what becomes of them."""

from __future__ import annotations

import pytest

from pipeline_opt.errors import CorruptRecordError, MissingPathError, PipelineOptError, SourceError, StageError
from pipeline_opt.sources import TFRecords
from pipeline_opt.storage.preflight import Finding
from pipeline_opt.storage.remote_failures import explain_remote

OBJECT = "gs://bucket/train/part-7"
READ = f"\n\t when reading {OBJECT}"
SOURCES = (
    ("local", TFRecords(paths=("/data",))),
    ("interleave", TFRecords(paths=("gs://bucket/train/part-*", "hdfs://namenode:9000/train"))),
)
ALL = "All 5 retry attempts failed. The last failure: "
HTTP = "Error executing an HTTP request: "


def explained(kind: str, text: str, problem: Finding | None = None) -> PipelineOptError:
    error = explain_remote(kind, text, SOURCES, lambda _: problem)
    assert error is not None
    return error


@pytest.mark.parametrize(
    ("kind", "text", "error", "said"),
    [
        (
            "AbortedError",
            f"{ALL}{HTTP}HTTP response code 503 with body '<Error><Message>Slow down.</Message></Error>'{READ}",
            StageError,
            f"interleave: {OBJECT}: the storage answered in 6 tries 503: Slow down.; ask for less at a time",
        ),
        (
            "AbortedError",
            f"{ALL}{HTTP}HTTP response code 503{READ}",
            StageError,
            f"interleave: {OBJECT}: the storage answered in 6 tries 503; ",
        ),
        (
            "NotFoundError",
            f"""{HTTP}HTTP response code 404 with body '{{"error": {{"message": "No such object: it's gone"}}}}'{READ}""",
            MissingPathError,
            f"interleave: the object is gone: {OBJECT} (404: No such object: it's gone); list",
        ),
        (
            "PermissionDeniedError",
            f"{HTTP}HTTP response code 403 with body ''\n\t when reading metadata of {OBJECT}",
            SourceError,
            f"interleave: permission denied: {OBJECT} (403); check that the credentials",
        ),
        (
            "AbortedError",
            f"{ALL}{HTTP}libcurl code 7 meaning 'Could not connect to server', error details: refused{READ}",
            StageError,
            f"interleave: {OBJECT}: cannot be reached in 6 tries (refused); `pipeline-opt doctor {OBJECT}` says why",
        ),
        (
            "AbortedError",
            f"{ALL}{HTTP}libcurl code 18 meaning 'Transferred a partial file', error details: 9 bytes missing{READ}",
            StageError,
            f"interleave: {OBJECT}: the connection broke off in 6 tries (9 bytes missing); check the network",
        ),
        (
            "AbortedError",
            f"{ALL}{HTTP}libcurl code 28 meaning 'It's too late', error details: after 3 s{READ}",
            StageError,
            f"interleave: {OBJECT}: no answer in time in 6 tries (after 3 s); check the network",
        ),
        (
            "InternalError",
            f"File contents are inconsistent for file: {OBJECT} @ 67108864.",
            CorruptRecordError,
            f"interleave: {OBJECT}, from byte 67108864: fewer bytes came than the object has",
        ),
        (
            "NotFoundError",
            "hdfs://namenode:9000/train/part-1; No such file or directory",
            MissingPathError,
            "interleave: the file is gone: hdfs://namenode:9000/train/part-1 (No such file or directory)",
        ),
        (
            "PermissionDeniedError",
            "hdfs://namenode:9000/train/part-1; Permission denied",
            SourceError,
            "interleave: permission denied: hdfs://namenode:9000/train/part-1 (Permission denied); check HADOOP_USER_NAME",
        ),
        (
            "UnknownError",
            "hdfs://namenode:9000/train/part-1; Unknown error 255",
            StageError,
            "interleave: hdfs://namenode:9000/train/part-1: libhdfs failed (Unknown error 255) while the NameNode answers",
        ),
    ],
)
def test_what_a_message_becomes(kind: str, text: str, error: type[PipelineOptError], said: str) -> None:
    made = explained(kind, text)
    assert type(made) is error
    assert str(made).startswith(said)
    assert getattr(made, "stage", "interleave") == "interleave"


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (
            "AbortedError",
            f"{ALL}{HTTP}libcurl code 7 meaning 'Could not connect to server', error details: refused{READ}",
        ),
        ("UnknownError", "hdfs://namenode:9000/train/part-1; Unknown error 255"),
    ],
)
def test_what_bars_the_way_now_says_more(kind: str, text: str) -> None:
    problem = Finding("network", False, "the proxy refuses", "start it")
    assert "the proxy refuses; start it" in str(explained(kind, text, problem))


def test_an_answer_that_broke_off_is_not_looked_into() -> None:
    text = f"{HTTP}libcurl code 56 meaning 'Failure when receiving data', error details: reset{READ}"
    assert "broke off (reset)" in str(explained("AbortedError", text, Finding("network", False, "barred", "open it")))


def test_a_message_without_a_path_is_charged_to_the_only_remote_source() -> None:
    made = explained("AbortedError", f"{HTTP}HTTP response code 500")
    assert str(made).startswith("interleave: a request: the storage answered 500")
    two = (*SOURCES, ("other", TFRecords(paths=("gs://bucket/test",))))
    made = explain_remote("AbortedError", f"{HTTP}HTTP response code 500", two, lambda _: None)
    assert str(made).startswith("a request: ")


@pytest.mark.parametrize(
    "text", ["corrupted record at 12", "/data/part-1; No such file or directory", "Input shapes do not match"]
)
def test_other_messages_are_left_alone(text: str) -> None:
    assert explain_remote("InvalidArgumentError", text, SOURCES, lambda _: None) is None
