"""Which client opens a path, and listing through fsspec."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from remote_files import RemoteStore, remote_store

import pipeline_opt as po
from pipeline_opt.access import DEFAULT, Access
from pipeline_opt.sources import Images, TextLines, TFRecords
from pipeline_opt.storage import detect_format, resolve, routes
from pipeline_opt.storage.client_errors import passes, status_of
from pipeline_opt.storage.filesystem import RemoteFiles, file_system
from pipeline_opt.storage.routes import fsspec_status, libhdfs_status, route, route_status
from pipeline_opt.storage.uris import SchemeStatus

LINES = {f"data/part-{n}.txt": b"line\n" * n for n in range(1, 6)}

PICTURES = {"pics/cat/a.jpg": b"\xff\xd8\xff", "pics/dog/b.jpg": b"\xff\xd8\xff"}


@pytest.fixture
def store() -> Iterator[type[RemoteStore]]:
    with remote_store(LINES | {"data/more/x.txt": b"x\n"} | PICTURES) as s:
        yield s


def test_a_scheme_that_only_fsspec_knows_needs_no_tensorflow() -> None:
    code = (
        "import sys, fsspec; fsspec.filesystem('memory').pipe('/d/a.txt', b'a')\n"
        "from pipeline_opt.storage import resolve; from pipeline_opt.sources import TextLines\n"
        "assert resolve(TextLines(paths='memory://d')).files == ('memory://d/a.txt',)\n"
        "assert 'tensorflow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("path", "access", "client"),
    [
        ("/a/b", DEFAULT, "local"),
        ("file:///a", DEFAULT, "local"),
        ("file:///a", Access(via="fsspec"), "fsspec"),
        ("memory://a", DEFAULT, "fsspec"),
        ("testing://a", DEFAULT, "fsspec"),
        ("hdfs://host:1/a", Access(via="fsspec"), "fsspec"),
    ],
)
def test_route(path: str, access: Access, client: str, store: type[RemoteStore]) -> None:
    assert route(path, access) == client


@pytest.mark.tf
def test_gs_goes_through_tensorflow_unless_told_otherwise() -> None:
    assert route("gs://bucket/a") == "tf"
    with pytest.raises(po.SchemeError, match=r"nope:// .*TensorFlow: .*fsspec: no file system is called 'nope'"):
        route("nope://a")


def test_what_is_missing_is_named_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    table = {
        "s3": {"class": "no_such_s3fs.S3", "err": "Install s3fs"},
        "ssh": {"class": "fsspec.no_such.X", "err": "e"},
    }
    monkeypatch.setattr(routes.registry, "known_implementations", table, raising=False)
    monkeypatch.setattr(routes.fsspec, "get_filesystem_class", _missing, raising=False)
    assert fsspec_status("s3") == SchemeStatus("s3", False, "Install s3fs", "pip install no_such_s3fs")
    assert fsspec_status("ssh").remedy == "pip install 'fsspec[sftp]'"
    with pytest.raises(
        po.SchemeError, match=r"s3:// cannot be opened here \(s3://b/x\): Install s3fs; pip install no_such"
    ):
        route("s3://b/x", Access(via="fsspec"))


def _missing(scheme: str) -> None:
    raise ImportError("Install s3fs")


def test_both_remedies_where_neither_client_opens_a_scheme(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        routes, "scheme_status", lambda s: SchemeStatus(s, False, "it needs tensorflow-io", "pip install A")
    )
    monkeypatch.setattr(routes, "fsspec_status", lambda s: SchemeStatus(s, False, "no s3fs", "pip install B"))
    status = route_status("s3")
    assert (status.opens, status.remedy) == (False, "pip install B, or pip install A")
    assert status.reason == "TensorFlow: it needs tensorflow-io; fsspec: no s3fs"


@pytest.mark.parametrize("missing", ["libhdfs", "classpath", None])
def test_tensorflow_io_needs_libhdfs_and_the_jars(
    missing: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes, "scheme_status", lambda s: SchemeStatus(s, True, "registered", via="tf"))
    (tmp_path / "lib" / "native").mkdir(parents=True)
    if missing != "libhdfs":
        (tmp_path / "lib" / "native" / "libhdfs.so").touch()
    monkeypatch.setenv("HADOOP_HDFS_HOME", str(tmp_path))
    monkeypatch.setenv("LD_LIBRARY_PATH", "")
    monkeypatch.setenv("CLASSPATH", "" if missing == "classpath" else "a.jar")
    status = libhdfs_status("hdfs")
    assert status.opens == (missing is None)
    assert route_status("hdfs").via == ("tf" if missing is None else "fsspec")
    assert {"libhdfs": "LD_LIBRARY_PATH", "classpath": "CLASSPATH", None: ""}[missing] in status.remedy


def test_listing_keeps_the_scheme_and_asks_for_no_file_alone(store: type[RemoteStore]) -> None:
    found = resolve(TextLines(paths="testing://data", compression=""))
    assert found.files == tuple(f"testing://{name}" for name in LINES)
    assert found.bytes == sum(map(len, LINES.values()))
    assert resolve(TextLines(paths="testing://data/part-[1-3].txt", compression="")).files == found.files[:3]
    assert len([name for name, _, _ in store.requests if name.startswith("data/part")]) <= 4


def test_images_get_their_classes(store: type[RemoteStore]) -> None:
    found = resolve(Images(paths="testing://pics"))
    assert (found.class_names, found.labels) == (("cat", "dog"), (0, 1))


def test_format_and_what_is_near(store: type[RemoteStore]) -> None:
    assert detect_format("testing://data") == "text"
    assert detect_format("testing://data/*") == "text"
    with pytest.raises(po.MissingPathError, match=r"did you mean testing://data/part-1.txt"):
        resolve(TextLines(paths="testing://data/part-1.tx"))
    with pytest.raises(po.MissingPathError, match="no file matches testing://data/q"):
        resolve(TextLines(paths="testing://data/q*"))


def test_local_files_are_named_alike_by_every_client(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a\n")
    for path in (tmp_path, f"file://{tmp_path}", tmp_path / "*.txt"):
        ways = [resolve(TextLines(paths=str(path), access=Access(via=via))) for via in ("auto", "fsspec")]
        assert ways[0] == ways[1]


@pytest.mark.parametrize(
    ("error", "status", "passing"),
    [
        (FileNotFoundError(), None, False),
        (PermissionError(), None, False),
        (ConnectionResetError(), None, True),
        (TimeoutError(), None, True),
        (type("E", (Exception,), {"status": 503})(), 503, True),
        (type("E", (Exception,), {"code": "404"})(), 404, False),
        (type("E", (Exception,), {"response": {"ResponseMetadata": {"HTTPStatusCode": 429}}})(), 429, True),
        (KeyboardInterrupt(), None, False),
    ],
)
def test_which_errors_pass(error: BaseException, status: int | None, passing: bool) -> None:
    assert (status_of(error), passes(error)) == (status, passing)


@pytest.mark.parametrize(
    ("raised", "kind", "said"),
    [
        (PermissionError("no"), po.SourceError, "check the credentials"),
        (ConnectionRefusedError("refused"), po.SourceError, "check that host and port are right"),
        (TimeoutError(), po.SourceError, "timeout_s"),
    ],
)
def test_errors_of_a_client_name_path_and_remedy(
    raised: Exception, kind: type[Exception], said: str, store: type[RemoteStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise raised

    monkeypatch.setattr(RemoteStore, "info", fail)
    with pytest.raises(kind, match=rf"cannot read testing://data/x.txt: .*{said}"):
        resolve(TextLines(paths="testing://data/x.txt"))


def test_the_listing_of_a_bucket_costs_one_request_of_tensorflow(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []

    class Gfile:
        def listdir(self, folder: str) -> list[str]:
            calls.append(folder)
            return [f"part-{n:06}.tfrecord" for n in range(100_000)] + ["sub/", "/"]

        def isdir(self, path: str) -> bool:
            raise AssertionError(f"a round trip for {path}")

    class OpError(Exception):
        pass

    fake = SimpleNamespace(
        io=SimpleNamespace(gfile=Gfile()), errors=SimpleNamespace(NotFoundError=OpError, OpError=OpError)
    )
    monkeypatch.setattr("pipeline_opt.storage.gfile_files.tf", fake)
    files = RemoteFiles()
    folders, names = files.entries("gs://bucket/train")
    assert (folders, len(names), calls) == (["sub"], 100_000, ["gs://bucket/train"])
    matched = files.glob("gs://bucket/train/part-00000?.tfrecord")
    assert (len(matched), files.folders(matched), len(calls)) == (10, set(), 2)


def test_settings_of_access_are_told_in_every_form(tmp_path: Path) -> None:
    access = Access(via="fsspec", block_bytes=1 << 20, options={"anon": True})
    pipe = po.Pipeline.from_tfrecords("s3://b/*", access=access).interleave()
    plain = po.Pipeline.from_tfrecords("s3://b/*").interleave()
    (tmp_path / "p.toml").write_text(pipe.to_toml())
    assert po.Pipeline.from_config(tmp_path / "p.toml") == pipe
    assert "[source.access]" in pipe.to_toml()
    assert "access" not in plain.to_toml()
    assert "via='fsspec' block_bytes=1048576 options={'anon': True}" in str(pipe)
    assert pipe.fingerprint != plain.fingerprint
    assert plain.fingerprint == po.Pipeline.from_tfrecords("s3://b/*", access=Access()).interleave().fingerprint
    (tmp_path / "p.toml").write_text(pipe.to_toml().replace('via = "fsspec"', 'via = "spark"'))
    with pytest.raises(po.ConfigError, match="via='spark' is out of range; valid: auto, tf, fsspec"):
        po.Pipeline.from_config(tmp_path / "p.toml")
    (tmp_path / "p.toml").write_text(pipe.to_toml().replace("block_bytes", "block_byte"))
    with pytest.raises(po.ConfigError, match="no setting is called 'block_byte'"):
        po.Pipeline.from_config(tmp_path / "p.toml")
    with pytest.raises(po.KnobError, match="access='fsspec' is out of range; valid: an Access"):
        TFRecords(paths="a", access="fsspec")  # type: ignore[arg-type]


def test_file_system_forces_the_route(store: type[RemoteStore]) -> None:
    storage, name = file_system("testing://data/part-2.txt")
    assert storage.head(name, 7) == b"line\nli"
    assert storage.open(name).read() == LINES["data/part-2.txt"]
    with pytest.raises(po.SchemeError, match="testing://"):
        file_system("testing://data", Access(via="tf"))
